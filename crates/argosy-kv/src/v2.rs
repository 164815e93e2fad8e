//! The v2 view of the user space (etcd 2: `/v2/keys`): paths, directories, indexes.

use bytes::Bytes;

use crate::{LeaseId, Revision, State};

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

/// Reads a path: a key with its value, or a directory with what is in it (one level, or all of
/// it when `recursive`; sorted by key when `sorted`). Hidden nodes (`_...`) are left out of
/// listings. `X-Etcd-Index` is `state.revision(SpaceId::User)`.
pub fn get(_state: &State, _path: &str, _recursive: bool, _sorted: bool) -> Result<Node, Error> {
    todo!()
}
