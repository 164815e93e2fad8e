//! What the requests around the loss of a machine say.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::demo::outside::{Line, TARGETS};
use crate::demo::report::{Failover, rounded};

/// Returns when every unit had answered a request, made after the loss, from another machine.
pub(super) fn recovered(lines: &[Line], lost: &str, at: Instant) -> Option<Instant> {
    TARGETS
        .iter()
        .map(|(unit, ..)| {
            let good = |line: &&Line| {
                line.unit == *unit
                    && line.begun >= at
                    && line.machine.as_ref().is_some_and(|machine| machine != lost)
            };
            lines.iter().filter(good).map(|line| line.ended).min()
        })
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()
}

/// Counts the requests that ended between the loss and `until`.
pub(super) fn count(
    lines: &[Line],
    lost: &str,
    units_lost: &BTreeSet<String>,
    at: Instant,
    until: Instant,
) -> Failover {
    let window: Vec<&Line> =
        lines.iter().filter(|line| line.ended >= at && line.ended <= until).collect();
    let failed: Vec<&&Line> = window.iter().filter(|line| line.machine.is_none()).collect();
    let others = |line: &&&&Line| !units_lost.contains(line.unit);
    let gap = TARGETS
        .iter()
        .filter(|(unit, ..)| !units_lost.contains(*unit))
        .map(|(unit, ..)| {
            let mut last = at;
            let mut longest = std::time::Duration::ZERO;
            let mut failing = false;
            for line in window.iter().filter(|line| line.unit == *unit) {
                failing |= line.machine.is_none();
                if failing {
                    longest = longest.max(line.ended - last);
                }
                if line.machine.is_some() {
                    (last, failing) = (line.ended, false);
                }
            }
            longest
        })
        .max()
        .unwrap_or_default();
    Failover {
        lost: lost.to_owned(),
        units_lost: units_lost.iter().cloned().collect(),
        seconds: rounded(until - at),
        answered: window.len() - failed.len(),
        failed: failed.len(),
        failed_of_others: failed.iter().filter(others).count(),
        longest_gap_of_others: rounded(gap),
    }
}

#[cfg(test)]
mod tests;
