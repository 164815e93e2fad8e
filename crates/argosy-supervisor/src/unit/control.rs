//! What is done to a unit from outside besides starting and stopping it.

use argosy_model::{SubState, UnitResult};

use super::{StartLimit, Step, Unit};
use crate::{Command, KillWhom};

impl Unit {
    /// Sends a signal on request.
    pub(crate) fn kill_request(&mut self, signal: i32, whom: KillWhom, step: &mut Step<'_>) {
        let spawn = match whom {
            KillWhom::All => {
                let unit = self.name.clone();
                step.commands.push(Command::SignalGroup { unit, signal });
                return;
            }
            KillWhom::Main => self.main.map(|main| main.spawn),
            KillWhom::Control => self.control.map(|control| control.process.spawn),
        };
        if let Some(spawn) = spawn {
            let unit = self.name.clone();
            step.commands.push(Command::SignalProcess { unit, spawn, signal });
        }
    }

    /// Leaves `failed` and forgets what counts towards limits.
    pub(crate) fn reset_failed(&mut self, step: &mut Step<'_>) {
        self.start_limit = StartLimit::default();
        self.restarts = 0;
        self.flush_restarts = false;
        if self.state == SubState::Failed {
            self.result = UnitResult::Success;
            self.detail.clear();
            self.set_state(SubState::Dead, step);
        }
    }

    /// Processes of an earlier keeper were found; how they end nobody will know.
    pub(crate) fn leftover_found(&mut self, step: &mut Step<'_>) {
        self.leftover = true;
        if self.at_rest() {
            self.result = UnitResult::Unknown;
            self.detail =
                "processes of an earlier keeper still run; starting or stopping it ends them"
                    .to_owned();
            self.set_state(SubState::Failed, step);
        }
    }

    /// They are gone.
    pub(crate) fn leftover_gone(&mut self, step: &mut Step<'_>) {
        self.leftover = false;
        if self.result != UnitResult::Fenced {
            self.detail.clear();
        }
        if self.state == SubState::FinalSigkill && self.main.is_none() && self.control.is_none() {
            self.timer = None;
            self.result = UnitResult::Success;
            self.detail.clear();
            self.set_state(SubState::Dead, step);
        }
    }
}
