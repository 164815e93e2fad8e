//! The JSON of v2: nodes, changes, errors.

use std::collections::BTreeSet;

use argosy_kv::LeaseId;
use argosy_kv::v2::{Change, Error, Node};
use serde::Serialize;

use super::ttl::Expiries;

/// An answer to a read, a write, or a watch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionJson {
    pub(super) action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<NodeJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_node: Option<NodeJson>,
}

/// A node; what is zero or missing is left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeJson {
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<NodeJson>,
    #[serde(skip_serializing_if = "is_zero")]
    modified_index: i64,
    #[serde(skip_serializing_if = "is_zero")]
    created_index: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// An error, as v2 and v1 show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorJson<'a> {
    error_code: u32,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cause: &'a str,
    index: i64,
}

pub(super) fn error_json(error: &Error) -> ErrorJson<'_> {
    ErrorJson {
        error_code: error.code,
        message: error.message,
        cause: &error.cause,
        index: error.index,
    }
}

/// Collects the leases of a node and of all in it.
pub(super) fn collect_leases(node: &Node, leases: &mut BTreeSet<LeaseId>) {
    if node.lease != 0 {
        leases.insert(node.lease);
    }
    node.nodes.iter().for_each(|child| collect_leases(child, leases));
}

/// Renders a node. The root has neither key nor indexes.
pub(super) fn node_json(node: Node, expiries: &Expiries) -> NodeJson {
    let expiry = expiries.of(node.lease);
    let (expiration, ttl) = expiry.map(|e| (e.expiration, e.ttl)).unzip();
    NodeJson {
        key: if node.key == "/" { String::new() } else { node.key },
        value: node.value.map(|value| String::from_utf8_lossy(&value).into_owned()),
        dir: node.dir,
        expiration,
        ttl,
        nodes: node.nodes.into_iter().map(|child| node_json(child, expiries)).collect(),
        modified_index: node.modified_index,
        created_index: node.created_index,
    }
}

/// Renders a change.
pub(super) fn change_json(change: Change, expiries: &Expiries, before: &Expiries) -> ActionJson {
    ActionJson {
        action: change.action.name(),
        node: Some(node_json(change.node, expiries)),
        prev_node: change.prev.map(|prev| node_json(prev, before)),
    }
}

#[cfg(test)]
mod tests;
