//! What becomes of a container that is unhealthy.
//!
//! Nobody has asked for its end: it ends as a program does by itself, so its unit is restarted as after
//! any failure. Once somebody has asked for it, its health is nobody's business any more: a program that
//! is about to end may well fail its checks, and has its grace for that.

use std::time::Instant;

use rustix::process::{Signal, pidfd_send_signal};

use super::{Monitor, own};
use crate::asked::Asked;
use crate::spec::OnFailure;
use crate::sys;

/// Signals that ask a program to end, beside its own stop signal. SIGHUP is none: many read their
/// configuration anew then.
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGKILL];

impl Monitor<'_> {
    /// Makes the checks whose time has come, and does what follows from them, unless the container's end
    /// was asked for.
    pub(super) fn check_health(&mut self, now: Instant) {
        if self.checks.as_ref().is_some_and(|it| it.is_due(now)) && self.end_is_asked() {
            // With a command that still runs.
            self.checks = None;
        }
        if let Some(checks) = &mut self.checks {
            checks.advance(self.containers, self.id, now);
        }
        self.follow_health(now);
    }

    /// Tells whether somebody has asked for the container's end: through this process, or beside it.
    fn end_is_asked(&self) -> bool {
        let ends = |signal: &i32| ENDING.contains(signal) || *signal == self.stop_signal;
        let path = self.containers.asked_path(self.id);
        self.passed_on.iter().any(ends)
            || Asked::read(&path, self.started.record.init).signals.iter().any(ends)
    }

    /// Does what bad health asks for, and what the time for it has come.
    fn follow_health(&mut self, now: Instant) {
        if self.end_by.is_some_and(|at| now >= at) {
            self.end_by = None;
            let _ = pidfd_send_signal(&self.init, Signal::KILL);
        }
        let Some(demand) = self.checks.as_mut().and_then(|checks| checks.demand()) else { return };
        match demand.action {
            OnFailure::Nothing => {}
            OnFailure::Kill => {
                own::say(&format!("{}: it is killed", demand.why));
                self.demanded = Some(libc::SIGKILL);
                let _ = pidfd_send_signal(&self.init, Signal::KILL);
            }
            OnFailure::Stop { grace } => {
                own::say(&format!("{}: it is stopped", demand.why));
                self.end_by = Some(now + grace);
                self.demanded = Some(libc::SIGTERM);
                if let Some(signal) = sys::signal(self.stop_signal) {
                    self.deliver(signal);
                }
            }
        }
    }
}
