//! Deadlines: the time-out of each state, the watchdog, the restart delay.

use std::time::Duration;

use argosy_model::{ServiceType, SubState, Timeout, UnitResult};

use super::{Step, Unit};

impl Unit {
    /// Acts on the deadlines that are due.
    pub(crate) fn deadline(&mut self, step: &mut Step<'_>) {
        let now = step.now.boottime;
        if self.watchdog.is_some_and(|due| due <= now) {
            self.watchdog = None;
            self.watchdog_elapsed(step);
        }
        if self.timer.is_some_and(|due| due <= now) {
            self.timer = None;
            self.timer_elapsed(step);
        }
    }

    fn timer_elapsed(&mut self, step: &mut Step<'_>) {
        let state = self.state;
        if matches!(state, SubState::Stop | SubState::StopSigterm | SubState::FinalSigterm) {
            let limit = limit("TimeoutStopSec", self.service().timeout_stop);
            self.explain(format!("its stop took longer than {limit}"));
        }
        let kills = self.service().send_sigkill;
        let timeout = UnitResult::Timeout;
        match state {
            SubState::Condition | SubState::StartPre | SubState::Start | SubState::StartPost => {
                self.log(step, 4, format!("{state} operation timed out. Terminating."));
                self.explain(self.late_start());
                self.enter_signal(SubState::StopSigterm, timeout, step);
            }
            SubState::Running => {
                self.log(step, 4, "Service reached runtime time limit. Stopping.".to_owned());
                let limit = limit("RuntimeMaxSec", self.service().runtime_max);
                self.explain(format!("it ran longer than {limit}"));
                self.enter_stop(timeout, step);
            }
            SubState::Reload => {
                self.log(step, 4, "Reload operation timed out. Killing reload process.".to_owned());
                self.abandon_control(step);
                self.reload_result = timeout;
                self.notified = super::Notified::Ready;
                self.enter_running(UnitResult::Success, step);
            }
            SubState::Stop => {
                self.log(step, 4, "Stopping timed out. Terminating.".to_owned());
                self.enter_signal(SubState::StopSigterm, timeout, step);
            }
            SubState::StopSigterm if kills => {
                self.log(step, 4, format!("State '{state}' timed out. Killing."));
                self.enter_signal(SubState::StopSigkill, timeout, step);
            }
            SubState::StopSigterm => {
                self.log(step, 4, format!("State '{state}' timed out. Skipping SIGKILL."));
                self.enter_stop_post(timeout, step);
            }
            SubState::StopSigkill => {
                // SIGKILL was sent and they are still there; there is nothing stronger.
                self.log(step, 4, "Processes still around after SIGKILL. Ignoring.".to_owned());
                self.enter_stop_post(timeout, step);
            }
            SubState::StopPost => {
                self.log(step, 4, format!("State '{state}' timed out. Terminating."));
                self.enter_signal(SubState::FinalSigterm, timeout, step);
            }
            SubState::FinalSigterm if kills => {
                self.log(step, 4, format!("State '{state}' timed out. Killing."));
                self.enter_signal(SubState::FinalSigkill, timeout, step);
            }
            SubState::FinalSigterm => {
                let message = "timed out. Skipping SIGKILL. Entering failed mode.";
                self.log(step, 4, format!("State '{state}' {message}"));
                self.enter_dead(timeout, false, step);
            }
            SubState::FinalSigkill => {
                let message = "Processes still around after final SIGKILL. Entering failed mode.";
                self.log(step, 4, message.to_owned());
                self.enter_dead(timeout, true, step);
            }
            SubState::AutoRestart => step.restarts_due.push(self.name.clone()),
            SubState::Exited | SubState::Dead | SubState::Failed => {}
        }
    }

    /// Says which step of a start has taken too long.
    fn late_start(&self) -> String {
        let limit = limit("TimeoutStartSec", self.service().timeout_start);
        match (self.state, self.service_type()) {
            (SubState::Condition, _) => format!("its ExecCondition= took longer than {limit}"),
            (SubState::StartPre, _) => format!("its ExecStartPre= took longer than {limit}"),
            (SubState::StartPost, _) => format!("its ExecStartPost= took longer than {limit}"),
            (_, ServiceType::Notify) => format!("it did not say READY=1 within {limit}"),
            _ => format!("its start took longer than {limit}"),
        }
    }

    /// Takes note of why the unit ends, unless that is known already.
    pub(crate) fn explain(&mut self, why: String) {
        if self.detail.is_empty() {
            self.detail = why;
        }
    }

    fn watchdog_span(&self) -> Option<Duration> {
        self.watchdog_span
            .or_else(|| self.service().watchdog.duration())
            .filter(|span| !span.is_zero())
    }

    /// Begins the time in which `WATCHDOG=1` must come, if there is one.
    pub(crate) fn reset_watchdog(&mut self, step: &Step<'_>) {
        self.watchdog = self.watchdog_span().map(|span| step.now.boottime.saturating_add(span));
    }

    fn watchdog_elapsed(&mut self, step: &mut Step<'_>) {
        let limit = self.watchdog_span().unwrap_or_default();
        self.log(step, 3, format!("Watchdog timeout (limit {}s)!", limit.as_secs_f64()));
        self.explain(format!("it did not say WATCHDOG=1 within {}s", limit.as_secs_f64()));
        self.fail_watchdog(step);
    }

    /// Ends the service as one that hangs.
    pub(crate) fn fail_watchdog(&mut self, step: &mut Step<'_>) {
        self.watchdog = None;
        self.enter_signal(SubState::StopSigterm, UnitResult::Watchdog, step);
    }
}

/// Returns a time limit as it stands in a unit file.
fn limit(key: &str, timeout: Timeout) -> String {
    timeout
        .duration()
        .map_or_else(|| format!("{key}="), |span| format!("{key}={}s", span.as_secs_f64()))
}
