//! The JSON of v1.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;

fn render(value: Option<&'static str>, dir: bool) -> String {
    let node = v1::Node {
        key: "/database".to_owned(),
        value: value.map(Bytes::from),
        dir,
        index: 3,
        lease: 0,
    };
    let none = Expiries::fixed("2026-11-23T17:19:08Z".parse().unwrap(), BTreeMap::new());
    serde_json::to_string(&node_json(node, &none)).unwrap()
}

#[test]
fn a_key_and_a_directory() {
    assert_eq!(
        render(Some("10.0.0.1:3306"), false),
        r#"{"action":"get","key":"/database","value":"10.0.0.1:3306","index":3}"#
    );
    assert_eq!(render(None, true), r#"{"action":"get","key":"/database","dir":true,"index":3}"#);
}
