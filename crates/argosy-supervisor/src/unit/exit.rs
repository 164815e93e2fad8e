//! The end of a main or control process, and of the whole group.

use argosy_model::{ExitOutcome, ServiceType, SubState, UnitResult};

use super::stop::contains;
use super::{Notified, Step, Unit};
use crate::ExecRole;

/// Whether an uncaught SIGTERM and the like is a clean end: for daemons it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clean {
    Command,
    Daemon,
}

impl Unit {
    fn judge(&self, outcome: ExitOutcome, clean: Clean) -> UnitResult {
        let success = match outcome {
            ExitOutcome::Signal { .. } if clean == Clean::Command => false,
            other => other.is_clean(),
        };
        if success || contains(&self.service().success_exit_status, Some(outcome)) {
            return UnitResult::Success;
        }
        match outcome {
            ExitOutcome::Code(_) => UnitResult::ExitCode,
            ExitOutcome::Signal { core: true, .. } => UnitResult::CoreDump,
            ExitOutcome::Signal { core: false, .. } => UnitResult::Signal,
            ExitOutcome::Unknown => UnitResult::Unknown,
        }
    }

    /// The main process has ended.
    pub(crate) fn main_exited(&mut self, outcome: ExitOutcome, step: &mut Step<'_>) {
        let oneshot = self.service_type() == ServiceType::Oneshot;
        let clean = if oneshot { Clean::Command } else { Clean::Daemon };
        let mut result = self.judge(outcome, clean);
        let ignore = self
            .commands(ExecRole::Main)
            .get(self.main_index)
            .is_some_and(|command| command.prefix.ignore_failure);
        if ignore {
            result = UnitResult::Success;
        }
        self.main = None;
        self.main_exit = Some(outcome);
        self.log_exit("Main process", outcome, result == UnitResult::Success, step);
        self.note(result);
        let more = self.main_index + 1 < self.commands(ExecRole::Main).len();
        let starting = self.state == SubState::Start;
        if oneshot && more && starting && result == UnitResult::Success {
            self.run_next_main(step);
            return;
        }
        if self.foreign_main.is_some() && result == UnitResult::Success {
            // The service has named another main process; the group tells when that one ends.
            return;
        }
        self.after_main(result, step);
    }

    fn after_main(&mut self, result: UnitResult, step: &mut Step<'_>) {
        if self.ends_by_fence() {
            self.settle_fenced(step);
            return;
        }
        match self.state {
            SubState::StartPost | SubState::Reload => {
                // Without any process this state could never end.
                if self.control.is_none() {
                    self.enter_stop(result, step);
                }
            }
            SubState::Start => match self.service_type() {
                ServiceType::Oneshot if result == UnitResult::Success => {
                    self.enter_start_post(step);
                }
                ServiceType::Oneshot => {
                    self.enter_signal(SubState::StopSigterm, result, step);
                }
                // Only READY=1 makes it active, and it cannot come any more.
                ServiceType::Notify if result == UnitResult::Success => {
                    self.explain("its main process ended without READY=1".to_owned());
                    self.enter_signal(SubState::StopSigterm, UnitResult::Protocol, step);
                }
                ServiceType::Notify => self.enter_signal(SubState::StopSigterm, result, step),
                ServiceType::Simple | ServiceType::Exec => self.enter_running(result, step),
            },
            SubState::Running => self.enter_running(result, step),
            SubState::StopSigterm | SubState::StopSigkill => {
                if self.control.is_none() {
                    self.enter_stop_post(result, step);
                }
            }
            SubState::StopPost => {
                if self.control.is_none() {
                    self.enter_signal(SubState::FinalSigterm, result, step);
                }
            }
            SubState::FinalSigterm | SubState::FinalSigkill => {
                if self.control.is_none() {
                    self.enter_dead(result, true, step);
                }
            }
            // `ExecStop=` is waited for; the others have no main process.
            SubState::Stop
            | SubState::Condition
            | SubState::StartPre
            | SubState::Exited
            | SubState::Dead
            | SubState::Failed
            | SubState::AutoRestart => {}
        }
    }

    /// The control process has ended.
    pub(crate) fn control_exited(&mut self, outcome: ExitOutcome, step: &mut Step<'_>) {
        let Some(control) = self.control.take() else { return };
        let mut result = self.judge(outcome, Clean::Command);
        let command = self.commands(control.role).get(control.index);
        if command.is_some_and(|command| command.prefix.ignore_failure) {
            result = UnitResult::Success;
        }
        let mut kind = "Control process";
        let mut success = result == UnitResult::Success;
        if self.state == SubState::Condition {
            kind = "Condition check process";
            if matches!(outcome, ExitOutcome::Code(1..=254)) && result == UnitResult::ExitCode {
                result = UnitResult::ExecCondition;
                success = true;
            }
        }
        self.log_exit(kind, outcome, success, step);
        if self.state != SubState::Reload {
            self.note(result);
        }
        let more = control.index + 1 < self.commands(control.role).len();
        if more && result == UnitResult::Success && self.in_state_of(control.role) {
            self.spawn_control(control.role, control.index + 1, step);
            let timeout = match control.role {
                ExecRole::Stop | ExecRole::StopPost => self.service().timeout_stop,
                _ => self.service().timeout_start,
            };
            self.arm(timeout, step);
            return;
        }
        self.after_control(result, step);
    }

    /// Whether the unit is still in the state that runs commands of this role.
    fn in_state_of(&self, role: ExecRole) -> bool {
        let state = match role {
            ExecRole::Condition => SubState::Condition,
            ExecRole::StartPre => SubState::StartPre,
            ExecRole::Main => SubState::Start,
            ExecRole::StartPost => SubState::StartPost,
            ExecRole::Reload => SubState::Reload,
            ExecRole::Stop => SubState::Stop,
            ExecRole::StopPost => SubState::StopPost,
        };
        self.state == state
    }

    fn after_control(&mut self, result: UnitResult, step: &mut Step<'_>) {
        if self.ends_by_fence() {
            self.settle_fenced(step);
            return;
        }
        let success = result == UnitResult::Success;
        match self.state {
            SubState::Condition if success => self.enter_start_pre(step),
            SubState::StartPre if success => self.enter_start(step),
            SubState::StartPost if success => self.enter_running(UnitResult::Success, step),
            SubState::Condition | SubState::StartPre | SubState::StartPost | SubState::Stop => {
                self.enter_signal(SubState::StopSigterm, result, step);
            }
            SubState::Reload => {
                self.reload_result = result;
                if self.notified == Notified::Reloading {
                    self.notified = Notified::Ready;
                }
                self.enter_running(UnitResult::Success, step);
            }
            SubState::StopSigterm | SubState::StopSigkill => {
                if self.main.is_none() {
                    self.enter_stop_post(result, step);
                }
            }
            SubState::StopPost => {
                if self.main.is_none() {
                    self.enter_signal(SubState::FinalSigterm, result, step);
                }
            }
            SubState::FinalSigterm | SubState::FinalSigkill => {
                if self.main.is_none() {
                    self.enter_dead(result, true, step);
                }
            }
            SubState::Start
            | SubState::Running
            | SubState::Exited
            | SubState::Dead
            | SubState::Failed
            | SubState::AutoRestart => {}
        }
    }

    /// The last process of the unit is gone.
    pub(crate) fn group_emptied(&mut self, step: &mut Step<'_>) {
        self.populated = false;
        if self.main.is_some() || self.control.is_some() {
            // Their ends are reported one by one and say more.
            return;
        }
        let foreign = self.foreign_main.take().is_some();
        if self.ends_by_fence() {
            self.settle_fenced(step);
            return;
        }
        match self.state {
            SubState::Start if self.service_type() == ServiceType::Notify => {
                self.enter_stop_post(UnitResult::Protocol, step);
            }
            SubState::Start | SubState::StartPost | SubState::Running | SubState::Reload
                if foreign =>
            {
                self.enter_running(UnitResult::Success, step);
            }
            SubState::StopSigterm | SubState::StopSigkill => {
                self.enter_stop_post(UnitResult::Success, step);
            }
            SubState::StopPost | SubState::FinalSigterm | SubState::FinalSigkill => {
                self.enter_dead(UnitResult::Success, true, step);
            }
            SubState::Dead | SubState::Failed | SubState::Exited => self.drop_group(step),
            SubState::Start
            | SubState::StartPost
            | SubState::Running
            | SubState::Reload
            | SubState::Condition
            | SubState::StartPre
            | SubState::Stop
            | SubState::AutoRestart => {}
        }
    }
}
