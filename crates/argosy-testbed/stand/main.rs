//! Programs for the integration tests: an owner of a testbed, and what runs inside machines.
#![expect(clippy::unwrap_used, reason = "a failure here is how a test fails")]
#![expect(clippy::print_stdout, reason = "tests read what is printed")]

mod traffic;
mod world;

use std::io::{Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argosy_testbed::{Control, Exit, MachineCommand, Mode, Testbed, TestbedConfig, Wanted};

fn main() -> ExitCode {
    if let Some(code) = argosy_testbed::hidden_role() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["own", base, name, wanted] => return own(base, name, wanted),
        ["echo", address] => traffic::echo(address),
        ["ping", kind, address, count] => {
            traffic::ping(kind, address, count.parse().unwrap());
        }
        ["count"] => traffic::count(),
        ["sink", address] => traffic::sink(address),
        ["flood", address, bytes] => traffic::flood(address, bytes.parse().unwrap()),
        ["clean", base] => {
            let cleaned = argosy_testbed::clean(Some(Path::new(base))).unwrap();
            say(&format!("cleaned {}", cleaned.join(" ")));
        }
        ["enter", base, machine, ref argv @ ..] => return enter(base, machine, argv),
        ["world", scenario, wanted, user, base] => {
            return world::run(scenario, wanted, user, base);
        }
        _ => panic!("no such part: {arguments:?}"),
    }
    ExitCode::SUCCESS
}

/// Tells on a line of its own that this program is ready for its test.
fn say(text: &str) {
    println!("{text}");
    stdout().flush().unwrap();
}

/// Owns a testbed until standard input ends; `-` is the usual place.
fn own(base: &str, name: &str, wanted: &str) -> ExitCode {
    let wanted = match wanted {
        "any" => Wanted::Any,
        "isolated" => Wanted::Isolated,
        "root" => Wanted::Only(Mode::Root),
        "user" => Wanted::Only(Mode::User),
        "loopback" => Wanted::Only(Mode::Loopback),
        _ => panic!("no such mode: {wanted}"),
    };
    let base = (base != "-").then(|| PathBuf::from(base));
    match Testbed::create(TestbedConfig { wanted, base, ..TestbedConfig::new(name) }) {
        Err(error) => {
            say(&format!("error {error}"));
            ExitCode::FAILURE
        }
        Ok(testbed) => {
            say(&format!("mode {}", testbed.mode()));
            stdin().read_to_end(&mut Vec::new()).unwrap();
            testbed.destroy().unwrap();
            say("destroyed");
            ExitCode::SUCCESS
        }
    }
}

/// Runs a program in a machine of the testbed `bed` on this process's standard descriptors.
fn enter(base: &str, machine: &str, argv: &[&str]) -> ExitCode {
    let control = Control::open("bed", Some(Path::new(base))).unwrap();
    match control.enter(machine, MachineCommand::new(argv.iter().copied())).unwrap() {
        Exit::Code(code) => ExitCode::from(u8::try_from(code).unwrap()),
        Exit::Signal(_) | Exit::MachineLost => ExitCode::FAILURE,
    }
}
