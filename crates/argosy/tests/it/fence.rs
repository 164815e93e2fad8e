//! A unit that stops on partition never runs on two machines, whoever is cut off. A file that every
//! run writes to is the judge; the machines share one kernel, so its times compare.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::Machine;
use crate::three_machines::three;

/// First and last sign of each run, by machine id, in seconds since boot.
fn runs(path: &std::path::Path) -> BTreeMap<String, (f64, f64)> {
    let mut runs = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The last line may be half written.
        let [machine, at] = words[..] else { continue };
        let Ok(at) = at.parse::<f64>() else { continue };
        let run: &mut (f64, f64) = runs.entry(machine.to_owned()).or_insert((at, at));
        run.1 = at;
    }
    runs
}

fn place(machine: &Machine) -> Option<String> {
    let units = machine.json(&["list-units"]);
    let unit = units.as_array()?.iter().find(|unit| unit["name"] == "witness.service")?.clone();
    (unit["status"]["active"] == "active").then(|| unit["machine"].as_str().unwrap().to_owned())
}

fn signal_daemon(machine: &Machine, signal: Signal) {
    let pid = machine.child("daemon").unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_fenced_unit_of_a_machine_that_is_cut_off_ends_before_it_starts_elsewhere() {
    let machines = three();
    let seen = machines[0].path("seen");
    let script = machines[0].path("witness.sh");
    // It ignores SIGTERM, and so does its child.
    let text = format!(
        "trap '' TERM\n(while :; do sleep 1; done) &\nwhile :; do\n  read up rest < /proc/uptime\n  \
         echo \"$ARGOSY_MACHINE $up\" >> {}\n  sleep 0.02\ndone\n",
        seen.display()
    );
    fs::write(&script, text).unwrap();
    let unit = format!(
        "[Service]\nExecStart=/bin/sh {}\nRestart=always\nTimeoutStopSec=1\n[X-Argosy]\nOnPartition=stop\nData=disposable\n",
        script.display()
    );
    machines[0].file("witness.service", &unit);
    machines[0].run(&["apply", "witness.service"]).ok();
    let first = machines[0].wait_for("the first run", place);
    machines[0].wait("a sign of it", |_| runs(&seen).len() == 1);
    let cut = usize::from(first.as_bytes()[1] - b'1');
    let other = &machines[(cut + 1) % 3];

    // Nothing renews its grants from here on; its keeper and supervisor work.
    signal_daemon(&machines[cut], Signal::STOP);
    other.wait("the wait for the fence is the reason", |m| {
        m.run(&["why", "witness.service"]).stdout.contains("until its fence has passed")
            || place(m).is_some_and(|at| at != first)
    });
    let second = other.wait_for("the second run", |m| place(m).filter(|at| *at != first));
    other.wait("a sign of it", |_| runs(&seen).len() == 2);
    let local = machines[cut].run(&["--local", "status", "witness.service"]).stdout;
    assert!(local.contains("fence"), "{local}");

    // It comes back on an old copy of its assignment.
    signal_daemon(&machines[cut], Signal::CONT);
    machines[cut].wait("it is forgotten where it was", |m| {
        let ran = m.run(&["--local", "status", "witness.service"]);
        ran.code == 4
    });
    assert_eq!(other.wait_for("one place", place), second);
    let before = runs(&seen);
    other.wait("the second run goes on", |_| {
        let now = runs(&seen);
        now.values().any(|run| before.values().all(|old| run.1 > old.1 + 0.5))
    });
    let seen = runs(&seen);
    let mut seen: Vec<(f64, f64)> = seen.into_values().collect();
    seen.sort_by(|a, b| a.0.total_cmp(&b.0));
    let [old, new] = seen[..] else { panic!("{seen:?}") };
    assert!(old.1 < new.0, "the old run was seen at {}, the new one at {}", old.1, new.0);
    let gap = Duration::from_secs_f64(new.0 - old.1);
    assert!(gap < Duration::from_secs(60), "{gap:?}");
}
