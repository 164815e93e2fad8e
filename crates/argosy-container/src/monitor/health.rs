//! Running the health command now and then.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use super::code_of;
use crate::ContainerError;
use crate::exec::ExecSpec;
use crate::health::{HealthState, Wellness};
use crate::record;
use crate::spec::{ContainerId, Health, Process};
use crate::store::Containers;

/// A command that runs, and until when it may.
#[derive(Debug)]
struct Running {
    pid: i32,
    until: Instant,
    late: bool,
}

/// The health command and what it has told.
#[derive(Debug)]
pub(crate) struct Checks {
    health: Health,
    started: Instant,
    next: Instant,
    running: Option<Running>,
    state: HealthState,
}

impl Checks {
    pub(crate) fn new(health: Health, now: Instant) -> Checks {
        let next = now + health.interval;
        Checks { health, started: now, next, running: None, state: HealthState::default() }
    }

    /// Tells whether the last command that counted has succeeded.
    pub(crate) fn is_healthy(&self) -> bool {
        self.state.wellness == Wellness::Healthy
    }

    /// Returns when there is something to do again.
    pub(crate) fn due(&self) -> Instant {
        match &self.running {
            // Its end is a signal.
            Some(running) if running.late => Instant::now() + Duration::from_secs(60),
            Some(running) => running.until,
            None => self.next,
        }
    }

    /// Starts a command whose time has come, or ends one that takes too long.
    pub(crate) fn advance(&mut self, containers: &Containers, id: &ContainerId, now: Instant) {
        match &mut self.running {
            Some(running) if !running.late && now >= running.until => {
                running.late = true;
                // A child of this process that nobody has collected: the number is its own.
                if let Some(pid) = Pid::from_raw(running.pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            None if now >= self.next => {
                let process = Process { args: self.health.args.clone(), ..Process::default() };
                match containers.exec_quietly(id, ExecSpec { process, privileged: false }) {
                    Ok(pid) => {
                        let until = now + self.health.timeout;
                        self.running = Some(Running { pid, until, late: false });
                    }
                    // Nobody can tell how it is.
                    Err(ContainerError::Paused { .. }) => self.next = now + self.health.interval,
                    Err(error) => self.answer(Some(error.exit_code()), containers, id),
                }
            }
            _ => {}
        }
    }

    /// Takes the end of a child, if it is the command.
    pub(crate) fn ended(
        &mut self,
        pid: i32,
        status: WaitStatus,
        containers: &Containers,
        id: &ContainerId,
    ) {
        if let Some(running) = self.running.take_if(|it| it.pid == pid) {
            self.answer((!running.late).then(|| code_of(status)), containers, id);
        }
    }

    fn answer(&mut self, code: Option<u8>, containers: &Containers, id: &ContainerId) {
        let now = Instant::now();
        self.next = now + self.health.interval;
        self.state.answered(&self.health, code, now - self.started);
        // Shown only; the next answer writes it again.
        drop(record::write(&containers.health_path(id), &self.state));
    }
}
