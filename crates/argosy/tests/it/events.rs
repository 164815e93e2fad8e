//! What happens to containers, as `container events` tells it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::containers::with_busybox;
use crate::machine::Machine;

/// What has happened until now, in words of a template.
fn told(machine: &Machine, format: &str, more: &[&str]) -> Vec<String> {
    let line = ["container", "events", "--since", "1h", "--until", "0s", "--format", format];
    let said = machine.run(&[&line[..], more].concat()).ok().stdout;
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_containers_life_is_told_by_whoever_does_something_to_it() {
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = |words: &[&str]| machine.run(&[&["container"], words].concat());
    assert_eq!(told(&machine, "{{.Action}}", &[]), [""; 0]);
    let line = ["run", "--rm", "--network=none", "--name=short", "--label=tier=web", "busybox"];
    assert_eq!(run(&[&line[..], &["sh", "-c", "exit 3"]].concat()).code, 3);
    assert_eq!(told(&machine, "{{.Action}}", &[]), ["create", "start", "die", "destroy"]);
    let one = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}} \
               {{.Actor.Attributes.tier}} {{.Actor.Attributes.exitCode}}";
    assert_eq!(told(&machine, one, &["-f", "event=die"]), ["container die short busybox web 3"]);

    let id = run(&["run", "-d", "--network=none", "--name=long", "busybox", "sleep", "1000"]);
    let id = id.ok().stdout;
    for words in [
        &["pause", "long"][..],
        &["unpause", "long"],
        &["rename", "long", "other"],
        &["kill", "--signal=TERM", "other"],
        &["wait", "other"],
        &["rm", "other"],
    ] {
        run(words).ok();
    }
    let mut actions = told(&machine, "{{.Action}}", &["-f", &format!("container={}", id.trim())]);
    let ends = actions.split_off(5);
    assert_eq!(actions, ["create", "start", "pause", "unpause", "rename"]);
    // Who was first, its monitor or the command, is chance.
    let mut ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["destroy", "die", "kill"]);
    // It went by its name until the end, and by the old one before.
    let count = |name: &str| told(&machine, "x", &["-f", &format!("container={name}")]).len();
    assert_eq!((count("long"), count("other")), (4, 4));

    let line = machine.run(&["container", "events", "--since", "1h", "--until", "0s"]).ok().stdout;
    assert!(line.contains("(exitCode=3, image=busybox, name=short, tier=web)"), "{line}");
    let wrong = machine.run(&["container", "events", "-f", "colour=red"]);
    assert!(
        wrong.code == 1 && wrong.stderr.contains("there are container, event"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn whoever_follows_hears_of_what_comes() {
    let machine = Machine::alone();
    with_busybox(&machine);
    let line = ["container", "events", "--since", "1h", "--format", "{{.Action}}"];
    let mut follower = machine.command(&line).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    // The second time it has listened before.
    for _ in 0..2 {
        machine.run(&["container", "run", "--rm", "--network=none", "busybox", "true"]).ok();
        let heard = [(); 4].map(|()| lines.next().unwrap().unwrap());
        assert_eq!(heard, ["create", "start", "die", "destroy"]);
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
}
