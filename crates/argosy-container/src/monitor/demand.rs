//! What becomes of a container that is unhealthy.
//!
//! Nobody has asked for its end: it ends as a program does by itself, so its unit is restarted as after
//! any failure.

use std::time::Instant;

use rustix::process::{Signal, pidfd_send_signal};

use super::{Monitor, own};
use crate::spec::OnFailure;
use crate::sys;

impl Monitor<'_> {
    /// Does what bad health asks for, and what the time for it has come.
    pub(super) fn follow_health(&mut self, now: Instant) {
        if self.end_by.is_some_and(|at| now >= at) {
            self.end_by = None;
            let _ = pidfd_send_signal(&self.init, Signal::KILL);
        }
        let Some(demand) = self.checks.as_mut().and_then(|checks| checks.demand()) else { return };
        match demand.action {
            OnFailure::Nothing => {}
            OnFailure::Kill => {
                own::say(&format!("{}: it is killed", demand.why));
                let _ = pidfd_send_signal(&self.init, Signal::KILL);
            }
            OnFailure::Stop { grace } => {
                own::say(&format!("{}: it is stopped", demand.why));
                self.end_by = Some(now + grace);
                if let Some(signal) = sys::signal(self.stop_signal) {
                    self.deliver(signal);
                }
            }
        }
    }
}
