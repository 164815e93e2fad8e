//! The table is whole and has no row twice.

use std::collections::BTreeSet;

use super::*;

/// What `systemd --dump-configuration-items` of version 252 prints for these sections.
const SYSTEMD_252: &str = include_str!("tests/systemd-252.txt");

#[test]
fn every_directive_of_systemd_252_has_a_row() {
    let mut section = "";
    let mut count = 0;
    for line in SYSTEMD_252.lines() {
        match line.strip_prefix('[') {
            Some(header) => section = header.trim_end_matches(']'),
            None => {
                assert!(find(section, line).is_some(), "[{section}] {line}=");
                count += 1;
            }
        }
    }
    assert_eq!(count, 361);
}

#[test]
fn no_row_stands_twice_and_every_reason_is_given() {
    let mut seen = BTreeSet::new();
    for group in DIRECTIVES {
        for rule in group.rules {
            assert!(seen.insert((group.section, rule.key)), "[{}] {}=", group.section, rule.key);
            if let Support::SystemdOnly(why) | Support::Refused(why) = rule.support {
                assert!(why.len() > 10 && !why.ends_with('.'), "{}=", rule.key);
            }
        }
    }
}

#[test]
fn harmless_values() {
    assert!(Harmless::Empty.holds("") && !Harmless::Empty.holds("no"));
    assert!(Harmless::False.holds("off") && !Harmless::False.holds("yes"));
    assert!(Harmless::True.holds("on") && !Harmless::True.holds("no"));
    assert!(Harmless::Values(&["a"]).holds("a") && !Harmless::Values(&["a"]).holds("b"));
}

#[test]
fn the_nearest_key_is_one_of_the_same_section_if_any() {
    assert_eq!(nearest_key("Service", "ExceStart"), Some(("Service", "ExecStart")));
    assert_eq!(nearest_key("Unit", "conflict"), Some(("Unit", "Conflicts")));
    assert_eq!(nearest_key("X-Fleet", "conflict"), Some(("X-Fleet", "Conflicts")));
    assert_eq!(nearest_key("Unit", "ExecStrt"), Some(("Service", "ExecStart")));
    assert_eq!(nearest_key("Unit", "Quux"), None);
    assert_eq!(nearest_key("Unit", &"a".repeat(100_000)), None);
    assert_eq!(nearest_section("unit"), Some("Unit"));
}
