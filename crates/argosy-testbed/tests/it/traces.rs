//! Nothing stays, however a testbed ends: all lists of a world are the same before and after.

use std::process::Command;

use crate::bed::{NOBODY, User, place};

fn leaves_nothing(scenario: &str) {
    for (user, wanted) in [(User::Root, "root"), (User::Nobody, "user"), (User::Nobody, "loopback")]
    {
        let (base, program) = place(user);
        let number = if user == User::Root { 0 } else { NOBODY };
        let output = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"])
            .args(["--net", "--ipc", "--uts"])
            .arg(&program)
            .args(["world", scenario, wanted, &number.to_string()])
            .arg(base.path().join("beds"))
            .output()
            .expect("unshare is of the package util-linux");
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, "same\n", "{scenario} in mode {wanted}: {errors}");
    }
}

#[test]
fn after_a_destroy_from_another_terminal() {
    leaves_nothing("destroy");
}

#[test]
fn after_the_owner_ended_it() {
    leaves_nothing("end");
}

#[test]
fn after_sigterm_of_the_owner() {
    leaves_nothing("SIGTERM");
}

#[test]
fn after_sighup_of_the_owner() {
    leaves_nothing("SIGHUP");
}

#[test]
fn after_sigint_of_the_owner() {
    leaves_nothing("SIGINT");
}

#[test]
fn after_sigkill_of_the_owner() {
    leaves_nothing("SIGKILL");
}

#[test]
fn after_sigterm_of_the_switch() {
    leaves_nothing("switch-SIGTERM");
}

#[test]
fn after_sigkill_of_all_and_the_next_start() {
    leaves_nothing("all-SIGKILL-start");
}

#[test]
fn after_sigkill_of_all_and_a_clean() {
    leaves_nothing("all-SIGKILL-clean");
}
