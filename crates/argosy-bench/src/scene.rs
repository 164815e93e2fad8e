//! The loss of a machine, played by the program's own demonstration, and what an outside client
//! without retries saw of it: with units as processes and as containers in turn.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::Scene;

/// What the demonstration reports, as far as it is used here.
#[derive(Deserialize)]
struct Report {
    failure: Option<String>,
    mode: String,
    units: String,
    machines: Vec<Machine>,
    first_answer_seconds: Option<f64>,
    failover: Option<Failover>,
    requests: Option<Requests>,
}

#[derive(Deserialize)]
struct Machine {
    idle_pss_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Failover {
    lost: String,
    was_leader: bool,
    units_lost: Vec<String>,
    seconds: f64,
}

#[derive(Deserialize)]
struct Requests {
    answered: u64,
    failed: u64,
    longest_seconds: f64,
}

/// One run.
#[derive(Serialize)]
struct Run {
    lost: String,
    was_leader: bool,
    units_lost: Vec<String>,
    /// From the cable pulled until each of these units answered from another machine.
    seconds: f64,
    /// Idempotent requests through the load balancers of the machines that stayed.
    answered: u64,
    failed: u64,
    longest_seconds: f64,
    /// From the start of the program to the first HTTP 200.
    first_answer_seconds: f64,
    idle_pss_bytes: Vec<u64>,
}

/// A median and what is beyond it.
#[derive(Serialize)]
struct Spread {
    p50: f64,
    p90: f64,
    max: f64,
}

/// How the units run: `native` or `containers`.
type Form = &'static str;

/// All runs of one form, and what they come to.
#[derive(Serialize)]
struct Summary {
    mode: String,
    units: Form,
    runs: Vec<Run>,
    seconds: Spread,
    seconds_leader_lost: Option<Spread>,
    seconds_other_lost: Option<Spread>,
    longest_request_seconds: Spread,
    requests: u64,
    requests_failed: u64,
    first_answer_seconds: Spread,
    idle_pss_mib: Option<Spread>,
    binary_bytes: u64,
}

/// Plays all runs and prints them.
pub(crate) fn measure(options: &Scene) -> Result<()> {
    let binary_bytes = std::fs::metadata(&options.argosy)
        .with_context(|| format!("cannot look at {}", options.argosy.display()))?
        .len();
    // The contexts of whoever measures are left alone.
    let config = tempfile::tempdir().context("cannot make a directory")?;
    // Where machines may be without namespaces there are no containers.
    let is_loopback = options.mode.as_deref() == Some("loopback");
    let forms: &[Form] = if is_loopback { &["native"] } else { &["native", "containers"] };
    let mut runs: Vec<Vec<Run>> = forms.iter().map(|_| Vec::new()).collect();
    let mut mode = String::new();
    for (number, place) in
        (1..=options.runs).flat_map(|it| (0..forms.len()).map(move |at| (it, at)))
    {
        let (leader, form) = (number % 2 == 1, forms[place]);
        let (run, played) = play(options, leader, form, config.path())
            .with_context(|| format!("run {number} of {}, {form}", options.runs))?;
        let whom = if leader { "leads" } else { "does not lead" };
        eprintln!(
            "run {number:>3}, {form:<10}: {} ({whom}) lost, {} units elsewhere after {:.3} s; {} \
             requests, {} failed, longest {:.3} s; first HTTP 200 after {:.3} s",
            run.lost,
            run.units_lost.len(),
            run.seconds,
            run.answered + run.failed,
            run.failed,
            run.longest_seconds,
            run.first_answer_seconds
        );
        runs[place].push(run);
        mode = played;
    }
    let summaries = forms.iter().zip(runs);
    let summaries: Vec<Summary> =
        summaries.map(|(form, runs)| summary(mode.clone(), form, runs, binary_bytes)).collect();
    if options.output == "json" {
        println!("{}", serde_json::to_string_pretty(&summaries)?);
        return Ok(());
    }
    for summary in &summaries {
        println!("{}\n", table(summary));
    }
    if let [native, containers] = &summaries[..] {
        println!("{}", comparison(native, containers));
    }
    Ok(())
}

fn play(options: &Scene, leader: bool, form: Form, config: &Path) -> Result<(Run, String)> {
    let lose = if leader { "leader" } else { "follower" };
    let mut command = Command::new(&options.argosy);
    command.args(["demo", "--once", "--loss-only", "-o", "json", "--name", "bench-scene"]);
    command.args(["--lose", lose, "--timing", &options.timing]).env("XDG_CONFIG_HOME", config);
    command.env_remove("ARGOSY_SOCKET").env_remove("ARGOSY_CONTEXT");
    if let Some(mode) = &options.mode {
        command.args(["--mode", mode]);
    }
    if form == "native" {
        command.arg("--native");
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {}", options.argosy.display()))?;
    let report: Report = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no report: {}", String::from_utf8_lossy(&output.stdout)))?;
    let (Some(failover), Some(requests), Some(first_answer_seconds)) =
        (report.failover, report.requests, report.first_answer_seconds)
    else {
        bail!("it did not come to the loss: {}", report.failure.unwrap_or_default());
    };
    if report.units != form {
        bail!("the units were {}, not {form}", report.units);
    }
    // Failed requests are a failure of the demonstration, and a figure here.
    let run = Run {
        lost: failover.lost,
        was_leader: failover.was_leader,
        units_lost: failover.units_lost,
        seconds: failover.seconds,
        answered: requests.answered,
        failed: requests.failed,
        longest_seconds: requests.longest_seconds,
        first_answer_seconds,
        idle_pss_bytes: report.machines.iter().filter_map(|it| it.idle_pss_bytes).collect(),
    };
    Ok((run, report.mode))
}

fn summary(mode: String, units: Form, runs: Vec<Run>, binary_bytes: u64) -> Summary {
    let seconds = |leader: bool| {
        let runs = runs.iter().filter(|run| run.was_leader == leader);
        Spread::of(runs.map(|run| run.seconds).collect())
    };
    let over = |pick: fn(&Run) -> f64| {
        let all = Spread::of(runs.iter().map(pick).collect());
        all.unwrap_or(Spread { p50: f64::NAN, p90: f64::NAN, max: f64::NAN })
    };
    let mib = |bytes: &u64| *bytes as f64 / f64::from(1 << 20);
    Summary {
        mode,
        units,
        seconds: over(|run| run.seconds),
        seconds_leader_lost: seconds(true),
        seconds_other_lost: seconds(false),
        longest_request_seconds: over(|run| run.longest_seconds),
        requests: runs.iter().map(|run| run.answered + run.failed).sum(),
        requests_failed: runs.iter().map(|run| run.failed).sum(),
        first_answer_seconds: over(|run| run.first_answer_seconds),
        idle_pss_mib: Spread::of(
            runs.iter().flat_map(|run| run.idle_pss_bytes.iter().map(mib)).collect(),
        ),
        binary_bytes,
        runs,
    }
}

impl Spread {
    /// By nearest rank; none of none.
    fn of(mut figures: Vec<f64>) -> Option<Spread> {
        figures.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            figures.get((figures.len() * percent).div_ceil(100).saturating_sub(1)).copied()
        };
        Some(Spread { p50: at(50)?, p90: at(90)?, max: at(100)? })
    }
}

fn table(summary: &Summary) -> String {
    let mut lines = vec![
        format!("{} runs in {} mode, units {}", summary.runs.len(), summary.mode, summary.units),
        format!("{:<48} {:>8} {:>8} {:>8}", "", "p50", "p90", "max"),
    ];
    let mut row = |name: &str, spread: Option<&Spread>| {
        let Some(Spread { p50, p90, max }) = spread else { return };
        lines.push(format!("{name:<48} {p50:>8.3} {p90:>8.3} {max:>8.3}"));
    };
    row("lost until all answer elsewhere, s", Some(&summary.seconds));
    row("  the machine that leads", summary.seconds_leader_lost.as_ref());
    row("  another machine", summary.seconds_other_lost.as_ref());
    row("longest request through a load balancer, s", Some(&summary.longest_request_seconds));
    row("start of the program to first HTTP 200, s", Some(&summary.first_answer_seconds));
    row("idle machine, PSS of all its processes, MiB", summary.idle_pss_mib.as_ref());
    lines.push(format!(
        "{} requests through load balancers of machines that stayed, {} failed",
        summary.requests, summary.requests_failed
    ));
    lines.push(format!("program: {:.1} MB", summary.binary_bytes as f64 / 1e6));
    lines.join("\n")
}

/// What containers cost.
fn comparison(native: &Summary, containers: &Summary) -> String {
    let mut lines =
        vec![format!("{:<48} {:>8} {:>8} {:>8}", "containers less native, s", "p50", "p90", "max")];
    let pairs = [
        ("lost until all answer elsewhere", &native.seconds, &containers.seconds),
        (
            "start of the program to first HTTP 200",
            &native.first_answer_seconds,
            &containers.first_answer_seconds,
        ),
    ];
    for (name, native, containers) in pairs {
        let [p50, p90, max] =
            [containers.p50 - native.p50, containers.p90 - native.p90, containers.max - native.max];
        lines.push(format!("{name:<48} {p50:>+8.3} {p90:>+8.3} {max:>+8.3}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    //! Tests of the figures.

    use super::*;

    #[test]
    fn spreads_are_by_nearest_rank() {
        assert!(Spread::of(Vec::new()).is_none());
        let Spread { p50, p90, max } = Spread::of((1..=20).rev().map(f64::from).collect()).unwrap();
        assert_eq!((p50, p90, max), (10.0, 18.0, 20.0));
        let Spread { p50, p90, max } = Spread::of(vec![3.0]).unwrap();
        assert_eq!((p50, p90, max), (3.0, 3.0, 3.0));
    }
}
