//! From running to dead: stop, signals, stop-post, final signals, restart.

use argosy_model::{ExitOutcome, ExitStatusSet, RestartPolicy, SubState, Timeout, UnitResult};

use super::{KillOperation, Step, Unit};
use crate::ExecRole;

impl Unit {
    /// Stops the unit, because somebody asked for it.
    pub(crate) fn stop(&mut self, step: &mut Step<'_>) {
        // A stop that was asked for is never followed by a restart of its own.
        self.forbid_restart = true;
        match self.state {
            SubState::Dead | SubState::Failed => {
                if self.leftover {
                    self.end_leftover(step);
                } else if self.result == UnitResult::Unknown {
                    // However it ended, it does not run, and that is what was asked for.
                    self.result = UnitResult::Success;
                    self.detail.clear();
                    self.set_state(SubState::Dead, step);
                }
            }
            SubState::Stop
            | SubState::StopSigterm
            | SubState::StopSigkill
            | SubState::StopPost
            | SubState::FinalSigterm
            | SubState::FinalSigkill => {}
            SubState::AutoRestart => {
                self.flush_restarts = true;
                self.set_state(SubState::Dead, step);
            }
            SubState::Condition
            | SubState::StartPre
            | SubState::Start
            | SubState::StartPost
            | SubState::Reload => {
                self.log_stopping(step);
                self.enter_signal(SubState::StopSigterm, UnitResult::Success, step);
            }
            SubState::Running | SubState::Exited => {
                self.log_stopping(step);
                self.enter_stop(UnitResult::Success, step);
            }
        }
    }

    pub(crate) fn enter_stop(&mut self, result: UnitResult, step: &mut Step<'_>) {
        self.note(result);
        self.control = None;
        if self.has(ExecRole::Stop) {
            self.spawn_control(ExecRole::Stop, 0, step);
            self.arm(self.service().timeout_stop, step);
            self.set_state(SubState::Stop, step);
        } else {
            self.enter_signal(SubState::StopSigterm, UnitResult::Success, step);
        }
    }

    /// The service said `STOPPING=1`: it ends by itself, as if it had been signalled.
    pub(crate) fn enter_stop_by_notify(&mut self, step: &mut Step<'_>) {
        self.arm(self.service().timeout_stop, step);
        self.set_state(SubState::StopSigterm, step);
    }

    /// Signals the processes, or goes on at once when there is nobody to signal.
    pub(crate) fn enter_signal(
        &mut self,
        state: SubState,
        result: UnitResult,
        step: &mut Step<'_>,
    ) {
        let operation = match state {
            SubState::StopSigterm if result == UnitResult::Watchdog => KillOperation::Watchdog,
            SubState::StopSigterm | SubState::FinalSigterm => KillOperation::Terminate,
            _ => KillOperation::Kill,
        };
        self.note(result);
        if self.kill(operation, step) {
            self.arm(self.service().timeout_stop, step);
            self.set_state(state, step);
            return;
        }
        let kills = self.service().send_sigkill;
        match state {
            SubState::StopSigterm if kills => {
                self.enter_signal(SubState::StopSigkill, UnitResult::Success, step);
            }
            SubState::StopSigterm | SubState::StopSigkill => {
                self.enter_stop_post(UnitResult::Success, step);
            }
            SubState::FinalSigterm if kills => {
                self.enter_signal(SubState::FinalSigkill, UnitResult::Success, step);
            }
            _ => self.enter_dead(UnitResult::Success, true, step),
        }
    }

    pub(crate) fn enter_stop_post(&mut self, result: UnitResult, step: &mut Step<'_>) {
        self.note(result);
        self.control = None;
        if self.has(ExecRole::StopPost) {
            self.spawn_control(ExecRole::StopPost, 0, step);
            self.arm(self.service().timeout_stop, step);
            self.set_state(SubState::StopPost, step);
        } else {
            self.enter_signal(SubState::FinalSigterm, UnitResult::Success, step);
        }
    }

    /// Ends the run, and waits for the next one where `Restart=` says so.
    pub(crate) fn enter_dead(
        &mut self,
        result: UnitResult,
        may_restart: bool,
        step: &mut Step<'_>,
    ) {
        self.note(result);
        let end = match self.result {
            UnitResult::Success => {
                self.log(step, 6, "Deactivated successfully.".to_owned());
                SubState::Dead
            }
            UnitResult::ExecCondition => {
                self.log(step, 6, "Skipped due to 'exec-condition'.".to_owned());
                SubState::Dead
            }
            failure => {
                self.log(step, 4, format!("Failed with result '{failure}'."));
                SubState::Failed
            }
        };
        let restart = may_restart && self.shall_restart();
        self.flush_restarts = !restart;
        self.set_state(end, step);
        if restart {
            self.arm(Timeout::After(self.service().restart_delay), step);
            self.set_state(SubState::AutoRestart, step);
        }
        self.forbid_restart = false;
    }

    /// The table of systemd.service(5) `Restart=`.
    pub(crate) fn shall_restart(&self) -> bool {
        if self.forbid_restart || self.result == UnitResult::Fenced {
            return false;
        }
        let service = self.service();
        if contains(&service.restart_prevent_exit_status, self.main_exit) {
            return false;
        }
        if contains(&service.restart_force_exit_status, self.main_exit) {
            return true;
        }
        let skipped = self.result == UnitResult::ExecCondition;
        let success = self.result == UnitResult::Success;
        match service.restart {
            RestartPolicy::No => false,
            RestartPolicy::Always => !skipped,
            RestartPolicy::OnSuccess => success,
            RestartPolicy::OnFailure => !success && !skipped,
            RestartPolicy::OnAbnormal => {
                !success && !skipped && self.result != UnitResult::ExitCode
            }
            RestartPolicy::OnAbort => {
                matches!(self.result, UnitResult::Signal | UnitResult::CoreDump)
            }
            RestartPolicy::OnWatchdog => self.result == UnitResult::Watchdog,
        }
    }
}

/// Tells whether an end is listed in a set such as `SuccessExitStatus=`.
pub(crate) fn contains(set: &ExitStatusSet, outcome: Option<ExitOutcome>) -> bool {
    match outcome {
        Some(ExitOutcome::Code(code)) => set.codes.contains(&code),
        Some(ExitOutcome::Signal { signal, .. }) => set.signals.contains(&signal),
        Some(ExitOutcome::Unknown) | None => false,
    }
}
