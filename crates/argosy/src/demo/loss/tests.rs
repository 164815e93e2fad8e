//! Tests of what is counted.

use std::time::Duration;

use super::*;
use crate::demo::outside::Answer;

fn line(target: Target, at: Instant, ended_ms: u64, machine: Option<&str>) -> Line {
    let ended = at + Duration::from_millis(ended_ms);
    let answer =
        |machine: &str| Answer { unit: "any".into(), machine: machine.into(), database: None };
    let result = machine.map(answer).ok_or_else(|| "timed out".to_owned());
    Line { target, begun: ended - Duration::from_millis(10), ended, result }
}

#[test]
fn units_count_as_back_when_each_has_answered_elsewhere() {
    let at = Instant::now() + Duration::from_secs(1);
    let units = ["api@1.service", "database.service"];
    let unit = |number: usize, ms, machine| line(Target::Unit(units[number]), at, ms, machine);
    // The first answer was asked for before the loss and counts for nothing.
    let mut lines = vec![unit(0, 5, Some("m2")), unit(1, 100, Some("m3"))];
    lines.extend([unit(0, 200, Some("m1")), unit(0, 300, None)]);
    lines.push(line(Target::Balancer("m2".into()), at, 350, Some("m2")));
    assert_eq!(recovered(&lines, &units, "m1", at), None);
    lines.extend([unit(0, 400, Some("m2")), unit(0, 500, Some("m2"))]);
    let ms = |ms| at + Duration::from_millis(ms);
    let expected = BTreeMap::from([(units[0], ms(400)), (units[1], ms(100))]);
    assert_eq!(recovered(&lines, &units, "m1", at), Some(expected));
}

#[test]
fn only_requests_through_load_balancers_are_counted_as_such() {
    let at = Instant::now() + Duration::from_secs(1);
    let balancer = |machine: &str| Target::Balancer(machine.into());
    let lines = [
        line(balancer("m2"), at, 50, Some("m2")),
        line(balancer("m3"), at, 1500, None),
        line(Target::Unit("api@1.service"), at, 700, None),
    ];
    let counted = balanced(&lines, vec!["m2".into(), "m3".into()], at);
    assert_eq!((counted.answered, counted.failed), (1, 1));
    assert_eq!(counted.failures, ["1.49 s: GET / through m3 failed after 0.01 s: timed out"]);
    assert!((counted.longest_seconds - 0.01).abs() < 0.001, "{counted:?}");
}
