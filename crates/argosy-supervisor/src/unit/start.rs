//! From a start request to running: condition, start-pre, start, start-post.

use argosy_model::{ServiceType, SubState, Timeout, UnitResult};

use super::{Notified, Step, Unit};
use crate::{Command, ExecRole};

/// What a unit says to a start job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartAnswer {
    /// It runs already.
    Already,
    /// It is being started.
    Accepted,
    /// Not now: it is being stopped, or waits for its restart.
    Later,
    /// `StartLimitBurst=` is used up.
    Refused,
}

impl Unit {
    /// Starts the unit, by request or by `Restart=`.
    pub(crate) fn start(&mut self, step: &mut Step<'_>) -> StartAnswer {
        match self.state {
            SubState::Running | SubState::Exited | SubState::Reload => return StartAnswer::Already,
            SubState::Condition | SubState::StartPre | SubState::Start | SubState::StartPost => {
                return StartAnswer::Accepted;
            }
            SubState::Stop
            | SubState::StopSigterm
            | SubState::StopSigkill
            | SubState::StopPost
            | SubState::FinalSigterm
            | SubState::FinalSigkill
            | SubState::AutoRestart => return StartAnswer::Later,
            SubState::Dead | SubState::Failed => {}
        }
        if self.leftover {
            self.end_leftover(step);
            return StartAnswer::Later;
        }
        if let Some(next) = self.next.take() {
            self.loaded = next;
        }
        let service = &self.loaded.spec.service;
        if !self.start_limit.admit(step.now.boottime, service) {
            self.log(step, 4, "Start request repeated too quickly.".to_owned());
            // What the last run ended with is said once.
            if self.result != UnitResult::StartLimitHit {
                self.detail = self.too_many_starts();
            }
            self.result = UnitResult::Success;
            self.enter_dead(UnitResult::StartLimitHit, false, step);
            return StartAnswer::Refused;
        }
        self.reset_for_start(step);
        self.log_starting(step);
        if self.populated {
            let message = "Found left-over processes in its group while starting. Ignoring.";
            self.log(step, 4, message.to_owned());
        }
        self.enter_condition(step);
        StartAnswer::Accepted
    }

    fn too_many_starts(&self) -> String {
        let service = self.service();
        let (burst, within) = (service.start_limit_burst, service.start_limit_interval);
        let limit = format!(
            "it was started {burst} times within {}s (StartLimitBurst=, StartLimitIntervalSec=)",
            within.as_secs_f64()
        );
        match self.detail.as_str() {
            "" => limit,
            before => format!("{limit}; the last time: {before}"),
        }
    }

    fn reset_for_start(&mut self, step: &mut Step<'_>) {
        self.result = UnitResult::Success;
        self.reload_result = UnitResult::Success;
        self.main_index = 0;
        self.main_exit = None;
        self.forbid_restart = false;
        self.status_text = None;
        self.errno = None;
        self.detail.clear();
        self.notified = Notified::Nothing;
        self.watchdog_span = None;
        self.invocation = Some(step.ids.invocation());
        if self.flush_restarts {
            self.restarts = 0;
            self.flush_restarts = false;
        }
    }

    /// Kills what an earlier keeper left; a start waits until it is gone.
    pub(crate) fn end_leftover(&mut self, step: &mut Step<'_>) {
        step.commands.push(Command::KillLeftover { unit: self.name.clone() });
        self.log(step, 5, "Killing processes left over from an earlier keeper.".to_owned());
        self.arm(self.service().timeout_stop, step);
        self.set_state(SubState::FinalSigkill, step);
    }

    fn enter_condition(&mut self, step: &mut Step<'_>) {
        if self.has(ExecRole::Condition) {
            self.spawn_control(ExecRole::Condition, 0, step);
            self.arm(self.service().timeout_start, step);
            self.set_state(SubState::Condition, step);
        } else {
            self.enter_start_pre(step);
        }
    }

    pub(crate) fn enter_start_pre(&mut self, step: &mut Step<'_>) {
        if self.has(ExecRole::StartPre) {
            self.spawn_control(ExecRole::StartPre, 0, step);
            self.arm(self.service().timeout_start, step);
            self.set_state(SubState::StartPre, step);
        } else {
            self.enter_start(step);
        }
    }

    pub(crate) fn enter_start(&mut self, step: &mut Step<'_>) {
        if !self.has(ExecRole::Main) {
            // Only a oneshot or a target may have none.
            self.enter_start_post(step);
            return;
        }
        self.spawn_main(0, step);
        let timeout = match self.service_type() {
            // It is started as soon as it exists, so there is nothing to wait for.
            ServiceType::Simple => Timeout::Never,
            ServiceType::Exec | ServiceType::Oneshot | ServiceType::Notify => {
                self.service().timeout_start
            }
        };
        self.arm(timeout, step);
        self.set_state(SubState::Start, step);
    }

    /// Runs the next `ExecStart=` of a oneshot.
    pub(crate) fn run_next_main(&mut self, step: &mut Step<'_>) {
        self.spawn_main(self.main_index + 1, step);
        self.arm(self.service().timeout_start, step);
    }

    pub(crate) fn enter_start_post(&mut self, step: &mut Step<'_>) {
        self.reset_watchdog(step);
        if self.has(ExecRole::StartPost) {
            self.spawn_control(ExecRole::StartPost, 0, step);
            self.arm(self.service().timeout_start, step);
            self.set_state(SubState::StartPost, step);
        } else {
            self.enter_running(UnitResult::Success, step);
        }
    }

    /// Decides what a unit is whose start is over or whose main process has changed.
    pub(crate) fn enter_running(&mut self, result: UnitResult, step: &mut Step<'_>) {
        self.note(result);
        self.control = None;
        if self.result != UnitResult::Success {
            self.enter_signal(SubState::StopSigterm, result, step);
        } else if self.main.is_some() || self.foreign_main.is_some() {
            match self.notified {
                Notified::Reloading => self.enter_reload_by_notify(step),
                Notified::Stopping => self.enter_stop_by_notify(step),
                Notified::Nothing | Notified::Ready => self.enter_really_running(step),
            }
        } else if self.remains() {
            self.set_state(SubState::Exited, step);
        } else {
            self.enter_stop(UnitResult::Success, step);
        }
    }

    fn enter_really_running(&mut self, step: &mut Step<'_>) {
        self.set_state(SubState::Running, step);
        let begin = self.active_since.unwrap_or(step.now.boottime);
        self.timer = self.service().runtime_max.duration().map(|span| begin.saturating_add(span));
    }

    /// Starts `ExecReload=`.
    pub(crate) fn reload(&mut self, step: &mut Step<'_>) {
        self.reload_result = UnitResult::Success;
        self.spawn_control(ExecRole::Reload, 0, step);
        self.arm(self.service().timeout_start, step);
        self.log_reloading(step);
        self.set_state(SubState::Reload, step);
    }

    pub(crate) fn enter_reload_by_notify(&mut self, step: &mut Step<'_>) {
        self.arm(self.service().timeout_start, step);
        self.set_state(SubState::Reload, step);
    }
}
