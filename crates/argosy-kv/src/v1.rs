//! The v1 view of the user space (etcd 0.1: `/v1/keys`).

use bytes::Bytes;

use crate::{Revision, State, v2};

/// A node as v1 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its path.
    pub key: String,
    /// Its value; `None` for a directory.
    pub value: Option<Bytes>,
    /// Whether it is a directory.
    pub dir: bool,
    /// The revision of its last change (v1 `index`).
    pub index: Revision,
    /// The lease that ends it, or 0.
    pub lease: crate::LeaseId,
}

/// What a v1 GET answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Get {
    /// One key.
    Key(Node),
    /// A directory: its direct children, sorted.
    Directory(Vec<Node>),
}

/// Reads a path.
pub fn get(state: &State, path: &str) -> Result<Get, v2::Error> {
    let found = v2::get(state, path, false, true)?;
    if found.dir {
        return Ok(Get::Directory(found.nodes.into_iter().map(node).collect()));
    }
    Ok(Get::Key(node(found)))
}

fn node(node: v2::Node) -> Node {
    Node {
        key: node.key,
        value: node.value,
        dir: node.dir,
        index: node.modified_index,
        lease: node.lease,
    }
}
