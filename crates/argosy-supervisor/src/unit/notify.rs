//! What a service says about itself, sd_notify(3).

use std::time::Duration;

use argosy_model::{NotifyAccess, ServiceType, SubState, UnitResult};

use super::{Notified, Step, Unit};

/// Longest `STATUS=` that is kept, in bytes: a line for people, not a store.
const STATUS_TEXT_MAX: usize = 1024;

impl Unit {
    /// Whose messages count, `NotifyAccess=`.
    fn accepts(&self, pid: u32) -> bool {
        let born = |process: Option<super::Process>| {
            process.and_then(|process| process.born).map(|(pid, _)| pid)
        };
        let main = self.main_pid() == Some(pid) || born(self.main) == Some(pid);
        match self.service().notify_access {
            NotifyAccess::None => false,
            NotifyAccess::Main => main,
            NotifyAccess::Exec => main || born(self.control.map(|c| c.process)) == Some(pid),
            NotifyAccess::All => true,
        }
    }

    /// Takes a message. One that does not count is ignored without a word but a log line.
    pub(crate) fn notify(&mut self, pid: u32, text: &str, step: &mut Step<'_>) {
        if !self.accepts(pid) {
            let message = format!("Got notification message from PID {pid}, which is not allowed.");
            self.log(step, 4, message);
            return;
        }
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        if let Some(pid) = value("MAINPID").and_then(|pid| pid.parse().ok()) {
            self.take_main_pid(pid, step);
        }
        if let Some(status) = value("STATUS") {
            self.status_text = (!status.is_empty()).then(|| cut(status).to_owned());
        }
        if let Some(errno) = value("ERRNO").and_then(|errno| errno.parse::<i32>().ok()) {
            self.errno = (errno > 0).then_some(errno);
        }
        if let Some(span) = value("WATCHDOG_USEC").and_then(|span| span.parse::<u64>().ok()) {
            self.watchdog_span = Some(Duration::from_micros(span));
            self.restart_watchdog(step);
        }
        if let Some(span) = value("EXTEND_TIMEOUT_USEC").and_then(|span| span.parse::<u64>().ok()) {
            self.extend_timeout(Duration::from_micros(span), step);
        }
        match value("WATCHDOG") {
            Some("1") => self.restart_watchdog(step),
            Some("trigger") if self.is_active() => {
                self.log(step, 3, "Watchdog triggered by the service.".to_owned());
                self.fail_watchdog(step);
            }
            _ => {}
        }
        self.take_phase(text, step);
    }

    /// `READY=`, `RELOADING=`, `STOPPING=`: the last one in the message wins.
    fn take_phase(&mut self, text: &str, step: &mut Step<'_>) {
        let phase = text.lines().rev().find_map(|line| match line {
            "READY=1" => Some(Notified::Ready),
            "RELOADING=1" => Some(Notified::Reloading),
            "STOPPING=1" => Some(Notified::Stopping),
            _ => None,
        });
        let Some(phase) = phase else { return };
        self.notified = phase;
        match (phase, self.state) {
            (Notified::Ready, SubState::Start) if self.service_type() == ServiceType::Notify => {
                self.enter_start_post(step);
            }
            (Notified::Ready, SubState::Reload) if self.control.is_none() => {
                self.enter_running(UnitResult::Success, step);
            }
            (Notified::Reloading, SubState::Running) => self.enter_reload_by_notify(step),
            (Notified::Stopping, SubState::Running) => self.enter_stop_by_notify(step),
            _ => {}
        }
    }

    fn take_main_pid(&mut self, pid: u32, step: &mut Step<'_>) {
        let listens = matches!(
            self.state,
            SubState::Start | SubState::StartPost | SubState::Running | SubState::Reload
        );
        if !listens || self.main_pid() == Some(pid) {
            return;
        }
        let started = self.main.and_then(|main| main.born).map(|(pid, _)| pid);
        self.foreign_main = (started != Some(pid)).then_some(pid);
        self.log(step, 6, format!("Main process is now {pid}, as the service says."));
    }

    fn restart_watchdog(&mut self, step: &Step<'_>) {
        let watched =
            matches!(self.state, SubState::StartPost | SubState::Running | SubState::Reload);
        if watched {
            self.reset_watchdog(step);
        }
    }

    /// Moves the deadline of the present state to at least `span` from now.
    fn extend_timeout(&mut self, span: Duration, step: &Step<'_>) {
        if self.state == SubState::AutoRestart {
            return;
        }
        if let Some(timer) = &mut self.timer {
            *timer = (*timer).max(step.now.boottime.saturating_add(span));
        }
    }
}

/// The longest beginning that fits, on a character boundary.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(STATUS_TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
