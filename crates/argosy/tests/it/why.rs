//! `why` names the cause and the command that helps.

use crate::machine::Machine;

const RUNS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn a_unit_that_went_down_with_another_says_so_and_how_to_get_it_back() {
    let machine = Machine::alone();
    machine.file("base.service", RUNS);
    let dep = format!("[Unit]\nRequires=base.service\nAfter=base.service\n{RUNS}");
    machine.file("dep.service", &dep);
    machine.run(&["apply", "."]).ok();
    machine.run(&["stop", "base"]).ok();
    let cause = "it was stopped with base.service, which it requires";
    machine.wait("the cause", |m| {
        let why = m.run(&["why", "dep"]).ok().stdout;
        why.contains(cause) && why.contains("next: argosy start base.service dep.service")
    });
    machine.wait("the stored reason", |m| m.run(&["list-units"]).ok().stdout.contains(cause));
    // To apply it again changes nothing, and is no success.
    let applied = machine.run(&["apply", "dep.service"]);
    assert_eq!(applied.code, 2, "{}", applied.stdout);
    assert!(applied.stderr.contains(cause), "{}", applied.stderr);
    machine.run(&["start", "base.service", "dep.service"]).ok();
    machine.run(&["is-active", "base", "dep"]).ok();
    let why = machine.run(&["why", "dep"]).ok().stdout;
    assert!(why.contains("all is as it should be"), "{why}");
}

#[test]
fn each_reason_has_a_command_that_helps() {
    let machine = Machine::alone();
    let silent = "[Service]\nType=notify\nExecStart=/bin/sleep infinity\n";
    let lonely = format!("{RUNS}[X-Fleet]\nMachineOf=silent.service\n");
    let moon = format!("{RUNS}[X-Fleet]\nMachineMetadata=zone=moon\n");
    let told = format!("{RUNS}[X-Argosy]\nAnnounce=/told 80\n");
    let port = crate::machine::free_port(std::net::Ipv4Addr::LOCALHOST);
    let deaf = format!("{RUNS}[X-Argosy]\nEndpoint=deaf:{port}/tcp\n");
    let done = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    let units = [
        ("silent.service", silent),
        ("lonely.service", &lonely),
        ("moon.service", &moon),
        ("told.service", &told),
        ("deaf.service", &deaf),
        ("done.service", done),
    ];
    for (name, text) in units {
        machine.file(name, text);
    }
    machine.run(&["apply", "--no-block", "told.service", "moon.service", "deaf.service"]).ok();
    machine.run(&["apply", "--no-block", "done.service", "silent.service"]).ok();
    machine.run(&["submit", "lonely.service"]).ok();
    let says = |unit: &str, words: &[&str]| {
        machine.wait(&format!("why {unit}: {words:?}"), |m| {
            let why = m.run(&["why", unit]).ok().stdout;
            words.iter().all(|word| why.contains(word))
        });
    };
    let late = machine.run(&["apply", "--timeout", "1", "silent.service"]);
    assert_eq!(late.code, 75, "{}", late.stderr);
    let says_late = "silent.service is stored and not where it is wanted yet";
    assert!(late.stderr.contains(says_late), "{}", late.stderr);
    says("silent", &["it has not said READY=1", "next: argosy journal silent.service -f"]);
    says("moon", &["zone=moon", "next: argosy list-machines", "--label"]);
    says("deaf", &["NO routed", "next: argosy journal deaf.service"]);
    says("told", &["all is as it should be"]);
    machine.etcdctl(&["put", "/told", "somebody else's"]).ok();
    says("told", &["NO announced", "next: curl -X DELETE http://", "/v2/keys/told"]);
    machine.run(&["stop", "silent"]).ok();
    machine.run(&["apply", "--no-block", "lonely.service"]).ok();
    says("lonely", &["MachineOf=", "next: argosy why silent.service"]);

    // A oneshot that is done counts as done, not against.
    machine.wait("the done one", |m| {
        let status = m.run(&["status"]).ok().stdout;
        status.contains(", 1 are done") && status.contains("next: argosy list-units")
    });
}
