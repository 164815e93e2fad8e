//! The result: medians over the rounds, and ratios of ours to theirs.

use std::fmt::Write;

use crate::Store;
use crate::load::{Figures, KINDS, Round};

/// Picks one number out of what was measured.
type Pick = fn(&Figures) -> f64;

pub(crate) fn table(options: &Store, ours: &[Round], theirs: &[Round]) -> String {
    let mut text = format!(
        "{} requests of each kind, {} clients on {} connections, values of {} bytes, \
         median of {} rounds\n\n{:<34} {:>5} {:>10} {:>10} {:>8}\n",
        options.requests,
        options.clients,
        options.connections,
        options.value_bytes,
        options.rounds,
        "",
        "unit",
        "argosy",
        "etcd",
        "ratio"
    );
    let mut row = |name: &str, unit: &str, ours: f64, theirs: f64| {
        let ratio = if theirs > 0.0 { ours / theirs } else { f64::NAN };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<34} {unit:>5} {ours:>10.2} {theirs:>10.2} {ratio:>8.2}");
    };
    for (at, (_, name)) in KINDS.iter().enumerate() {
        let pick = |rounds: &[Round], figure: Pick| {
            median(rounds.iter().map(|round| figure(&round.figures[at])).collect())
        };
        let figures: [(&str, &str, Pick); 4] = [
            ("requests per second", "1/s", |f| f.requests_per_second),
            ("latency p50", "ms", |f| f.p50.as_secs_f64() * 1e3),
            ("latency p99", "ms", |f| f.p99.as_secs_f64() * 1e3),
            ("server CPU for 100,000", "s", |f| f.cpu_per_100k),
        ];
        for (what, unit, figure) in figures {
            row(&format!("{name}: {what}"), unit, pick(ours, figure), pick(theirs, figure));
        }
    }
    let memory = |rounds: &[Round]| {
        median(rounds.iter().map(|round| round.resident_bytes as f64 / 1e6).collect())
    };
    row("resident memory after the run", "MB", memory(ours), memory(theirs));
    text
}

pub(crate) fn median(figures: Vec<f64>) -> f64 {
    percentile(figures, 50)
}

/// Returns the figure below which so many of a hundred lie.
pub(crate) fn percentile(mut figures: Vec<f64>, percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() * percent / 100).copied().unwrap_or(f64::NAN)
}
