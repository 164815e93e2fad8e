//! Keeper and supervisor as real processes: this program plays all parts.
//!
//! Needs root and a writable cgroup tree, or user namespaces, as the keeper does.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that has its own main, which the lints take for a program"
)]

mod conformance;
mod daemon;
mod fence;
mod machine;
mod takeover;
mod units;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["keeper", dir] => machine::keeper(dir.as_ref(), None),
        ["namespaces", dir] => {
            machine::keeper(dir.as_ref(), Some(argosy_keeper::GroupMode::PidNamespace))
        }
        ["trees", dir] => {
            machine::keeper(dir.as_ref(), Some(argosy_keeper::GroupMode::ProcessTree))
        }
        ["supervisor-process", dir] => machine::supervisor(dir.as_ref()),
        ["print", lines, span] => units::print(lines.parse().unwrap(), span.parse().unwrap()),
        ["exit", code, millis] => {
            std::thread::sleep(Duration::from_millis(millis.parse().unwrap()));
            ExitCode::from(code.parse::<u8>().unwrap())
        }
        // What the test runner passes is of no interest.
        _ => {
            let tests: [(&str, fn()); 14] = [
                ("units start, stop, fail and print", units::life),
                ("the backend port", units::backend),
                ("requests belong to a connection", units::connections),
                ("every promise of a backend", conformance::every_promise),
                ("nothing is lost over twenty deaths of the supervisor", takeover::many_deaths),
                ("what happens meanwhile is told afterwards", takeover::meanwhile),
                ("unit files that cannot be used", units::refused_files),
                ("main processes in PID namespaces", units::namespaces),
                ("what the machine starts with", takeover::boot),
                ("an end takes along what a killed keeper left", takeover::keeper_dies_and_ends),
                ("fenced units run under a grant", fence::life),
                ("fenced units end with their keeper", fence::keeper_dies),
                ("no fence holds process trees", fence::process_trees),
                ("units outlive their keeper", takeover::keeper_dies),
            ];
            // Like the test runner, with a part of a name only the tests that have it.
            let only = words.first().filter(|word| !word.starts_with('-')).copied();
            for (name, test) in tests {
                if !name.contains(only.unwrap_or_default()) {
                    continue;
                }
                println!("test {name} ...");
                test();
                println!("test {name} ... ok");
            }
            ExitCode::SUCCESS
        }
    }
}
