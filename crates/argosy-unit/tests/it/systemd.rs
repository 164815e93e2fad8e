//! The same units as systemd 252 read: what it complained of, and what it made of the rest.

use std::fmt::Write as _;

use argosy_model::{ServiceSpec, Timeout, UnitName};
use argosy_unit::{Severity, Specifiers, UnitFile, lower};

/// Units made at random, each followed by what systemd's own dump said of it.
const RECORDED: &str = include_str!("../data/systemd-252.txt");

const WHOLE: &str = "a recorded case is whole";

struct Case<'a> {
    name: &'a str,
    text: &'a str,
    complaints: Vec<usize>,
    loaded: bool,
    /// The dump; empty if systemd complained of anything.
    dump: &'a str,
}

fn cases() -> impl Iterator<Item = Case<'static>> {
    RECORDED.split("=== ").skip(1).map(|case| {
        let (name, rest) = case.split_once('\n').expect(WHOLE);
        let (text, rest) = rest.split_once("---\n").expect(WHOLE);
        let (complaints, rest) = rest.split_once('\n').expect(WHOLE);
        let (state, dump) = rest.split_once('\n').expect(WHOLE);
        let lines = complaints.strip_prefix("complaints:").expect(WHOLE);
        let complaints = lines.split_whitespace().map(|line| line.parse().expect(WHOLE)).collect();
        Case { name, text, complaints, loaded: state == "state: loaded", dump }
    })
}

fn micros(timeout: Timeout, never: &str) -> String {
    timeout.duration().map_or(never.to_owned(), |span| span.as_micros().to_string())
}

/// Writes a spec as the recorded dumps are written.
fn dump(spec: &ServiceSpec) -> String {
    let mut out = String::new();
    for (key, commands) in [
        ("ExecCondition", &spec.exec_condition),
        ("ExecStartPre", &spec.exec_start_pre),
        ("ExecStart", &spec.exec_start),
        ("ExecStartPost", &spec.exec_start_post),
        ("ExecReload", &spec.exec_reload),
        ("ExecStop", &spec.exec_stop),
        ("ExecStopPost", &spec.exec_stop_post),
    ] {
        for command in commands {
            writeln!(out, "{key}: {:?}", command.argv).expect("a string takes all");
        }
    }
    for (name, value) in &spec.environment {
        let pair = format!("{name}={value}");
        writeln!(out, "Environment: {pair:?}").expect("a string takes all");
    }
    let choice = |value: &dyn std::fmt::Debug| {
        let mut text = String::new();
        for c in format!("{value:?}").chars() {
            if c.is_uppercase() && !text.is_empty() {
                text.push('-');
            }
            text.extend(c.to_lowercase());
        }
        text
    };
    let boolean = |value: bool| if value { "yes" } else { "no" };
    let rest = [
        ("RestartSec", spec.restart_delay.as_micros().to_string()),
        ("TimeoutStartSec", micros(spec.timeout_start, "inf")),
        ("TimeoutStopSec", micros(spec.timeout_stop, "inf")),
        ("RuntimeMaxSec", micros(spec.runtime_max, "inf")),
        ("WatchdogSec", micros(spec.watchdog, "0")),
        ("Type", choice(&spec.service_type)),
        ("Restart", choice(&spec.restart)),
        ("NotifyAccess", choice(&spec.notify_access)),
        ("KillMode", choice(&spec.kill_mode)),
        ("UMask", format!("{:04o}", spec.umask)),
        ("SendSIGKILL", boolean(spec.send_sigkill).to_owned()),
        ("SendSIGHUP", boolean(spec.send_sighup).to_owned()),
        ("RemainAfterExit", boolean(spec.remain_after_exit).to_owned()),
    ];
    for (key, value) in rest {
        writeln!(out, "{key}: {value}").expect("a string takes all");
    }
    out
}

#[test]
fn what_systemd_takes_means_the_same_here() {
    let mut compared = 0;
    for case in cases().filter(|case| !case.dump.is_empty()) {
        let unit = UnitName::new(case.name).unwrap();
        let (file, diagnostics) = UnitFile::parse(case.name, case.text);
        assert_eq!(diagnostics, [], "{}", case.text);
        let (spec, diagnostics) = lower(&file, &unit, &Specifiers::default());
        let spec = spec.unwrap_or_else(|| panic!("{}\n{diagnostics:#?}", case.text));
        assert_eq!(dump(&spec.service), case.dump, "{}", case.text);
        compared += 1;
    }
    assert!(compared >= 80, "{compared} cases");
}

#[test]
fn what_systemd_complains_of_is_reported_in_the_same_line() {
    let mut compared = 0;
    for case in cases() {
        let unit = UnitName::new(case.name).unwrap();
        let (file, mut diagnostics) = UnitFile::parse(case.name, case.text);
        let (spec, more) = lower(&file, &unit, &Specifiers::default());
        diagnostics.extend(more);
        for line in case.complaints {
            let reported = diagnostics
                .iter()
                .any(|found| found.line == line && found.severity != Severity::Note);
            assert!(reported, "line {line} of\n{}", case.text);
            compared += 1;
        }
        assert!(case.loaded || spec.is_none(), "{}", case.text);
    }
    assert!(compared >= 80, "{compared} complaints");
}
