//! The JSON of v2, as etcd 2 writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::*;

fn leaf(key: &str, value: &'static str, index: i64, lease: LeaseId) -> Node {
    Node {
        key: key.to_owned(),
        value: Some(Bytes::from(value)),
        dir: false,
        nodes: vec![],
        modified_index: index,
        created_index: index,
        lease,
    }
}

fn directory(key: &str, index: i64, nodes: Vec<Node>) -> Node {
    Node { value: None, dir: true, nodes, ..leaf(key, "", index, 0) }
}

fn render(node: Node) -> String {
    let now = "2026-11-23T17:19:08.509105076Z".parse().unwrap();
    let left = BTreeMap::from([(7, Duration::from_millis(99_001))]);
    let node = node_json(node, &Expiries::fixed(now, left));
    serde_json::to_string(&ActionJson { action: "get", node: Some(node), prev_node: None }).unwrap()
}

#[test]
fn a_key_and_an_empty_value() {
    assert_eq!(
        render(leaf("/d/a", "1", 4, 0)),
        r#"{"action":"get","node":{"key":"/d/a","value":"1","modifiedIndex":4,"createdIndex":4}}"#
    );
    assert!(render(leaf("/d/a", "", 4, 0)).contains(r#""value":"""#));
}

#[test]
fn the_root_has_neither_key_nor_indexes() {
    assert_eq!(
        render(directory("/", 0, vec![directory("/e", 7, vec![])])),
        concat!(
            r#"{"action":"get","node":{"dir":true,"nodes":[{"key":"/e","dir":true,"#,
            r#""modifiedIndex":7,"createdIndex":7}]}}"#
        )
    );
}

#[test]
fn a_time_to_live_is_rounded_up() {
    assert_eq!(
        render(leaf("/t", "5", 8, 7)),
        concat!(
            r#"{"action":"get","node":{"key":"/t","value":"5","#,
            r#""expiration":"2026-11-23T17:20:47.510105076Z","ttl":100,"#,
            r#""modifiedIndex":8,"createdIndex":8}}"#
        )
    );
    // A lease that the leader cannot tell about leaves no trace.
    assert!(!render(leaf("/t", "5", 8, 9)).contains("ttl"));
}

#[test]
fn an_error_leaves_an_empty_cause_out() {
    let mut error =
        Error { code: 100, message: "Key not found", cause: "/foo".to_owned(), index: 6 };
    let render = |error: &Error| serde_json::to_string(&error_json(error)).unwrap();
    assert_eq!(
        render(&error),
        r#"{"errorCode":100,"message":"Key not found","cause":"/foo","index":6}"#
    );
    error.cause.clear();
    assert_eq!(render(&error), r#"{"errorCode":100,"message":"Key not found","index":6}"#);
}
