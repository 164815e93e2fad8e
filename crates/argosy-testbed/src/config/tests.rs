//! Tests of names and wanted modes.

use super::*;

#[test]
fn names_are_short_and_plain() {
    for good in ["m1", "a", "demo-2", "twenty-characters-ab"] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", "-a", "M1", "a/b", "..", "a b", "twenty-one-characters"] {
        assert!(!is_name(bad), "{bad}");
    }
}

#[test]
fn a_fallback_is_the_callers_decision() {
    assert_eq!(Wanted::Any.modes(true), [Mode::Root, Mode::User, Mode::Loopback]);
    assert_eq!(Wanted::Any.modes(false), [Mode::User, Mode::Loopback]);
    assert_eq!(Wanted::Isolated.modes(false), [Mode::User]);
    assert_eq!(Wanted::Only(Mode::Root).modes(false), [Mode::Root]);
}
