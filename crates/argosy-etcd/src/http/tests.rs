//! Paths of keys.

use super::{clean, percent_decode};

#[test]
fn paths_are_cleaned() {
    for (given, expected) in [
        ("", "/"),
        ("/", "/"),
        ("/a", "/a"),
        ("a/b/", "/a/b"),
        ("//a///b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../..", "/"),
    ] {
        assert_eq!(clean(given), expected, "{given:?}");
    }
}

#[test]
fn percent_codes_are_decoded() {
    for (given, expected) in [
        ("/a%20b", "/a b"),
        ("%C3%A4", "\u{e4}"),
        ("%2f%2F", "//"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("%+1", "%+1"),
        ("%ff", "\u{fffd}"),
    ] {
        assert_eq!(percent_decode(given), expected, "{given:?}");
    }
}
