//! The end of a container, as its monitor leaves it.

use std::os::fd::OwnedFd;

use rustix::process::WaitStatus;

use super::relay::Relay;
use super::{Monitor, own};
use crate::ContainerError;
use crate::asked::{Asked, End};
use crate::record::{self, Exit, RunRecord, now_ms};
use crate::terminal::RawMode;
use crate::witness::Witness;

impl Monitor<'_> {
    /// Ends what the first process has left, says how it ended, and cleans up.
    pub(super) fn finish(
        mut self,
        status: WaitStatus,
        witness: &mut dyn Witness,
    ) -> Result<Ended, ContainerError> {
        // A health command that is on its way in comes too late.
        drop(self.checks.take());
        let record: &RunRecord = &self.started.record;
        // In a PID namespace of its own all have ended with the first one.
        drop(record.cgroups.kill());
        self.relay.take_rest();
        let oom_killed = record.cgroups.oom_kills().is_some_and(|count| count > 0);
        let asked = Asked::read(&self.containers.asked_path(self.id), record.init);
        let killed = status.terminating_signal() == Some(libc::SIGKILL);
        let carried_out = self.carried_out.or(asked.carried_out).filter(|_| killed);
        let exit = Exit {
            code: carried_out.map_or_else(|| code_of(status), code_by),
            oom_killed,
            error: None,
            started_ms: record.started_ms,
            finished_ms: now_ms(),
            clamped: record.clamped.clone(),
        };
        // First the news, then the traces: a monitor that dies in between leaves only traces.
        if !self.started.throw_away {
            let written = record::write(&self.containers.exit_path(self.id), &exit);
            // On a full disk, for example: how it ended is then told here alone.
            if let Err(error) = written {
                own::say(&format!("cannot keep how the container ended: {error}"));
            }
        }
        witness.ended(self.containers, self.id, &exit);
        drop(self.started.attendance);
        drop(self.started.guard);
        self.containers.clear_run(self.id)?;
        drop(self.lock);
        drop(self.started.company);
        let (passed_on, supervised) = (&self.passed_on, self.supervised);
        // A program that was stopped for its bad health may end as if all were well: its unit has failed.
        let demanded = self.demanded.filter(|_| supervised && exit.code == 0);
        let code = demanded.map_or(exit.code, code_by);
        let end = End { code, passed_on, asked: &asked.signals, supervised };
        let by = end.signal();
        let rest = Rest { relay: self.relay, signals: self.signals, _raw: self.raw };
        Ok(Ended { code, by, rest })
    }
}

/// How a container ended, for its monitor's own end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: u8,
    /// The signal that this process is to end by.
    pub(crate) by: Option<i32>,
    pub(crate) rest: Rest,
}

/// What the container has printed and nobody has taken yet. Whoever reads it may take his time: all
/// else is done by then.
#[derive(Debug)]
pub(crate) struct Rest {
    relay: Relay,
    signals: OwnedFd,
    /// The terminal is as it was when this is dropped.
    _raw: Option<RawMode>,
}

impl Rest {
    /// Passes it on, for as long as somebody reads.
    pub(crate) fn pass_on(mut self) {
        self.relay.pass_on(&self.signals);
    }
}

fn code_by(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Returns the exit code of `docker run`.
pub(crate) fn code_of(status: WaitStatus) -> u8 {
    let code = status.exit_status().and_then(|it| u8::try_from(it & 0xff).ok());
    code.or_else(|| status.terminating_signal().map(code_by)).unwrap_or(0)
}
