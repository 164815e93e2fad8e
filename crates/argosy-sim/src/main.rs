//! Plays seeds: `argosy-sim --seeds 2000`, or one: `argosy-sim --seed 17 --bug torn-tail`.

use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_model::PlantedBug;
use argosy_sim::{ClusterScenario, ClusterStats, Members, Scenario, Stats};

const HELP: &str = "\
Plays whole stores in one thread, with faults, and checks what they promise.

  --seeds N      play N seeds (default 100)
  --from S       begin with seed S (default 0)
  --seed S       play this one seed and tell what happened
  --members M    how many members: 1, 3 or growing (default: as the seed says)
  --cluster      play whole clusters instead: machines, units, operators
  --machines N   with --cluster: how many machines (default: as the seed says)
  --units N      with --cluster: how many unit names operators play with
  --clients N    with --cluster: how many operators go on side by side (default 1)
  --ops N        with --cluster: changes that they ask for together in a virtual second
  --fault-every S  with --cluster: virtual seconds from one fault to the next
  --bug NAME     plant a defect; a wrong name lists them
  --until-found  stop at the first violation
";

/// What was asked for.
#[derive(Default)]
struct Arguments {
    from: u64,
    count: u64,
    members: Option<Members>,
    bug: Option<PlantedBug>,
    until_found: bool,
    one: bool,
    cluster: bool,
    machines: Option<usize>,
    units: Option<u64>,
    clients: Option<u64>,
    ops: Option<u64>,
    fault_every: Option<u64>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { count: 100, ..Self::default() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--seeds" => arguments.count = number(&value()?)?,
                "--from" => arguments.from = number(&value()?)?,
                "--seed" => {
                    arguments.from = number(&value()?)?;
                    arguments.count = 1;
                    arguments.one = true;
                }
                "--members" => {
                    let name = value()?;
                    let members = Members::ALL.into_iter().find(|kind| kind.as_str() == name);
                    let unknown = || format!("--members is 1, 3 or growing, not {name}");
                    arguments.members = Some(members.ok_or_else(unknown)?);
                }
                "--bug" => {
                    let name = value()?;
                    let bug = PlantedBug::ALL.into_iter().find(|bug| bug.as_str() == name);
                    let names = PlantedBug::ALL.map(PlantedBug::as_str).join(", ");
                    let unknown = || format!("no defect is named {name}; there are {names}");
                    arguments.bug = Some(bug.ok_or_else(unknown)?);
                }
                "--cluster" => arguments.cluster = true,
                "--machines" => {
                    let count = number(&value()?)?;
                    let few = usize::try_from(count).ok().filter(|count| (1..=9).contains(count));
                    arguments.machines = Some(few.ok_or("--machines is 1 to 9")?);
                }
                "--units" => arguments.units = Some(number(&value()?)?),
                "--clients" => arguments.clients = Some(positive(&word, &value()?)?),
                "--ops" => arguments.ops = Some(positive(&word, &value()?)?),
                "--fault-every" => arguments.fault_every = Some(positive(&word, &value()?)?),
                "--until-found" => arguments.until_found = true,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        Ok(arguments)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn positive(word: &str, text: &str) -> Result<u64, String> {
    match number(text)? {
        0 => Err(format!("{word} is at least 1")),
        number => Ok(number),
    }
}

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
    scenario.units = arguments.units.unwrap_or(scenario.units);
    scenario.operators = arguments.clients.unwrap_or(scenario.operators);
    if let Some(ops) = arguments.ops {
        // Each asks as often as the others, at moments as irregular as can be.
        let mean = Duration::from_secs(scenario.operators).div_f64(ops as f64);
        scenario.pause = (Duration::ZERO, mean * 2);
    }
    if let Some(seconds) = arguments.fault_every {
        let mean = Duration::from_secs(seconds);
        scenario.fault_after = (mean / 2, mean * 3 / 2);
    }
    scenario.planted = arguments.bug;
    let outcome = argosy_sim::run_cluster(&scenario);
    total.add(&outcome.stats);
    let ClusterStats { events, started, placed, lost, acknowledged, .. } = *total;
    Played {
        title: format!("seed {seed} ({} machines)", scenario.machines),
        finding: outcome.violation.map(|violation| violation.to_string()),
        details: format!("trace {:016x}\n{:#?}\n", outcome.trace_hash, outcome.stats),
        virtual_time: outcome.stats.virtual_time,
        numbers: format!(
            "{events} events, {started} runs, {placed} placements, {lost} machines lost, \
             {acknowledged} changes of operators"
        ),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
