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
        /// The first key somewhere below it.
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

/// Returns the first key below a directory (`prefix` ends in a slash) that v2 can name.
pub(super) fn first_below<'s>(state: &'s State, prefix: &str) -> Option<&'s Arc<KeyValue>> {
    let keys = state.space(SpaceId::User).live_from(prefix.as_bytes());
    keys.take_while(|kv| kv.key.starts_with(prefix.as_bytes()))
        .find(|kv| path::of_key(&kv.key).is_some())
}

/// Returns what is directly in a directory, hidden nodes left out, in key order. A directory
/// takes the place of a key of the same name.
pub(super) fn children<'s>(state: &'s State, prefix: &str) -> Vec<Child<'s>> {
    let space = state.space(SpaceId::User);
    let mut children: Vec<Child<'s>> = Vec::new();
    let mut from = prefix.as_bytes().to_vec();
    while let Some(kv) = space.live_from(&from).next() {
        if !kv.key.starts_with(prefix.as_bytes()) {
            break;
        }
        let Some(rest) = path::of_key(&kv.key).and_then(|path| path.strip_prefix(prefix)) else {
            from = after_key(&kv.key);
            continue;
        };
        let hidden = rest.starts_with('_');
        match rest.split_once('/') {
            None => {
                from = after_key(&kv.key);
                if !hidden {
                    children.push(Child::File(kv));
                }
            }
            Some((name, _)) => {
                let path = format!("{prefix}{name}");
                from = path.as_bytes().to_vec();
                from.push(AFTER_SLASH);
                if hidden {
                    continue;
                }
                if space.get(path.as_bytes()).is_some() {
                    children.retain(|child| child.path() != path.as_bytes());
                }
                children.push(Child::Directory { path, first: kv });
            }
        }
    }
    children
}

fn after_key(key: &[u8]) -> Vec<u8> {
    let mut after = key.to_vec();
    after.push(0);
    after
}
