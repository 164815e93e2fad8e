//! The orderly end: units stopped by the supervisor, the rest killed, children ended, files
//! removed.

use std::process::ExitCode;
use std::time::Duration;

use super::{Keeper, boottime, say};
use crate::FromKeeper;
use crate::wire::outgoing;

/// How long daemon and proxy may take to end, and killed processes to be gone and their output read.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the supervisor may take to store the last output, or to say that it has no units.
const SUPERVISOR_TIMEOUT: Duration = Duration::from_secs(5);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No end is in sight.
    Running,
    /// The supervisor stops the units.
    Stopping(Duration),
    /// What is left of the units is killed, daemon and proxy are asked to end.
    Killing(Duration),
    /// The supervisor is asked to end.
    Leaving(Duration),
    /// The supervisor is killed.
    Left,
}

impl Phase {
    /// Returns when the next phase comes at the latest.
    pub(super) fn deadline(self) -> Option<Duration> {
        match self {
            Phase::Stopping(at) | Phase::Killing(at) | Phase::Leaving(at) => Some(at),
            Phase::Running | Phase::Left => None,
        }
    }
}

impl Keeper {
    /// SIGTERM or SIGINT came. A second one does not wait for the supervisor.
    pub(super) fn begin_ending(&mut self) {
        match self.phase {
            Phase::Running => {
                // With nothing to stop only the supervisor's own end is waited for, if there is one
                // that can say so.
                let idle = self.units.is_empty() && self.leftover.is_empty();
                let longest = if idle { SUPERVISOR_TIMEOUT } else { self.config.stop_timeout };
                self.phase = Phase::Stopping(boottime() + longest);
                self.announce_ending();
            }
            Phase::Stopping(_) => self.begin_killing(),
            Phase::Killing(_) | Phase::Leaving(_) | Phase::Left => {}
        }
    }

    /// Tells the supervisor, also one started meanwhile.
    pub(super) fn announce_ending(&mut self) {
        if let (Phase::Stopping(deadline), Some(link)) = (self.phase, &mut self.link) {
            link.queue(outgoing(&FromKeeper::Shutdown { deadline }));
        }
    }

    /// The supervisor has stopped all units.
    pub(super) fn units_are_stopped(&mut self) {
        if matches!(self.phase, Phase::Stopping(_)) {
            self.begin_killing();
        }
    }

    /// Tells whether a child that ends is started again.
    pub(super) fn children_are_wanted(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping(_))
    }

    /// Tells whether everything that is left is to be killed, whoever it belongs to.
    pub(super) fn kills_all(&self) -> bool {
        !matches!(self.phase, Phase::Running | Phase::Stopping(_))
    }

    /// Tells whether the supervisor is still needed: for the last output.
    pub(super) fn supervisor_is_wanted(&self) -> bool {
        matches!(self.phase, Phase::Killing(_))
    }

    fn begin_killing(&mut self) {
        self.phase = Phase::Killing(boottime() + KILL_TIMEOUT);
        let units: Vec<_> = self.units.keys().cloned().collect();
        for unit in units {
            self.kill_group(&unit);
            self.remove_group_when_empty(&unit);
        }
        self.check_leftover();
        for child in &mut self.companions {
            child.retire();
            child.terminate();
        }
        self.held.let_go();
    }

    /// Goes on with the end as far as it can; tells whether it is complete.
    pub(super) fn advance_ending(&mut self) -> bool {
        let now = boottime();
        match self.phase {
            Phase::Running => false,
            Phase::Stopping(deadline) => {
                if now >= deadline {
                    say(format_args!("units are not stopped in time, they are killed"));
                    self.begin_killing();
                }
                false
            }
            Phase::Killing(deadline) => {
                let companions = self.companions.iter().any(super::SystemChild::is_running);
                let ended = !companions && !self.any_process() && self.pipes.is_empty();
                if !ended && now < deadline {
                    return false;
                }
                if !ended {
                    say(format_args!("not all processes could be ended in time"));
                }
                self.companions.iter().for_each(super::SystemChild::kill);
                self.begin_leaving(now);
                !self.supervisor.is_running()
            }
            Phase::Leaving(deadline) => {
                if now >= deadline {
                    self.supervisor.kill();
                    self.phase = Phase::Left;
                }
                !self.supervisor.is_running()
            }
            Phase::Left => !self.supervisor.is_running(),
        }
    }

    fn begin_leaving(&mut self, now: Duration) {
        self.phase = Phase::Leaving(now + SUPERVISOR_TIMEOUT);
        self.supervisor.retire();
        self.supervisor.terminate();
    }

    /// Removes what the keeper made.
    pub(super) fn close(mut self) -> ExitCode {
        let units: Vec<_> = self.units.keys().cloned().collect();
        for unit in units {
            let read = self.units.get(&unit).and_then(|unit| unit.spool.as_ref());
            if read.is_some_and(|spool| spool.unread() == 0 && !spool.is_stalled()) {
                self.remove_spool(&unit);
            }
            // A group with processes that do not die stays.
            drop(self.remove_group(&unit));
        }
        let clean = !self.any_process();
        self.driver.close();
        if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
