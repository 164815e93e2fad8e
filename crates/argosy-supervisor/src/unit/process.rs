//! The processes of a unit: starting them and signalling them.

use argosy_model::{
    ExecCommand, ExitOutcome, KillMode, NotifyAccess, ServiceType, SubState, UnitResult,
};

use super::{Step, Unit};
use crate::{Command, ExecRole, ProcessRef, SpawnFailure, SpawnId, SpawnRequest};

const SIGHUP: i32 = 1;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;

/// A main process, or one that is being started.
pub(crate) type Process = ProcessRef;

/// The control process with its place in the unit file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) process: Process,
    pub(crate) role: ExecRole,
    pub(crate) index: usize,
}

/// Why processes are signalled, which decides the signal (systemd.kill(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillOperation {
    /// The unit is to end.
    Terminate,
    /// It has not ended in time.
    Kill,
    /// Its watchdog ran out.
    Watchdog,
}

impl Unit {
    pub(crate) fn commands(&self, role: ExecRole) -> &[ExecCommand] {
        let service = self.service();
        match role {
            ExecRole::Condition => &service.exec_condition,
            ExecRole::StartPre => &service.exec_start_pre,
            ExecRole::Main => &service.exec_start,
            ExecRole::StartPost => &service.exec_start_post,
            ExecRole::Reload => &service.exec_reload,
            ExecRole::Stop => &service.exec_stop,
            ExecRole::StopPost => &service.exec_stop_post,
        }
    }

    pub(crate) fn has(&self, role: ExecRole) -> bool {
        !self.commands(role).is_empty()
    }

    /// Starts the control command at `index`.
    pub(crate) fn spawn_control(&mut self, role: ExecRole, index: usize, step: &mut Step<'_>) {
        let notify = match self.service().notify_access {
            NotifyAccess::None | NotifyAccess::Main => false,
            NotifyAccess::Exec | NotifyAccess::All => true,
        };
        let spawn = self.spawn(role, index, notify, step);
        self.control = Some(Control { process: Process { spawn, born: None }, role, index });
    }

    /// Starts the main command at `index`.
    pub(crate) fn spawn_main(&mut self, index: usize, step: &mut Step<'_>) {
        let notify = self.service().notify_access != NotifyAccess::None;
        let spawn = self.spawn(ExecRole::Main, index, notify, step);
        self.main = Some(Process { spawn, born: None });
        self.main_index = index;
        self.foreign_main = None;
        self.main_exit = None;
    }

    fn spawn(
        &mut self,
        role: ExecRole,
        index: usize,
        notify: bool,
        step: &mut Step<'_>,
    ) -> SpawnId {
        let spawn = step.ids.spawn();
        let invocation = *self.invocation.get_or_insert_with(|| step.ids.invocation());
        self.grouped = true;
        step.commands.push(Command::Spawn(Box::new(SpawnRequest {
            spawn,
            unit: self.name.clone(),
            role,
            invocation,
            ordered_at: self.ordered_at,
            loaded: self.loaded.clone(),
            command: self.commands(role)[index].clone(),
            environment: self.state_environment(role),
            notify,
        })));
        spawn
    }

    /// The variables of systemd.exec(5) "Environment Variables Set or Propagated by the Service
    /// Manager" that depend on the unit's state.
    fn state_environment(&self, role: ExecRole) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        if let Some(pid) = self.main_pid() {
            set("MAINPID", pid.to_string());
        }
        if role == ExecRole::Main
            && let Some(span) = self.service().watchdog.duration()
            && !span.is_zero()
        {
            set("WATCHDOG_USEC", span.as_micros().to_string());
        }
        if matches!(role, ExecRole::Stop | ExecRole::StopPost) {
            set("SERVICE_RESULT", self.result.to_string());
            if let Some(outcome) = self.main_exit {
                let (code, status) = crate::messages::exit_variables(outcome);
                set("EXIT_CODE", code.to_owned());
                set("EXIT_STATUS", status);
            }
        }
        variables
    }

    /// Signals what `KillMode=` says. Returns whether anything is left to wait for.
    pub(crate) fn kill(&mut self, operation: KillOperation, step: &mut Step<'_>) -> bool {
        let service = self.service();
        let signal = match operation {
            KillOperation::Terminate => service.kill_signal,
            KillOperation::Kill => service.final_kill_signal,
            KillOperation::Watchdog => SIGABRT,
        };
        let hup = service.send_sighup && operation == KillOperation::Terminate && signal != SIGHUP;
        let group = match service.kill_mode {
            KillMode::None => return false,
            KillMode::ControlGroup => true,
            KillMode::Mixed => operation == KillOperation::Kill,
            // A main process that only `MAINPID=` names is reached through the group alone.
            KillMode::Process => false,
        } || self.foreign_main.is_some();
        if group {
            if !self.populated && self.main.is_none() && self.control.is_none() {
                return false;
            }
            self.signal_group(signal, step);
            if hup {
                self.signal_group(SIGHUP, step);
            }
            return true;
        }
        let processes = self.main.into_iter().chain(self.control.map(|control| control.process));
        let mut any = false;
        for process in processes {
            any = true;
            self.signal_process(process.spawn, signal, step);
            if hup {
                self.signal_process(process.spawn, SIGHUP, step);
            }
        }
        any
    }

    /// A stopped process could not act on its signal, so it is also continued.
    pub(crate) fn signal_group(&self, signal: i32, step: &mut Step<'_>) {
        let unit = self.name.clone();
        if signal == SIGKILL {
            step.commands.push(Command::KillGroup { unit });
        } else {
            step.commands.push(Command::SignalGroup { unit: unit.clone(), signal });
            step.commands.push(Command::SignalGroup { unit, signal: SIGCONT });
        }
    }

    fn signal_process(&self, spawn: SpawnId, signal: i32, step: &mut Step<'_>) {
        let unit = self.name.clone();
        step.commands.push(Command::SignalProcess { unit: unit.clone(), spawn, signal });
        if signal != SIGKILL {
            step.commands.push(Command::SignalProcess { unit, spawn, signal: SIGCONT });
        }
    }

    /// SIGKILL to the control process, which is then forgotten.
    pub(crate) fn abandon_control(&mut self, step: &mut Step<'_>) {
        if let Some(control) = self.control.take() {
            self.signal_process(control.process.spawn, SIGKILL, step);
        }
    }
}

impl Unit {
    /// A process of the unit exists.
    pub(crate) fn spawned(&mut self, spawn: SpawnId, born: (u32, u64), step: &mut Step<'_>) {
        self.populated = true;
        if let Some(main) = self.main.as_mut().filter(|main| main.spawn == spawn) {
            main.born = Some(born);
            let simple = self.service_type() == ServiceType::Simple;
            if simple && self.state == SubState::Start {
                self.enter_start_post(step);
            }
        } else if let Some(control) = self.control.as_mut().filter(|c| c.process.spawn == spawn) {
            control.process.born = Some(born);
        }
        if self.ends_by_fence() {
            self.kill_fenced(step);
        }
    }

    /// A process executes its program: for `Type=exec` that is the start.
    pub(crate) fn executed(&mut self, spawn: SpawnId, step: &mut Step<'_>) {
        let main = self.main.is_some_and(|main| main.spawn == spawn);
        if main && self.service_type() == ServiceType::Exec && self.state == SubState::Start {
            self.enter_start_post(step);
        }
    }

    /// A process could not be started. systemd sees an exit with the code of the failed step.
    pub(crate) fn spawn_failed(
        &mut self,
        spawn: SpawnId,
        failure: SpawnFailure,
        step: &mut Step<'_>,
    ) {
        let main = self.main.is_some_and(|main| main.spawn == spawn);
        let control = self.control.is_some_and(|control| control.process.spawn == spawn);
        if !main && !control {
            return;
        }
        self.log(step, 3, failure.detail.clone());
        if self.ends_by_fence() {
            self.main = self.main.filter(|_| !main);
            self.control = self.control.filter(|_| !control);
            self.settle_fenced(step);
            return;
        }
        self.detail = failure.detail;
        if let Some(code) = failure.status {
            self.process_exited(spawn, ExitOutcome::Code(code), step);
        } else if main {
            self.main = None;
            self.enter_signal(SubState::StopSigterm, UnitResult::Resources, step);
        } else {
            self.control_unavailable(step);
        }
    }

    /// Not even a process could be made for a control command.
    fn control_unavailable(&mut self, step: &mut Step<'_>) {
        self.control = None;
        let resources = UnitResult::Resources;
        match self.state {
            SubState::Reload => {
                self.reload_result = resources;
                self.enter_running(UnitResult::Success, step);
            }
            SubState::StartPost => self.enter_stop(resources, step),
            SubState::StopPost => self.enter_signal(SubState::FinalSigterm, resources, step),
            _ => self.enter_signal(SubState::StopSigterm, resources, step),
        }
    }

    /// A process of the unit has ended.
    pub(crate) fn process_exited(
        &mut self,
        spawn: SpawnId,
        outcome: ExitOutcome,
        step: &mut Step<'_>,
    ) {
        if self.main.is_some_and(|main| main.spawn == spawn) {
            self.main_exited(outcome, step);
        } else if self.control.is_some_and(|control| control.process.spawn == spawn) {
            self.control_exited(outcome, step);
        }
    }
}
