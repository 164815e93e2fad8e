//! The journal as commands show it: harmless to the terminal, honest about names, of known size.

use crate::machine::Machine;

#[test]
fn what_a_unit_prints_is_shown_and_does_nothing() {
    let mut machine = Machine::new();
    machine.local_unit(
        "rude.service",
        "[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'printf \"\\\\033]0;owned\\\\007\\\\033[31mred\\\\n\"'\n",
    );
    machine.start(&["--no-daemon"]);
    machine.run(&["--local", "start", "rude"]).ok();
    let shown = |m: &Machine, more: &[&str]| {
        m.run(&[&["--local", "journal", "rude"], more].concat()).ok().stdout
    };
    machine.wait("its line", |m| shown(m, &[]).contains("owned"));
    let safe = shown(&machine, &[]);
    assert!(safe.contains(": \\x1b]0;owned\\x07red\n"), "{safe}");
    assert!(!safe.contains('\x1b'), "{safe}");
    assert!(!machine.run(&["--local", "status", "rude"]).stdout.contains('\x1b'));
    let raw = "\x1b]0;owned\x07\x1b[31mred\n";
    assert!(shown(&machine, &["--cat"]).contains(raw));
    assert!(shown(&machine, &["--all"]).contains(raw));
}

#[test]
fn a_name_that_is_none_is_said_so() {
    let mut machine = Machine::new();
    machine.local_unit("quiet.service", "[Service]\nExecStart=/bin/true\n");
    machine.local_unit("odd name.service", "[Service]\nExecStart=/bin/true\n");
    machine.start(&["--no-daemon"]);
    let unknown = machine.run(&["--local", "journal", "NOSUCH"]);
    assert_eq!(unknown.code, 4, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("NOSUCH.service is not known"), "{}", unknown.stderr);
    let quiet = machine.run(&["--local", "journal", "quiet"]).ok();
    assert_eq!(quiet.stdout, "");
    assert!(quiet.stderr.contains("-- No entries --"), "{}", quiet.stderr);
    let reload = machine.run(&["--local", "daemon-reload"]).ok().stdout;
    assert!(reload.contains("refused: ") && reload.contains("odd name.service"), "{reload}");
}

#[test]
fn its_size_is_shown_and_lowered() {
    let mut machine = Machine::new();
    machine.local_unit(
        "chatty.service",
        "[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'yes 0123456789012345678901234567890123456789 | head -n 400000'\n",
    );
    machine.local_unit("brief.service", "[Service]\nType=oneshot\nExecStart=/bin/echo brief\n");
    machine.start(&["--no-daemon"]);
    machine.run(&["--local", "start", "brief"]).ok();
    machine.run(&["--local", "start", "chatty"]).ok();
    let usage = |m: &Machine| m.json(&["--local", "journal", "--disk-usage"]);
    machine.wait("some files", |m| usage(m)["segments"].as_u64() > Some(2));
    let before = usage(&machine);
    assert!(before["bytes"].as_u64() <= before["bytes_max"].as_u64(), "{before}");
    let after = machine.json(&["--local", "journal", "--vacuum-size", "1M"]);
    assert_eq!(after["segments"], 1, "{after}");
    assert!(after["bytes"].as_u64() < before["bytes"].as_u64(), "{before} {after}");
    // The last lines of a quiet unit stay.
    let brief = machine.run(&["--local", "journal", "brief", "--cat"]).ok().stdout;
    assert!(brief.lines().any(|line| line == "brief"), "{brief}");
    let wrong = machine.run(&["--local", "journal", "--vacuum-size", "much"]);
    assert_eq!(wrong.code, 64, "{}", wrong.stderr);
    assert_ne!(machine.run(&["journal", "--disk-usage"]).code, 0);
}
