//! Ends of processes: reaped, and handed out after all that came before them.

use argosy_model::ExitOutcome;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};

use super::Keeper;
use crate::exec::{Report, SpawnError};
use crate::{EventKind, ExecStep, SpawnId};

impl Keeper {
    /// Reaps every child that has ended: unit processes, system children, orphans.
    pub(super) fn reap(&mut self) {
        loop {
            let (pid, status) = match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => (pid.as_raw_nonzero().get(), status),
                Err(Errno::INTR) => continue,
                Ok(None) | Err(_) => return,
            };
            if let Some(spawn_id) = self.pids.remove(&pid) {
                self.process_ended(spawn_id, outcome(status));
            } else if !self.child_ended(pid, outcome(status)) {
                self.orphan_ended(pid);
            }
        }
    }

    /// Hands out the end of a unit's process after its report, its notifications and its output.
    fn process_ended(&mut self, spawn_id: SpawnId, outcome: ExitOutcome) {
        self.read_report(spawn_id);
        let Some(process) = self.processes.get_mut(&spawn_id) else { return };
        process.exit = Some(outcome);
        self.starting.remove(&spawn_id);
        let (unit, failure) = (process.unit.clone(), process.failure);
        self.drain_notify(&unit);
        self.drain_pipes(spawn_id);
        self.push_event(match failure {
            Some(SpawnError { step, errno }) => EventKind::SpawnFailed { spawn_id, step, errno },
            None => EventKind::Exited { spawn_id, outcome },
        });
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.live -= 1;
        }
        self.check_group(&unit);
    }

    /// An orphan of some unit, or the init of a namespace.
    fn orphan_ended(&mut self, pid: i32) {
        let groups = self.units.values_mut().filter_map(|unit| unit.group.as_mut());
        for group in groups {
            group.group.reaped(pid);
        }
    }

    /// Reads whether execve succeeded: then the pipe is closed, else it holds the report.
    pub(super) fn read_report(&mut self, spawn_id: SpawnId) {
        let Some(process) = self.processes.get_mut(&spawn_id) else { return };
        let Some((fd, _)) = &process.report else { return };
        let mut bytes = [0; Report::SIZE];
        let executed = match rustix::io::read(fd, &mut bytes) {
            Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(Report::SIZE) => {
                let Report { step, errno } = Report::from_bytes(bytes);
                let step = ExecStep::from_number(step).unwrap_or(ExecStep::Exec);
                process.failure = Some(SpawnError { step, errno });
                false
            }
            Ok(_) | Err(_) => true,
        };
        if let Some((fd, token)) = process.report.take() {
            self.poller.remove(&fd, token);
        }
        self.starting.remove(&spawn_id);
        if executed {
            self.push_event(EventKind::Executed { spawn_id });
        }
    }
}

fn outcome(status: WaitStatus) -> ExitOutcome {
    let core = status.signaled() && libc::WCOREDUMP(status.as_raw());
    match (status.exit_status().map(u8::try_from), status.terminating_signal()) {
        (Some(Ok(code)), _) => ExitOutcome::Code(code),
        (_, Some(signal)) => ExitOutcome::Signal { signal, core },
        _ => ExitOutcome::Unknown,
    }
}
