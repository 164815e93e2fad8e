//! The first process of a container that asked for an init: it passes signals on to the program,
//! collects orphans, and ends as the program ends.

use rustix::process::{
    DumpableBehavior, Pid, WaitOptions, kill_process, set_dumpable_behavior, wait,
};

use super::Launch;
use super::execute::{drop_privileges, program};
use crate::link::{FromChild, Link};
use crate::user::Identity;
use crate::{StartFailure, sys};

/// Starts the program as a child and stays; returns only why that failed.
pub(crate) fn run(launch: &Launch, identity: &Identity, link: &Link) -> StartFailure {
    // Init is no more than its program: same user, same filter.
    if let Err(failure) = drop_privileges(launch, identity, link) {
        return failure;
    }
    match sys::fork(0) {
        Ok(0) => {
            // A terminal's signals are the program's.
            lead_terminal(launch.process.tty);
            let failure = program(launch);
            let code = failure.kind.exit_code();
            drop(link.send(&FromChild::Failed(failure)));
            sys::exit_now(i32::from(code))
        }
        Ok(child) => reap(child),
        Err(error) => StartFailure::new("start the program below init", error),
    }
}

fn reap(child: i32) -> ! {
    // It keeps nothing open: neither the link, nor what the program has as its output.
    sys::close_from(0);
    // So there is nothing to keep from others either.
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    loop {
        let signal = sys::wait_signal();
        if signal > 0 && signal != libc::SIGCHLD {
            if let (Some(child), Some(signal)) = (Pid::from_raw(child), sys::signal(signal)) {
                let _ = kill_process(child, signal);
            }
            continue;
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid.as_raw_nonzero().get() == child {
                let by_signal = status.terminating_signal().map(|it| 128 + it);
                sys::exit_now(status.exit_status().or(by_signal).unwrap_or(0));
            }
        }
    }
}

/// Makes the program the one whom the terminal's keys signal.
fn lead_terminal(tty: bool) {
    let _ = rustix::process::setpgid(None, None);
    if tty {
        // All signals are blocked, so nothing stops a process in the background from doing this.
        let own = rustix::process::getpid();
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), own);
    }
}
