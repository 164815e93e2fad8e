//! Globs as Go's path.Match has them.

use super::*;

fn matches(pattern: &str, name: &str) -> bool {
    Glob::new(pattern).ok().unwrap().matches(name)
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, name) in [
        ("web@*.service", "web@1.service"),
        ("*", ""),
        ("*a*b*", "xxaxxbxx"),
        ("a?c", "abc"),
        ("[a-c]x", "bx"),
        ("[^a-c]x", "dx"),
        ("[\\]]", "]"),
        ("\\*", "*"),
        ("", ""),
    ] {
        assert!(matches(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("web", "web.service"),
        ("a?c", "ac"),
        ("[a-c]x", "dx"),
        ("*a", "ab"),
        ("\\*", "a"),
        ("", "a"),
    ] {
        assert!(!matches(pattern, name), "{pattern} {name}");
    }
}

#[test]
fn broken_patterns_are_refused() {
    for bad in ["[", "[]", "[a", "[a-", "[a-]", "[-a]", "[]a]"] {
        assert_eq!(Glob::new(bad).err(), Some(BadGlob::Class), "{bad}");
    }
    for bad in ["\\", "[\\"] {
        assert_eq!(Glob::new(bad).err(), Some(BadGlob::Escape), "{bad}");
    }
}

#[test]
fn many_stars_do_not_explode() {
    assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
}
