//! The v2 view of the user space (etcd 2: `/v2/keys`): paths, directories, indexes, writes.

mod apply;
mod change;
mod error;
mod find;
mod list;
mod path;
mod write;

use std::sync::Arc;

use bytes::Bytes;

use crate::{KeyValue, LeaseId, Revision, State};

pub use change::{Change, changes_at};
pub use error::Error;
pub use write::{Verb, Write};

pub(crate) use apply::Done;

use find::Found;
use list::Child;

/// A node as v2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its path, from the root: `/a/b`. The root's is `/`.
    pub key: String,
    /// Its value; `None` for a directory.
    pub value: Option<Bytes>,
    /// Whether it is a directory.
    pub dir: bool,
    /// What is in it, as far as asked for; empty for a key.
    pub nodes: Vec<Node>,
    /// The revision of its last change; 0 for the root.
    pub modified_index: Revision,
    /// The revision it began in, as v2 counts; 0 for the root.
    pub created_index: Revision,
    /// The lease that ends it, or 0.
    pub lease: LeaseId,
}

/// Tells whether v2 has a path for this key.
pub(crate) fn names(key: &[u8]) -> bool {
    path::of_key(key).is_some()
}

/// Reads a path: a key with its value, or a directory with what is in it (one level, or all of
/// it when `recursive`; by name when `sorted`, else in no particular order). Hidden nodes
/// (`_...`) are left out of listings. `X-Etcd-Index` is `state.revision(SpaceId::User)`.
pub fn get(state: &State, path: &str, recursive: bool, sorted: bool) -> Result<Node, Error> {
    let depth = if recursive { path::PATH_PARTS_MAX } else { 1 };
    let (path, found) = find::find(state, &path::parts(path))?;
    match found {
        Found::File(kv) => Ok(file(kv)),
        Found::Directory(index) => Ok(Listing { state, sorted }.directory(path, index, depth)),
    }
}

/// Returns the lease of what is at a path; 0 without one, or if nothing is there.
pub fn lease_at(state: &State, path: &str) -> LeaseId {
    match find::find(state, &path::parts(path)) {
        Ok((_, Found::File(kv))) => kv.lease,
        Ok((_, Found::Directory(own))) => own.lease,
        Err(_) => 0,
    }
}

struct Listing<'s> {
    state: &'s State,
    sorted: bool,
}

impl Listing<'_> {
    /// Lists a directory `depth` levels down.
    fn directory(&self, path: String, own: find::Own, depth: usize) -> Node {
        let nodes = match depth {
            0 => Vec::new(),
            depth => {
                let prefix = if path == "/" { path.clone() } else { format!("{path}/") };
                let mut children = list::children(self.state, &prefix);
                if self.sorted {
                    children.sort_by(|a, b| a.path().cmp(b.path()));
                }
                let node = |child| match child {
                    Child::File(kv) => file(kv),
                    Child::Directory { path, first } => {
                        let own = find::Own::of(self.state, &path, Some(first));
                        self.directory(path, own, depth - 1)
                    }
                };
                children.into_iter().map(node).collect()
            }
        };
        Node {
            key: path,
            value: None,
            dir: true,
            nodes,
            modified_index: own.modified_index,
            created_index: own.created_index,
            lease: own.lease,
        }
    }
}

/// Returns a key as a node.
fn file(kv: &Arc<KeyValue>) -> Node {
    Node {
        key: String::from_utf8_lossy(&kv.key).into_owned(),
        value: Some(kv.value.clone()),
        dir: false,
        nodes: Vec::new(),
        modified_index: kv.mod_revision,
        created_index: kv.created_index,
        lease: kv.lease,
    }
}

#[cfg(test)]
mod tests;
