//! The lines written to the journal about units, worded as systemd words them.

use argosy_model::{ActiveState, ExitOutcome, ServiceType, UnitName, UnitResult, signal_name};

use crate::Command;
use crate::unit::{Step, Unit};

/// The values of `$EXIT_CODE` and `$EXIT_STATUS`, systemd.exec(5).
pub(crate) fn exit_variables(outcome: ExitOutcome) -> (&'static str, String) {
    match outcome {
        ExitOutcome::Code(code) => ("exited", code.to_string()),
        ExitOutcome::Signal { signal, core } => {
            let how = if core { "dumped" } else { "killed" };
            let name = signal_name(signal).map_or_else(
                || signal.to_string(),
                |name| name.trim_start_matches("SIG").to_owned(),
            );
            (how, name)
        }
        ExitOutcome::Unknown => ("unknown", String::new()),
    }
}

impl Unit {
    /// `foo.service - Description`, or the name alone.
    pub(crate) fn title(&self) -> String {
        match &self.loaded.spec.description {
            Some(description) => format!("{} - {description}", self.name),
            None => self.name.to_string(),
        }
    }

    fn say(&self, step: &mut Step<'_>, priority: u8, message: String) {
        step.commands.push(Command::Log {
            unit: self.name.clone(),
            invocation: self.invocation,
            priority,
            message,
        });
    }

    /// A line that begins with the unit's name.
    pub(crate) fn log(&self, step: &mut Step<'_>, priority: u8, message: String) {
        self.say(step, priority, format!("{}: {message}", self.name));
    }

    pub(crate) fn log_exit(
        &mut self,
        kind: &str,
        outcome: ExitOutcome,
        success: bool,
        step: &mut Step<'_>,
    ) {
        // A program that exits by itself has said why; one that is killed has not.
        let priority = match outcome {
            _ if success => 7,
            ExitOutcome::Code(_) => 5,
            ExitOutcome::Signal { .. } | ExitOutcome::Unknown => 4,
        };
        let message = format!("{kind} exited, code={outcome}");
        if !success && self.detail.is_empty() {
            self.detail.clone_from(&message);
        }
        self.log(step, priority, message);
    }

    pub(crate) fn log_starting(&self, step: &mut Step<'_>) {
        self.say(step, 6, format!("Starting {}...", self.title()));
    }

    pub(crate) fn log_stopping(&self, step: &mut Step<'_>) {
        self.say(step, 6, format!("Stopping {}...", self.title()));
    }

    pub(crate) fn log_reloading(&self, step: &mut Step<'_>) {
        self.say(step, 6, format!("Reloading {}...", self.title()));
    }

    /// The line that ends a start.
    pub(crate) fn log_start_done(&self, to: ActiveState, result: UnitResult, step: &mut Step<'_>) {
        let title = self.title();
        if to == ActiveState::Failed {
            self.say(step, 3, format!("Failed to start {title}."));
        } else if result == UnitResult::ExecCondition {
            self.say(step, 6, format!("{title} was skipped because of an unmet condition check."));
        } else if self.service_type() == ServiceType::Oneshot {
            self.say(step, 6, format!("Finished {title}."));
        } else {
            self.say(step, 6, format!("Started {title}."));
        }
    }

    pub(crate) fn log_stopped(&self, step: &mut Step<'_>) {
        self.say(step, 6, format!("Stopped {}.", self.title()));
    }

    pub(crate) fn log_reloaded(&self, success: bool, step: &mut Step<'_>) {
        let title = self.title();
        if success {
            self.say(step, 6, format!("Reloaded {title}."));
        } else {
            self.say(step, 3, format!("Reload failed for {title}."));
        }
    }

    pub(crate) fn log_dependency_failed(&self, step: &mut Step<'_>) {
        self.say(step, 3, format!("Dependency failed for {}.", self.title()));
    }

    pub(crate) fn log_restart_scheduled(&self, step: &mut Step<'_>) {
        let message = format!("Scheduled restart job, restart counter is at {}.", self.restarts);
        self.log(step, 6, message);
    }

    pub(crate) fn log_bound(&self, to: &UnitName, step: &mut Step<'_>) {
        self.log(step, 6, format!("Bound to {to}, which is no longer active. Stopping."));
    }
}
