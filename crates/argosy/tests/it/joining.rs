//! A join that cannot work leaves nothing behind, and needs no address where one can be found.

use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;

use crate::machine::{Machine, Ran};
use crate::three_machines::token;

fn join(machine: &Machine, token: &str, more: &[&str]) -> Ran {
    let arguments = [&["cluster", "join", "--name", "m2"], more].concat();
    let mut child = machine
        .command(&arguments)
        .env_remove("ARGOSY_ADDRESS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_port_in_use_costs_no_token_and_no_place() {
    let mut machines = Machine::at_addresses(2);
    for machine in &mut machines {
        machine.start(&[]);
    }
    let [first, second] = &machines[..] else { unreachable!() };
    first.run(&["cluster", "init", "--name", "m1"]).ok();
    let token = token(first);
    let own = second.address();
    let squatter = TcpListener::bind(format!("{own}:{}", second.peer_port())).unwrap();
    let refused = join(second, &token, &["--address", &own]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot listen on"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--peer-port"), "{}", refused.stderr);
    let nobodys = join(second, &token, &["--address", "0.0.0.0"]);
    assert!(nobodys.stderr.contains("nobody's own address"), "{}", nobodys.stderr);
    assert!(!second.path("data/machine.json").exists());
    assert_eq!(first.json(&["list-machines"]).as_array().unwrap().len(), 1);
    drop(squatter);
    // The same token, and the address is found: the one that leads to m1.
    let joined = join(second, &token, &[]).ok();
    assert!(joined.stdout.contains("m2 is part of cluster"), "{}", joined.stdout);
    let machines = first.json(&["list-machines"]);
    let addresses: Vec<&str> =
        machines.as_array().unwrap().iter().map(|it| it["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, [first.address().as_str(), "127.0.0.1"]);
}

#[test]
fn each_refusal_says_what_to_do_about_it_once() {
    let mut machines = Machine::at_addresses(2);
    for machine in &mut machines {
        machine.start(&[]);
    }
    let [first, second] = &machines[..] else { unreachable!() };
    first.run(&["cluster", "init", "--name", "m2"]).ok();
    let good = token(first);
    let own = second.address();
    let refused = |token: &str, address: &str| {
        let ran = join(second, token, &["--address", address]);
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        let (error, help) = ran.stderr.split_once("\nhelp: ").unwrap();
        (error.to_owned(), help.to_owned())
    };
    let (error, help) = refused(&good, &own);
    assert!(error.contains("the machine name m2 belongs to"), "{error}");
    assert!(help.contains("--name") && !help.contains("token create"), "{help}");
    let (_, help) = refused(&good, &first.address());
    assert!(help.contains("--address") && !help.contains("token create"), "{help}");
    let revoked = token(first);
    for listed in first.json(&["token", "list"]).as_array().unwrap() {
        first.run(&["token", "revoke", listed["id"].as_str().unwrap()]).ok();
    }
    let (error, help) = refused(&revoked, &own);
    assert!(error.contains("not known to this cluster"), "{error}");
    assert!(help.contains("argosy token create") && !error.contains("token create"), "{help}");
    assert!(!second.path("data/machine.json").exists());
}
