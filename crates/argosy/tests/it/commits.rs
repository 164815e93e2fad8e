//! Images of what containers have written.

use crate::containers::{containers, with_busybox};
use crate::machine::{Machine, Ran};

fn machine() -> Machine {
    let machine = Machine::new();
    with_busybox(&machine);
    machine
}

fn container(machine: &Machine, words: &[&str]) -> Ran {
    machine.run(&[&["container"], words].concat())
}

/// Runs a script in a new container, of which nothing is left.
fn shell(machine: &Machine, image: &str, script: &str) -> String {
    let line = ["run", "--rm", "--network=none", image, "sh", "-c", script];
    container(machine, &line).ok().stdout
}

/// Runs a script in a container that stays.
fn keep(machine: &Machine, options: &[&str], image: &str, script: &str) {
    let line = [&["run", "--network=none"], options, &[image, "sh", "-c", script]].concat();
    container(machine, &line).ok();
}

#[test]
fn an_image_has_what_its_container_wrote_removed_and_changed() {
    let machine = machine();
    let first = "busybox mkdir -p /d/sub /gone/deep; echo a > /d/a; echo b > /d/sub/b; echo x > /gone/deep/x";
    keep(&machine, &["--name=one"], "busybox", first);
    let id = container(&machine, &["commit", "one", "mine:1"]).ok().stdout;
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(shell(&machine, "mine:1", "cat /d/a /d/sub/b /gone/deep/x"), "a\nb\nx\n");
    // Upon that: a file removed, a directory made anew, links, owners, modes.
    let second = "busybox rm -r /gone /d/a; busybox rm -r /d/sub; busybox mkdir /d/sub; echo c > /d/sub/c; \
                  echo l > /l1; busybox ln /l1 /l2; busybox ln -s /d/sub /link; \
                  busybox chown 33:44 /l1; busybox chmod 4711 /l1; busybox mknod /fifo p; \
                  busybox mkdir -p /empty; busybox chmod 1777 /empty";
    keep(&machine, &["--name=two"], "mine:1", second);
    container(&machine, &["commit", "-a", "me", "-m", "as tried", "two", "mine:2"]).ok();
    let look = "ls -d /gone 2>&1; ls /d /d/sub; cat /link/c /l2; \
                busybox stat -c '%a %u %g %h' /l1; busybox stat -c '%F %a' /fifo /empty";
    let gone = "ls: /gone: No such file or directory\n";
    assert_eq!(
        shell(&machine, "mine:2", look),
        format!("{gone}/d:\nsub\n\n/d/sub:\nc\nc\nl\n4711 33 44 2\nfifo 644\ndirectory 1777\n")
    );
    // The image below is as it was.
    assert_eq!(shell(&machine, "mine:1", "ls /d"), "a\nsub\n");
    let shown = machine.json(&["image", "inspect", "mine:2"]);
    let config = &shown[0]["config"];
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    let last = config["history"].as_array().unwrap().last().unwrap();
    assert_eq!((&config["author"], &last["comment"]), (&"me".into(), &"as tried".into()));
    // It travels as any other.
    let archive = machine.path("mine.tar");
    machine.run(&["image", "save", "--to", archive.to_str().unwrap(), "mine:2"]).ok();
    container(&machine, &["rm", "one", "two"]).ok();
    machine.run(&["image", "rm", "mine:1", "mine:2"]).ok();
    machine.run(&["image", "gc", "--all"]).ok();
    machine.run(&["image", "load", archive.to_str().unwrap()]).ok();
    assert_eq!(shell(&machine, "mine:2", "cat /link/c; busybox stat -c %a%u /l1"), "c\n471133\n");
}

#[test]
fn an_image_runs_as_its_container_did_and_as_it_is_told() {
    let machine = machine();
    let options =
        ["--name=it", "-e", "A=1", "-e", "B=2", "--workdir=/tmp", "--label=k=v", "--user=33"];
    keep(&machine, &options, "busybox", "pwd; id -u; echo $A$B");
    container(&machine, &["commit", "it", "same"]).ok();
    let run =
        |image: &str| container(&machine, &["run", "--rm", "--network=none", image]).ok().stdout;
    assert_eq!(run("same"), "/tmp\n33\n12\n");
    let config = machine.json(&["image", "inspect", "same"])[0]["config"]["config"].clone();
    assert_eq!(config["Labels"]["k"], "v");
    assert!(!config["Env"].to_string().contains("HOSTNAME"), "{config}");
    let changes = [
        "commit",
        "-c",
        "ENV B=3 C=x",
        "-c",
        "USER 0",
        "-c",
        "WORKDIR /etc",
        "-c",
        "CMD [\"sh\", \"-c\", \"pwd; id -u; echo $A$B$C\"]",
        "it",
        "changed",
    ];
    container(&machine, &changes).ok();
    assert_eq!(run("changed"), "/etc\n0\n13x\n");
    let wrong = container(&machine, &["commit", "-c", "RUN make", "it"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("no instruction RUN"), "{}", wrong.stderr);
    let events = [
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "event=commit",
        "--format",
        "{{.Actor.Attributes.name}}",
    ];
    assert_eq!(container(&machine, &events).ok().stdout, "it\nit\n");
}

#[test]
fn a_container_that_runs_stands_still_and_goes_on_and_mapped_owners_come_back() {
    let machine = machine();
    let script = "echo x > /mine; busybox chown 33 /mine; i=0; while :; do i=$((i+1)); echo $i > /n1; echo $i > /n2; done";
    let line = [
        "run",
        "-d",
        "--name=it",
        "--network=none",
        "--uidmap=0:100000:65536",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    container(&machine, &line).ok();
    machine.wait("it writes", |m| container(m, &["exec", "it", "cat", "/n2"]).stdout.len() > 2);
    container(&machine, &["commit", "it", "mapped"]).ok();
    assert_eq!(containers(&machine)[0]["state"], "Running");
    // In the machine's ids the owner is 33 again.
    assert_eq!(shell(&machine, "mapped", "busybox stat -c '%u %g' /mine /n1"), "33 0\n0 0\n");
    // One that was paused stays so.
    container(&machine, &["pause", "it"]).ok();
    container(&machine, &["commit", "it", "paused"]).ok();
    assert_eq!(containers(&machine)[0]["state"], "Paused");
    container(&machine, &["rm", "-f", "it"]).ok();
    // One that somebody starts meanwhile is held or stands still, and both succeed.
    keep(
        &machine,
        &["--name=still"],
        "busybox",
        "test -e /big || busybox dd if=/dev/zero of=/big bs=1M count=30 2>/dev/null",
    );
    std::thread::scope(|scope| {
        let committed = scope.spawn(|| container(&machine, &["commit", "still", "big"]));
        let started = scope.spawn(|| container(&machine, &["start", "-a", "still"]));
        committed.join().unwrap().ok();
        started.join().unwrap().ok();
    });
    assert_eq!(shell(&machine, "big", "busybox stat -c %s /big"), "31457280\n");
}

#[test]
fn a_container_goes_on_when_its_commit_is_told_to_end() {
    let machine = machine();
    let script = "busybox dd if=/dev/urandom of=/large bs=1M count=128 2>/dev/null; busybox touch /up; \
                  exec busybox sleep 1000";
    let line = ["run", "-d", "--network=none", "--name=it", "busybox", "sh", "-c", script];
    container(&machine, &line).ok();
    machine
        .wait("its file", |m| container(m, &["exec", "it", "sh", "-c", "test -e /up"]).code == 0);
    let state = |m: &Machine| containers(m)[0]["state"].clone();
    for signal in ["TERM", "INT", "HUP"] {
        let mut commit = machine.command(&["container", "commit", "it", "large"]).spawn().unwrap();
        machine.wait("it stands still", |m| state(m) == "Paused");
        let kill = std::process::Command::new("kill")
            .args([format!("-{signal}"), commit.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert!(!commit.wait().unwrap().success(), "{signal}");
        assert_eq!(state(&machine), "Running", "{signal}");
    }
    container(&machine, &["rm", "-f", "it"]).ok();
}
