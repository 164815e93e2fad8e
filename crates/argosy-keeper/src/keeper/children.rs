//! The keeper's own children: the supervisor, the daemon and the proxy.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

use argosy_model::{ExitOutcome, signal_name};
use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process};

use super::link::Link;
use super::poller::Source;
use super::{Keeper, boottime, say};
use crate::ExecStep;
use crate::backoff::Backoff;
use crate::config::OWN_PROGRAM;
use crate::exec::Prepared;
use crate::{HOLDER_FD_VARIABLE, KEEPER_FD_VARIABLE};

/// The one whose descriptors are held for its successor.
pub(super) const PROXY: &str = "proxy";

/// One of them.
#[derive(Debug)]
pub(super) struct SystemChild {
    name: &'static str,
    argv: Vec<OsString>,
    pid: Option<i32>,
    started: Duration,
    backoff: Backoff,
    start_at: Option<Duration>,
    /// What lies where the program was could not be executed: the next try is with the one that runs.
    own_program: bool,
}

impl SystemChild {
    /// Returns one that is to be started at once.
    pub(super) fn new(name: &'static str, argv: Vec<OsString>, longest: Duration) -> SystemChild {
        let backoff = Backoff::new(longest);
        let started = Duration::ZERO;
        SystemChild {
            name,
            argv,
            pid: None,
            started,
            backoff,
            start_at: Some(Duration::ZERO),
            own_program: false,
        }
    }

    /// Returns when it is to be started.
    pub(super) fn start_at(&self) -> Option<Duration> {
        self.start_at
    }

    /// Tells whether it runs.
    pub(super) fn is_running(&self) -> bool {
        self.pid.is_some()
    }

    /// Returns what to start it with. Another version may have been put in the program's place, or
    /// be on its way there.
    fn program<'p>(&self, usual: &'p Path) -> &'p OsStr {
        match !self.own_program && usual.is_file() {
            true => usual.as_os_str(),
            false => OWN_PROGRAM.as_ref(),
        }
    }

    /// Does not start it again.
    pub(super) fn retire(&mut self) {
        self.start_at = None;
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid.and_then(Pid::from_raw) {
            // It is not reaped, so the PID is its own; a zombie needs no signal.
            let _ = kill_process(pid, signal);
        }
    }

    fn ended(&mut self, now: Duration, outcome: ExitOutcome, again: bool) {
        self.pid = None;
        self.own_program = outcome == ExitOutcome::Code(ExecStep::Exec.exit_code());
        if again {
            let wait = self.backoff.after(now.saturating_sub(self.started));
            self.start_at = Some(now + wait);
            say(format_args!("{}", ending(self.name, outcome, wait)));
        }
    }

    fn was_started(&mut self, now: Duration, made: Result<i32, String>) {
        self.started = now;
        self.start_at = None;
        match made {
            Ok(pid) => self.pid = Some(pid),
            Err(error) => {
                let wait = self.backoff.after(Duration::ZERO);
                self.start_at = Some(now + wait);
                let again = when(wait);
                say(format_args!("cannot start the {}: {error}; again {again}", self.name));
            }
        }
    }
}

impl Keeper {
    /// Starts what is due.
    pub(super) fn start_children(&mut self, now: Duration) {
        if self.supervisor.start_at.is_some_and(|at| at <= now) {
            let made = self.start_supervisor();
            self.supervisor.was_started(now, made);
        }
        let due = |child: &&mut SystemChild| child.start_at.is_some_and(|at| at <= now);
        for child in self.companions.iter_mut().filter(due) {
            let theirs = match child.name {
                PROXY => self.held.begin(&mut self.poller).map(Some),
                _ => Ok(None),
            };
            let program = child.program(&self.config.program);
            let variables = [(HOLDER_FD_VARIABLE, "3".to_owned())];
            let made = theirs.map_err(|error| error.to_string()).and_then(|theirs| {
                let variables = if theirs.is_some() { &variables[..] } else { &[] };
                // A keeper's successor starts one of its own, and there must not be two.
                Prepared::system(program, &child.argv, variables, theirs, true)
                    .map_err(|error| error.to_string())
                    .and_then(spawn)
            });
            child.was_started(now, made);
        }
    }

    fn start_supervisor(&mut self) -> Result<i32, String> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|error| error.to_string())?;
        let variables = [(KEEPER_FD_VARIABLE, "3".to_owned())];
        let program = self.supervisor.program(&self.config.program);
        let argv = &self.supervisor.argv;
        let prepared = Prepared::system(program, argv, &variables, Some(theirs), false)
            .map_err(|error| error.to_string())?;
        let token = self
            .poller
            .add(&socket, Source::Link, EventFlags::IN)
            .map_err(|error: io::Error| error.to_string())?;
        let pid = spawn(prepared).inspect_err(|_| self.poller.remove(&socket, token))?;
        self.greet(Link::new(socket, token));
        Ok(pid)
    }

    /// Takes the end of a system child; tells whether it was one.
    pub(super) fn child_ended(&mut self, pid: i32, outcome: ExitOutcome) -> bool {
        let (now, again) = (boottime(), self.children_are_wanted());
        if self.supervisor.pid == Some(pid) {
            self.finish_link();
            // The last commit may have ended the keeper's work.
            let again = again || self.supervisor_is_wanted();
            self.supervisor.ended(now, outcome, again);
            return true;
        }
        match self.companions.iter_mut().find(|child| child.pid == Some(pid)) {
            Some(child) => {
                if child.name == PROXY {
                    self.held.end(&mut self.poller);
                }
                child.ended(now, outcome, again);
                true
            }
            None => false,
        }
    }
}

/// Says how one of the keeper's own ended. systemd's names of exit statuses are for units: these
/// programs exit with what `docs/commands.md` says.
fn ending(name: &str, outcome: ExitOutcome, wait: Duration) -> String {
    let how = match outcome {
        ExitOutcome::Code(code) => format!("has ended with status {code}"),
        ExitOutcome::Signal { signal, core } => {
            let signal = signal_name(signal).map_or_else(|| signal.to_string(), str::to_owned);
            format!("was ended by {signal}{}", if core { " and dumped core" } else { "" })
        }
        ExitOutcome::Unknown => "has ended, nobody saw how".to_owned(),
    };
    format!("the {name} {how}; it starts again {}", when(wait))
}

fn when(wait: Duration) -> String {
    if wait.is_zero() { "at once".to_owned() } else { format!("in {wait:?}") }
}

fn spawn(prepared: Prepared) -> Result<i32, String> {
    prepared.spawn(None).map_err(|error| {
        format!("cannot {}: {}", error.step, io::Error::from_raw_os_error(error.errno))
    })
}

#[cfg(test)]
mod tests {
    //! Tests of what the log says of the keeper's own children.

    use super::*;

    #[test]
    fn an_end_is_told_in_plain_words() {
        let told = |outcome, millis| ending("daemon", outcome, Duration::from_millis(millis));
        let refused = told(ExitOutcome::Code(2), 0);
        assert_eq!(refused, "the daemon has ended with status 2; it starts again at once");
        let killed = ExitOutcome::Signal { signal: 9, core: false };
        let killed = told(killed, 200);
        assert_eq!(killed, "the daemon was ended by SIGKILL; it starts again in 200ms");
    }
}
