//! Taking over: the daemon and the supervisor are killed again and again, and nobody notices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::machine::{Machine, start_ticks};

/// Kills of each process.
const KILLS: u32 = 200;
/// Prints 100 numbered lines every 10 ms. `$$` is systemd's way to write a dollar sign.
const CHATTER: &str = "\
[Service]
ExecStart=/usr/bin/perl -MIO::Handle -e 'while (1) { print 0 + $$n++, \"\\n\" for 1..100; STDOUT->flush; select(undef, undef, undef, 0.01) }'
";
/// Ends by itself and is started again, for ever.
const FLAKY: &str = "\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'echo run; sleep 0.05; exit 7'
Restart=always
RestartSec=50ms
";
/// Ends once, with an exit code of its own.
const ONCE: &str = "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sleep 0.0%i; exit %i'
";

/// A small generator with a fixed sequence per seed (xorshift64*).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

fn unit(machine: &Machine, name: &str) -> Value {
    // Its exit status says whether the unit runs, which is not what is asked here.
    let ran = machine.run(&["--local", "status", name, "-n", "0", "-o", "json"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    shown["unit"]["status"].clone()
}

fn install(machine: &Machine) {
    machine.local_unit("chatter@.service", CHATTER);
    machine.local_unit("flaky.service", FLAKY);
    machine.local_unit("once@.service", ONCE);
    machine.run(&["--local", "daemon-reload"]).ok();
    for name in ["chatter@1", "chatter@2", "flaky"] {
        machine.run(&["--local", "start", name]).ok();
    }
}

/// Starts and stops units from outside until told to end; a refused or broken request is what a
/// killed supervisor looks like, and is tried again.
fn churn(machine: &Machine, ended: &AtomicBool) {
    let mut round = 0_u32;
    while !ended.load(Ordering::Relaxed) {
        round += 1;
        let name = format!("once@{}", 1 + round % 9);
        machine.run(&["--local", "start", &name]);
        machine.run(&["--local", "stop", "flaky"]);
        machine.run(&["--local", "start", "flaky"]);
    }
}

/// Asserts that the numbered output of a unit has neither gap nor repeat.
fn check_stream(machine: &Machine, name: &str) -> usize {
    let text = machine.run(&["--local", "journal", name, "--cat"]).ok().stdout;
    let mut next = 0_u64;
    for line in text.lines() {
        let Ok(number) = line.parse::<u64>() else { continue };
        assert_eq!(number, next, "{name} has a gap or a repeat");
        next += 1;
    }
    usize::try_from(next).unwrap()
}

#[test]
fn killing_the_supervisor_is_not_noticed() {
    let machine = Machine::started_without_daemon();
    install(&machine);
    let chatter = ["chatter@1.service", "chatter@2.service"];
    let before: BTreeMap<&str, (Value, u64)> = chatter
        .iter()
        .map(|name| {
            let pid = unit(&machine, name)["main_pid"].clone();
            let ticks = start_ticks(u32::try_from(pid.as_u64().unwrap()).unwrap()).unwrap();
            (*name, (pid, ticks))
        })
        .collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| churn(&machine, &ended));
        let mut seeded = Seeded(0x5EED_0001);
        let mut restarts = 0;
        for kill in 0..KILLS {
            std::thread::sleep(Duration::from_millis(seeded.below(120)));
            let old = machine.kill_child("supervisor-process");
            if kill % 10 != 9 {
                continue;
            }
            machine.wait("the next supervisor", |m| {
                m.child("supervisor-process").is_some_and(|pid| pid != old)
                    && m.run(&["--local", "list-units"]).code == 0
            });
            for (name, (pid, ticks)) in &before {
                let now = unit(&machine, name);
                assert_eq!(&now["main_pid"], pid, "{name} after kill {kill}");
                assert_eq!(now["main_start_ticks"], *ticks, "{name} after kill {kill}");
                assert_eq!(now["restarts"], 0, "{name} after kill {kill}");
                restarts += 1;
            }
        }
        assert_eq!(restarts, KILLS / 10 * 2);
        ended.store(true, Ordering::Relaxed);
    });
    exit_codes_are_right(&machine);
    for name in chatter {
        machine.run(&["--local", "stop", name]).ok();
        wait_for_stopped(&machine, name);
        let lines = check_stream(&machine, name);
        assert!(lines > 50_000, "{name} printed only {lines} lines");
    }
    restart_counts_are_right(&machine);
}

/// Waits until the journal has all that a stopped unit printed.
fn wait_for_stopped(machine: &Machine, name: &str) {
    machine.wait("the last of its output", |m| {
        let journal = m.run(&["--local", "journal", name, "-n", "1", "--cat"]).ok().stdout;
        journal.contains("Stopped")
    });
}

fn exit_codes_are_right(machine: &Machine) {
    for code in 1..=9 {
        let name = format!("once@{code}.service");
        machine.run(&["--local", "start", &name]);
        let status = unit(machine, &name);
        assert_eq!(status["result"], "exit-code", "{name}: {status}");
        assert_eq!(status["main_exit"]["code"], code, "{name}: {status}");
    }
}

/// Every run of the flaky unit since its last start by request prints one line, and each but the
/// first is a restart.
fn restart_counts_are_right(machine: &Machine) {
    machine.run(&["--local", "stop", "flaky"]).ok();
    wait_for_stopped(machine, "flaky");
    let runs_before = runs(machine);
    machine.run(&["--local", "start", "flaky"]).ok();
    for _ in 0..10 {
        let old = machine.kill_child("supervisor-process");
        machine.wait("the next supervisor", |m| {
            m.child("supervisor-process").is_some_and(|pid| pid != old)
                && m.run(&["--local", "list-units"]).code == 0
        });
    }
    machine.wait("several restarts", |m| unit(m, "flaky")["restarts"].as_u64() >= Some(8));
    machine.run(&["--local", "stop", "flaky"]).ok();
    wait_for_stopped(machine, "flaky");
    let restarts = usize::try_from(unit(machine, "flaky")["restarts"].as_u64().unwrap()).unwrap();
    let runs = runs(machine) - runs_before;
    // The stop may have come before the last run printed.
    assert!(runs == restarts + 1 || runs == restarts, "{restarts} restarts but {runs} runs");
}

fn runs(machine: &Machine) -> usize {
    let text = machine.run(&["--local", "journal", "flaky", "--cat"]).ok().stdout;
    text.lines().filter(|line| *line == "run").count()
}

#[test]
fn killing_the_daemon_is_not_noticed() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("chatter@.service", CHATTER);
    let flaky = FLAKY.replace("RestartSec=50ms", "RestartSec=500ms");
    machine.file("flaky.service", &flaky);
    machine.file("steady.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["submit", "chatter@.service"]).ok();
    machine.run(&["apply", "steady.service"]).ok();
    machine.run(&["apply", "--no-block", "flaky.service"]).ok();
    machine.run(&["start", "chatter@1"]).ok();
    let stable = ["steady.service", "chatter@1.service"];
    let before: Vec<Value> = stable.iter().map(|name| unit(&machine, name)).collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Every acknowledged write must be there at the end.
            while !ended.load(Ordering::Relaxed) {
                machine.run(&["restart", "--no-block", "flaky"]);
            }
        });
        let mut seeded = Seeded(0x5EED_0002);
        let mut written = Vec::new();
        for kill in 0..KILLS {
            if kill % 5 == 4 {
                let key = format!("kill-{kill}");
                machine.wait("an acknowledged write", |m| {
                    m.etcdctl(&["--command-timeout=1s", "put", &key, "seen"]).code == 0
                });
                written.push(key);
            }
            std::thread::sleep(Duration::from_millis(seeded.below(120)));
            machine.kill_child("daemon");
        }
        ended.store(true, Ordering::Relaxed);
        machine.wait("the last daemon", |m| m.run(&["is-active", "steady"]).code == 0);
        for key in written {
            assert_eq!(machine.etcdctl(&["get", &key]).ok().stdout, format!("{key}\nseen\n"));
        }
    });
    for (name, before) in stable.iter().zip(&before) {
        let now = unit(&machine, name);
        for field in ["main_pid", "main_start_ticks", "restarts", "epoch", "invocation"] {
            assert_eq!(now[field], before[field], "{field} of {name}");
        }
    }
    machine.run(&["stop", "chatter@1"]).ok();
    let lines = check_stream(&machine, "chatter@1");
    assert!(lines > 50_000, "only {lines} lines were printed");
}
