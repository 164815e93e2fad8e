//! Plays seeds: `argosy-sim --seeds 2000`, or one: `argosy-sim --seed 17 --bug torn-tail`.

use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_model::PlantedBug;
use argosy_sim::{Members, Outcome, Scenario, Stats};

const HELP: &str = "\
Plays whole stores in one thread, with faults, and checks what they promise.

  --seeds N      play N seeds (default 100)
  --from S       begin with seed S (default 0)
  --seed S       play this one seed and tell what happened
  --members 1|3  how many members (default: as the seed says)
  --bug NAME     plant a defect: early-acknowledge, torn-tail, read-index-skipped,
                 context-reused, watch-event-lost
  --until-found  stop at the first violation
";

/// What was asked for.
struct Arguments {
    from: u64,
    count: u64,
    members: Option<Members>,
    bug: Option<PlantedBug>,
    until_found: bool,
    one: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments =
            Self { from: 0, count: 100, members: None, bug: None, until_found: false, one: false };
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
                    arguments.members = Some(match value()?.as_str() {
                        "1" => Members::One,
                        "3" => Members::Three,
                        other => return Err(format!("--members is 1 or 3, not {other}")),
                    });
                }
                "--bug" => {
                    let name = value()?;
                    let bug = PlantedBug::ALL.into_iter().find(|bug| bug.as_str() == name);
                    arguments.bug = Some(bug.ok_or_else(|| format!("no defect is named {name}"))?);
                }
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

fn play(arguments: &Arguments, out: &mut impl Write) -> std::io::Result<bool> {
    let started = Instant::now();
    let (mut passed, mut failed) = (0_u64, 0_u64);
    let mut stats = Stats::default();
    // A panic is a finding like any other and is told once, with its seed.
    panic::set_hook(Box::new(|_| {}));
    for seed in arguments.from..arguments.from.saturating_add(arguments.count) {
        let mut scenario = Scenario::of_seed(seed);
        scenario.members = arguments.members.unwrap_or(scenario.members);
        scenario.planted = arguments.bug;
        let finding = match panic::catch_unwind(AssertUnwindSafe(|| argosy_sim::run(&scenario))) {
            Ok(outcome) => {
                stats.add(&outcome.stats);
                if arguments.one {
                    tell(&outcome, out)?;
                }
                outcome.violation.map(|violation| violation.to_string())
            }
            Err(panic) => Some(format!("panic: {}", words_of(panic.as_ref()))),
        };
        match finding {
            None => passed += 1,
            Some(finding) => {
                failed += 1;
                let members = scenario.members.count();
                writeln!(out, "seed {seed} ({members} members): {finding}")?;
                if arguments.until_found {
                    break;
                }
            }
        }
    }
    let Stats { virtual_time, events, crashes, answered, .. } = stats;
    let real = started.elapsed().max(Duration::from_millis(1));
    let speed = virtual_time.as_secs_f64() / real.as_secs_f64();
    writeln!(out, "{passed} passed, {failed} failed")?;
    writeln!(
        out,
        "{} virtual seconds in {:.1} s ({speed:.0} each second), {events} events, {crashes} \
         crashes, {answered} requests answered",
        virtual_time.as_secs(),
        real.as_secs_f64(),
    )?;
    Ok(failed == 0)
}

fn tell(outcome: &Outcome, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "trace {:016x}\n{:#?}", outcome.trace_hash, outcome.stats)
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
