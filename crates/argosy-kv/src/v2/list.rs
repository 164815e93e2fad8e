//! Directories: what is in them, found by seeking past whole subtrees.

use std::sync::Arc;

use super::path;
use crate::{KeyValue, SpaceId, State};

/// The byte after `/`: with it in place of the slash, a name sorts right behind everything in
/// the directory of that name.
const AFTER_SLASH: u8 = b'/' + 1;

/// Something in a directory.
#[derive(Debug)]
pub(super) enum Child<'s> {
    /// A key.
    File(&'s Arc<KeyValue>),
    /// A directory.
    Directory {
        /// Its path.
        path: String,
        /// Its marker, or the first somewhere below it.
        first: &'s Arc<KeyValue>,
    },
}

impl Child<'_> {
    /// Returns the path's bytes.
    pub(super) fn path(&self) -> &[u8] {
        match self {
            Child::File(kv) => &kv.key,
            Child::Directory { path, .. } => path.as_bytes(),
        }
    }
}

/// Returns the first key or marker at or above `from`, if it is below `prefix`.
fn next<'s>(state: &'s State, prefix: &str, from: &[u8]) -> Option<&'s Arc<KeyValue>> {
    let space = state.space(SpaceId::User);
    let first = |directories| {
        let next: Option<&Arc<KeyValue>> = space.live_from(directories, from).next();
        next.filter(|kv| kv.key.starts_with(prefix.as_bytes()))
    };
    first(true).into_iter().chain(first(false)).min_by(|a, b| a.key.cmp(&b.key))
}

/// Returns the first key or marker below a directory (`prefix` ends in a slash) that v2 can name.
pub(super) fn first_below<'s>(state: &'s State, prefix: &str) -> Option<&'s Arc<KeyValue>> {
    let mut from = prefix.as_bytes().to_vec();
    while let Some(kv) = next(state, prefix, &from) {
        if path::of_key(&kv.key).is_some() {
            return Some(kv);
        }
        from = after_key(&kv.key);
    }
    None
}

/// Returns what is directly in a directory, hidden nodes left out, in key order. A directory
/// takes the place of a key of the same name.
pub(super) fn children<'s>(state: &'s State, prefix: &str) -> Vec<Child<'s>> {
    let space = state.space(SpaceId::User);
    let mut children: Vec<Child<'s>> = Vec::new();
    let mut from = prefix.as_bytes().to_vec();
    while let Some(kv) = next(state, prefix, &from) {
        let Some(rest) = path::of_key(&kv.key).and_then(|path| path.strip_prefix(prefix)) else {
            from = after_key(&kv.key);
            continue;
        };
        let hidden = rest.starts_with('_');
        let (name, below) = rest.split_once('/').map_or((rest, false), |(name, _)| (name, true));
        if !below {
            from = after_key(&kv.key);
        } else {
            from = format!("{prefix}{name}").into_bytes();
            from.push(AFTER_SLASH);
        }
        if hidden {
            continue;
        }
        if !below && !kv.is_directory() {
            children.push(Child::File(kv));
            continue;
        }
        // Its marker, or a key that it hides, comes some way before what is in it.
        let path = format!("{prefix}{name}");
        if below && space.directory(path.as_bytes()).is_some() {
            continue;
        }
        if below && space.get(path.as_bytes()).is_some() {
            children.retain(|child| child.path() != path.as_bytes());
        }
        children.push(Child::Directory { path, first: kv });
    }
    children
}

fn after_key(key: &[u8]) -> Vec<u8> {
    let mut after = key.to_vec();
    after.push(0);
    after
}
