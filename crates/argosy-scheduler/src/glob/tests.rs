//! Globs behave as Go's path.Match does.

use super::matches;

#[test]
fn follows_path_match() {
    for (pattern, name, expected) in [
        ("web.service", "web.service", true),
        ("web@*.service", "web@12.service", true),
        ("web@*.service", "web.service", false),
        ("*", "anything.service", true),
        ("*.timer", "a.service", false),
        ("a*b*c", "a-x-b-y-b-z-c", true),
        ("a*b*c", "a-x-b-y", false),
        ("web@?.service", "web@1.service", true),
        ("web@?.service", "web@10.service", false),
        ("web@[1-3].service", "web@2.service", true),
        ("web@[1-3].service", "web@4.service", false),
        ("web@[^1-3].service", "web@4.service", true),
        ("web@[^1-3].service", "web@2.service", false),
        ("a\\*.service", "a*.service", true),
        ("a\\*.service", "ab.service", false),
        ("", "", true),
        ("", "a", false),
        ("a", "", false),
        ("**a", "ba", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
    }
}

#[test]
fn a_malformed_pattern_matches_nothing_else() {
    for pattern in ["web@[1-", "web@[", "a\\", "[]a]"] {
        assert!(!matches(pattern, "web@1.service"), "{pattern}");
        assert!(matches(pattern, pattern), "{pattern}");
    }
}
