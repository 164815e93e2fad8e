//! Which mode a testbed becomes, and what it then says of itself.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use argosy_testbed::{Control, Mode, Refusal, Testbed, TestbedConfig, TestbedError};

use crate::bed::{Bed, NOBODY, User, place};

/// Denies every kind of namespace to a program, by the limits of a user namespace of its own.
fn denied(program: &std::path::Path) -> Command {
    let script = "for kind in user net pid mnt uts ipc cgroup; do \
                  echo 0 > /proc/sys/user/max_${kind}_namespaces || exit 9; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).arg(program);
    command
}

#[test]
fn the_best_mode_that_works_is_taken_and_told() {
    for (user, mode) in [(User::Root, "root"), (User::Nobody, "user")] {
        let bed = Bed::start(user, "any");
        assert_eq!(bed.mode, mode);
        assert_eq!(bed.control.mode().unwrap().to_string(), mode);
        bed.end();
    }
    assert!(Mode::Root.limits().is_empty());
    assert!(Mode::User.limits().iter().any(|it| it.contains("cgroups")));
}

#[test]
fn where_namespaces_are_denied_it_is_loopback_and_says_so() {
    let bed = Bed::start_with(User::Nobody, "any", denied);
    assert_eq!(bed.mode, "loopback");
    let (bed, _echoes) = bed.with_echoes();
    assert_eq!(bed.control.machine("m2").unwrap().address.octets(), [127, 0, 77, 2]);
    assert!(bed.reaches("tcp", "m1", "m2"));
    assert!(Mode::Loopback.limits().iter().any(|it| it.contains("partitions cannot be")));
    for refused in [
        bed.control.partition(&[]),
        bed.control.link("m1", false),
        bed.control.loss("m1", "m2", 1.0),
        bed.control.cut("m1", "m2"),
        bed.control.heal(),
    ] {
        let refused = refused.unwrap_err();
        let expected = matches!(&refused, TestbedError::Refused(Refusal::NotInLoopback { .. }));
        assert!(expected, "{refused}");
    }
    let base = bed.end();
    assert_eq!(std::fs::read_dir(base.path().join("beds")).unwrap().count(), 0);
}

#[test]
fn a_mode_that_was_not_asked_for_is_not_taken() {
    let (base, program) = place(User::Nobody);
    let beds = base.path().join("beds");
    let mut command = denied(&program);
    command.uid(NOBODY).gid(NOBODY);
    let output = command.arg("own").arg(&beds).args(["bed", "isolated"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("error no accepted kind of testbed works here: "), "{text}");
    assert!(text.contains("user: user and network namespaces are denied to this user"), "{text}");
    assert_eq!(std::fs::read_dir(&beds).unwrap().count(), 0, "nothing is left of the attempts");
}

#[test]
fn a_name_runs_once_and_others_find_it() {
    let bed = Bed::start(User::Root, "root");
    bed.control.add_machine("m1").unwrap();
    let beds = bed.base.path().join("beds");
    let mut second = Command::new(&bed.program);
    let output = second.arg("own").arg(&beds).args(["bed", "any"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("error the testbed bed runs already"), "{text}");
    let found = argosy_testbed::list(Some(&beds)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].owner_pid, bed.owner.id());
    assert_eq!(found[0].machines[0].name, "m1");
    assert_eq!(argosy_testbed::clean(Some(&beds)).unwrap(), [""; 0], "it runs");
    assert!(bed.control.machine("m1").is_ok());
    let base = bed.end();
    let beds = base.path().join("beds");
    let gone = Control::open("bed", Some(&beds)).unwrap_err();
    assert!(matches!(&gone, TestbedError::NotRunning { .. }), "{gone}");
}

#[test]
fn wrong_requests_are_refused_by_name() {
    let bed = Bed::start(User::Root, "root");
    bed.control.add_machine("m1").unwrap();
    let text = |result: Result<(), TestbedError>| result.unwrap_err().to_string();
    assert_eq!(text(bed.control.kill("m9")), "there is no machine m9");
    assert_eq!(text(bed.control.partition(&[&["m1", "m9"]])), "there is no machine m9");
    assert_eq!(
        text(bed.control.loss("m1", "host", 101.0)),
        "101 is not a percentage from 0 to 100"
    );
    assert_eq!(text(bed.control.cut("m1", "m1")), "there is no way between m1 and itself");
    assert_eq!(text(bed.control.add_machine("m1").map(drop)), "there is a machine m1 already");
    for bad in ["host", "M1", "..", ".probe"] {
        let refused = bed.control.add_machine(bad).unwrap_err();
        assert!(matches!(refused, TestbedError::Refused(Refusal::BadName { .. })), "{bad}");
    }
    bed.end();
}

#[test]
fn a_testbed_ends_when_its_value_does() {
    let (base, program) = place(User::Root);
    let beds = base.path().join("beds");
    let config = || TestbedConfig { base: Some(beds.clone()), ..TestbedConfig::new("own") };
    let testbed =
        Testbed::create(TestbedConfig { program: Some(program.clone()), ..config() }).unwrap();
    assert_eq!((testbed.mode(), testbed.limits().len()), (Mode::Root, 0));
    let init = testbed.add_machine("m1").unwrap().init_pid.unwrap();
    let elsewhere = testbed.control();
    drop(testbed);
    assert!(elsewhere.status().is_err());
    assert!(!std::path::Path::new(&format!("/proc/{init}")).exists());
    assert_eq!(std::fs::read_dir(&beds).unwrap().count(), 0);
}

#[test]
fn the_usual_place_is_private_and_goes_with_its_last_testbed() {
    let (_base, program) = place(User::Nobody);
    let usual = PathBuf::from(format!("/tmp/argosy-testbed-{NOBODY}"));
    let name = format!("usual-{}", std::process::id());
    let mut own = Command::new(&program);
    own.args(["own", "-", &name, "loopback"]).uid(NOBODY).gid(NOBODY);
    let mut own = own.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 14];
    own.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"mode loopback\n");
    assert_eq!(usual.metadata().unwrap().mode() & 0o7777, 0o700);
    assert!(Control::open(&name, Some(&usual)).is_ok());
    drop(own.stdin.take());
    assert!(own.wait().unwrap().success());
    assert!(!usual.join(&name).exists() && !usual.join(format!("{name}.lock")).exists());

    // Another user's directory in its place is not used.
    let (base, _program) = place(User::Nobody);
    let config = TestbedConfig {
        base: Some(base.path().join("beds")),
        program: Some(program),
        ..TestbedConfig::new("bed")
    };
    let refused = Testbed::create(config).unwrap_err();
    assert!(matches!(&refused, TestbedError::NotPrivate { .. }), "{refused}");
}

#[test]
fn a_program_that_cannot_be_a_switch_is_told() {
    let (base, _program) = place(User::Root);
    let beds = base.path().join("beds");
    for wrong in ["/bin/true", "/bin/false"] {
        let config = TestbedConfig {
            base: Some(beds.clone()),
            program: Some(wrong.into()),
            ..TestbedConfig::new("own")
        };
        let refused = Testbed::create(config).unwrap_err();
        assert!(matches!(&refused, TestbedError::NotASwitch { .. }), "{refused}");
        assert_eq!(std::fs::read_dir(&beds).unwrap().count(), 0);
    }
}
