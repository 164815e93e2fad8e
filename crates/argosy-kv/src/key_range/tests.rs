//! Tests of key ranges.

use super::*;

#[test]
fn the_special_ends_mean_what_etcd_says() {
    assert!(KeyRange::key("a").contains(b"a"));
    assert!(!KeyRange::key("a").contains(b"ab"));
    assert!(KeyRange::from_key("b").contains(b"\xff\xff"));
    assert!(!KeyRange::from_key("b").contains(b"a"));
    assert!(KeyRange::all().contains(b"\0"));
    assert!(KeyRange::between("b", "a").is_empty());
    assert!(!KeyRange::between("b", "a").contains(b"b"));
    assert!(KeyRange::between("a", "a").is_empty());
}

#[test]
fn a_prefix_ends_after_its_last_key() {
    assert_eq!(KeyRange::prefix("a"), KeyRange::between("a", "b"));
    assert_eq!(KeyRange::prefix(&b"a\xff"[..]), KeyRange::between(&b"a\xff"[..], "b"));
    assert_eq!(KeyRange::prefix(&b"\xff"[..]), KeyRange::from_key(&b"\xff"[..]));
    assert_eq!(KeyRange::prefix(""), KeyRange::all());
}
