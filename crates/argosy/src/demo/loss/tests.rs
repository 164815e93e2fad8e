//! Tests of what is counted.

use std::time::Duration;

use super::*;

fn line(at: Instant, unit: &'static str, ended_ms: u64, machine: Option<&str>) -> Line {
    let ended = at + Duration::from_millis(ended_ms);
    let begun = ended - Duration::from_millis(10);
    Line { unit, begun, ended, machine: machine.map(str::to_owned) }
}

#[test]
fn units_count_as_back_when_the_last_answers_elsewhere() {
    let at = Instant::now() + Duration::from_secs(1);
    // The first answer was asked for before the loss and counts for nothing.
    let mut lines = vec![line(at, "api@1.service", 5, Some("m2"))];
    for (number, (unit, ..)) in TARGETS.iter().enumerate().skip(1) {
        lines.push(line(at, unit, 100 + number as u64, Some("m3")));
    }
    lines.push(line(at, "api@1.service", 200, Some("m1")));
    lines.push(line(at, "api@1.service", 300, None));
    assert_eq!(recovered(&lines, "m1", at), None);
    lines.push(line(at, "api@1.service", 400, Some("m2")));
    lines.push(line(at, "api@1.service", 500, Some("m2")));
    assert_eq!(recovered(&lines, "m1", at), Some(at + Duration::from_millis(400)));
}

#[test]
fn failures_of_units_that_stayed_are_told_apart() {
    let at = Instant::now() + Duration::from_secs(1);
    let lines = [
        line(at, "api@1.service", 50, None),
        line(at, "api@2.service", 100, Some("m2")),
        line(at, "api@2.service", 300, None),
        line(at, "api@2.service", 700, Some("m2")),
        line(at, "api@2.service", 900, None),
        line(at, "api@1.service", 800, Some("m3")),
    ];
    let lost = BTreeSet::from(["api@1.service".to_owned()]);
    let counted = count(&lines, "m1", &lost, at, at + Duration::from_millis(800));
    assert_eq!((counted.answered, counted.failed, counted.failed_of_others), (3, 2, 1));
    assert!((counted.longest_gap_of_others - 0.6).abs() < 0.001, "{counted:?}");
    assert!((counted.seconds - 0.8).abs() < 0.001, "{counted:?}");
}
