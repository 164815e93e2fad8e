//! Plays seeds: `argosy-sim --seeds 2000`, or one: `argosy-sim --seed 17 --bug torn-tail`.

mod arguments;

use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_sim::{ClusterScenario, ClusterStats, Scenario, Stats};

use self::arguments::{Arguments, HELP};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return finish(out.write_all(HELP.as_bytes()), true);
    }
    match Arguments::parse(words.into_iter()) {
        Ok(arguments) => match play(&arguments, &mut out) {
            Ok(passed) => finish(Ok(()), passed),
            Err(error) => finish(Err(error), false),
        },
        Err(problem) => finish(writeln!(out, "argosy-sim: {problem}\n\n{HELP}"), false),
    }
}

fn finish(written: std::io::Result<()>, passed: bool) -> ExitCode {
    // A closed output is no reason to fail, but a failed run is.
    drop(written);
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What one seed came to: its line if something was found, and its numbers.
struct Played {
    title: String,
    finding: Option<String>,
    details: String,
    virtual_time: Duration,
    numbers: String,
}

fn play(arguments: &Arguments, out: &mut impl Write) -> std::io::Result<bool> {
    let started = Instant::now();
    let (mut passed, mut failed) = (0_u64, 0_u64);
    let mut virtual_time = Duration::ZERO;
    let mut totals = (Stats::default(), ClusterStats::default());
    // A panic is a finding like any other and is told once, with its seed.
    panic::set_hook(Box::new(|_| {}));
    let mut numbers = String::new();
    for seed in arguments.from..arguments.from.saturating_add(arguments.count) {
        let one = panic::catch_unwind(AssertUnwindSafe(|| match arguments.cluster {
            true => play_cluster(arguments, seed, &mut totals.1),
            false => play_store(arguments, seed, &mut totals.0),
        }));
        let (title, finding) = match one {
            Ok(played) => {
                virtual_time += played.virtual_time;
                numbers = played.numbers;
                if arguments.one {
                    out.write_all(played.details.as_bytes())?;
                }
                (played.title, played.finding)
            }
            Err(panic) => {
                (format!("seed {seed}"), Some(format!("panic: {}", words_of(panic.as_ref()))))
            }
        };
        match finding {
            None => passed += 1,
            Some(finding) => {
                failed += 1;
                writeln!(out, "{title}: {finding}")?;
                if arguments.until_found {
                    break;
                }
            }
        }
    }
    let real = started.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    let speed = virtual_time.as_secs_f64() / real;
    writeln!(out, "{passed} passed, {failed} failed")?;
    let seconds = virtual_time.as_secs();
    writeln!(out, "{seconds} virtual seconds in {real:.1} s ({speed:.0} each second), {numbers}")?;
    Ok(failed == 0)
}

fn play_store(arguments: &Arguments, seed: u64, total: &mut Stats) -> Played {
    let mut scenario = Scenario::of_seed(seed);
    scenario.members = arguments.members.unwrap_or(scenario.members);
    scenario.planted = arguments.bug;
    let outcome = argosy_sim::run(&scenario);
    total.add(&outcome.stats);
    let Stats { events, crashes, answered, .. } = *total;
    Played {
        title: format!("seed {seed} (members: {})", scenario.members.as_str()),
        finding: outcome.violation.map(|violation| violation.to_string()),
        details: format!("trace {:016x}\n{:#?}\n", outcome.trace_hash, outcome.stats),
        virtual_time: outcome.stats.virtual_time,
        numbers: format!("{events} events, {crashes} crashes, {answered} requests answered"),
    }
}

fn play_cluster(arguments: &Arguments, seed: u64, total: &mut ClusterStats) -> Played {
    let mut scenario = ClusterScenario::of_seed(seed);
    scenario.machines = arguments.machines.unwrap_or(scenario.machines);
    if let Some(units) = arguments.units {
        (scenario.units, scenario.all_units) = (units, true);
    }
    scenario.operators = arguments.operators.unwrap_or(scenario.operators);
    scenario.clients = arguments.clients.unwrap_or(scenario.clients);
    // Each asks as often as the others, at moments as irregular as can be.
    let pace = |count: u64, together: f64| {
        let mean = Duration::from_secs(count).div_f64(together);
        (Duration::ZERO, mean * 2)
    };
    if let Some(changes) = arguments.changes {
        scenario.pause = pace(scenario.operators, changes as f64 / 10.0);
    }
    if let Some(ops) = arguments.ops {
        scenario.pace = pace(scenario.clients, ops as f64);
    }
    if let Some(seconds) = arguments.seconds {
        scenario.faults_for = Duration::from_secs(seconds);
    }
    if let Some(seconds) = arguments.fault_every {
        let mean = Duration::from_secs(seconds);
        scenario.fault_after = (mean / 2, mean * 3 / 2);
    }
    scenario.planted = arguments.bug;
    let outcome = argosy_sim::run_cluster(&scenario);
    total.add(&outcome.stats);
    let ClusterStats { events, started, placed, lost, acknowledged, answered, .. } = *total;
    Played {
        title: format!("seed {seed} ({} machines)", scenario.machines),
        finding: outcome.violation.map(|violation| violation.to_string()),
        details: format!("trace {:016x}\n{:#?}\n", outcome.trace_hash, outcome.stats),
        virtual_time: outcome.stats.virtual_time,
        numbers: format!(
            "{events} events, {started} runs, {placed} placements, {lost} machines lost, \
             {acknowledged} changes of operators, {answered} requests of clients answered"
        ),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
