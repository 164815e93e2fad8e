//! The v2 view of the user space (etcd 2: `/v2/keys`): paths, directories, indexes.

mod list;
mod path;

use std::sync::Arc;

use bytes::Bytes;

use crate::{KeyValue, LeaseId, Revision, SpaceId, State};

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

/// A v2 error: what the JSON body and the HTTP status are made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// etcd's error code, such as 100.
    pub code: u32,
    /// etcd's text for the code.
    pub message: &'static str,
    /// What it is about, usually the path.
    pub cause: String,
    /// The user revision (`X-Etcd-Index`).
    pub index: Revision,
}

/// etcd's error code for a path that is not there.
const KEY_NOT_FOUND: (u32, &str) = (100, "Key not found");
/// etcd's error code for a path that leads through a key.
const NOT_A_DIRECTORY: (u32, &str) = (104, "Not a directory");

/// Reads a path: a key with its value, or a directory with what is in it (one level, or all of
/// it when `recursive`; by name when `sorted`, else in no particular order). Hidden nodes
/// (`_...`) are left out of listings. `X-Etcd-Index` is `state.revision(SpaceId::User)`.
pub fn get(state: &State, path: &str, recursive: bool, sorted: bool) -> Result<Node, Error> {
    let depth = if recursive { path::PATH_PARTS_MAX } else { 1 };
    let listing = Listing { state, sorted };
    let mut here = String::new();
    let mut found = None;
    let parts = path::parts(path);
    for (at, part) in parts.iter().enumerate() {
        here.push('/');
        here.push_str(part);
        if let Some(first) = list::first_below(state, &format!("{here}/")) {
            found = Some(first);
            continue;
        }
        let key = state.get(SpaceId::User, here.as_bytes());
        return match key.filter(|kv| path::of_key(&kv.key).is_some()) {
            Some(kv) if at + 1 == parts.len() => Ok(file(kv)),
            Some(_) => Err(error(state, NOT_A_DIRECTORY, here)),
            None => Err(error(state, KEY_NOT_FOUND, here)),
        };
    }
    let path = if here.is_empty() { "/".to_owned() } else { here };
    Ok(listing.directory(path, found, depth))
}

struct Listing<'s> {
    state: &'s State,
    sorted: bool,
}

impl Listing<'_> {
    /// Lists a directory `depth` levels down. A directory that nobody made has no index of its
    /// own and takes those of the first key in it.
    fn directory(&self, path: String, first: Option<&Arc<KeyValue>>, depth: usize) -> Node {
        let index = first.map_or(0, |kv| kv.create_revision);
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
                        self.directory(path, Some(first), depth - 1)
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
            modified_index: index,
            created_index: index,
            lease: 0,
        }
    }
}

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

fn error(state: &State, (code, message): (u32, &'static str), cause: String) -> Error {
    Error { code, message, cause, index: state.revision(SpaceId::User) }
}

#[cfg(test)]
mod tests;
