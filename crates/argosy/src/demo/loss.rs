//! What the requests around the loss of a machine say.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::demo::client::{Line, Target};
use crate::demo::report::{Balanced, rounded};

/// Requests that failed of which the report tells each; more say nothing new.
const FAILURES_TOLD_MAX: usize = 100;

/// Returns when each unit first answered a request, made after the loss, from another machine.
pub(super) fn recovered(
    lines: &[Line],
    units: &[&'static str],
    lost: &str,
    at: Instant,
) -> Option<BTreeMap<&'static str, Instant>> {
    let first = |unit: &&'static str| {
        let good = |line: &&Line| {
            let from = line.result.as_ref().ok().map(|answer| answer.machine.as_str());
            line.target == Target::Unit(unit)
                && line.begun >= at
                && from.is_some_and(|machine| machine != lost)
        };
        Some((*unit, lines.iter().filter(good).map(|line| line.ended).min()?))
    };
    units.iter().map(first).collect()
}

/// Counts the requests through load balancers.
pub(super) fn balanced(lines: &[Line], machines: Vec<String>, begun: Instant) -> Balanced {
    let asked: Vec<&Line> =
        lines.iter().filter(|line| matches!(line.target, Target::Balancer(_))).collect();
    let longest = asked.iter().map(|line| line.ended - line.begun).max().unwrap_or_default();
    let failures: Vec<String> =
        asked.iter().filter_map(|line| failure(line, begun)).take(FAILURES_TOLD_MAX).collect();
    let failed = asked.iter().filter(|line| line.result.is_err()).count();
    Balanced {
        machines,
        answered: asked.len() - failed,
        failed,
        longest_seconds: rounded(longest),
        failures,
    }
}

fn failure(line: &Line, begun: Instant) -> Option<String> {
    let (Target::Balancer(machine), Err(why)) = (&line.target, &line.result) else { return None };
    let at = rounded(line.begun.saturating_duration_since(begun));
    let took = rounded(line.ended - line.begun);
    Some(format!("{at} s: GET / through {machine} failed after {took} s: {why}"))
}

#[cfg(test)]
mod tests;
