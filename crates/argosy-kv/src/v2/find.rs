//! Following a path to what is there.

use std::sync::Arc;

use super::error::Code;
use super::{Error, list, path};
use crate::{KeyValue, LeaseId, Revision, SpaceId, State};

/// What a directory has of its own. One that nobody made takes the indexes of the first key in
/// it; the root has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) modified_index: Revision,
    pub(super) created_index: Revision,
    pub(super) lease: LeaseId,
}

impl Own {
    pub(super) fn of(state: &State, path: &str, first: Option<&Arc<KeyValue>>) -> Own {
        if let Some(marker) = state.space(SpaceId::User).directory(path.as_bytes()) {
            // A change of its time to live does not modify a directory, in etcd.
            let index = marker.created_index;
            return Own { modified_index: index, created_index: index, lease: marker.lease };
        }
        let index = first.map_or(0, |kv| kv.create_revision);
        Own { modified_index: index, created_index: index, lease: 0 }
    }
}

/// What is at a path.
#[derive(Debug)]
pub(super) enum Found<'s> {
    File(&'s Arc<KeyValue>),
    Directory(Own),
}

/// Follows a path and returns it with what is there. Error 100 names the first part that is
/// missing, 104 the key that is in the way.
pub(super) fn find<'s>(state: &'s State, parts: &[&str]) -> Result<(String, Found<'s>), Error> {
    let mut here = String::new();
    let mut found = Found::Directory(Own::default());
    for part in parts {
        if let Found::File(_) = found {
            return Err(Code::NotDirectory.error(state, here));
        }
        here.push('/');
        here.push_str(part);
        found = at(state, &here).ok_or_else(|| Code::KeyNotFound.error(state, here.clone()))?;
    }
    Ok((if here.is_empty() { "/".to_owned() } else { here }, found))
}

/// Returns what is at a clean path other than the root; what is above it is not looked at.
pub(super) fn at<'s>(state: &'s State, path: &str) -> Option<Found<'s>> {
    let first = list::first_below(state, &format!("{path}/"));
    let space = state.space(SpaceId::User);
    if first.is_some() || space.directory(path.as_bytes()).is_some() {
        return Some(Found::Directory(Own::of(state, path, first)));
    }
    let kv = space.get(path.as_bytes()).filter(|kv| path::of_key(&kv.key).is_some());
    kv.map(Found::File)
}
