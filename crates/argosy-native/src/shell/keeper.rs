//! What the keeper says, told to the supervisor.

use std::io;

use argosy_keeper::{EventKind, ExecStep, FromKeeper, SpawnId};
use argosy_supervisor::{Event, Now, SpawnFailure};

use super::Shell;
use crate::{NativeError, clock};

/// Messages worked in before calls and output have their turn.
const TURN_MESSAGES: usize = 256;
/// Events in one commit: each may change a unit's state of some kilobytes, and a commit has to
/// fit a frame.
const COMMIT_EVENTS: u64 = 32;

impl Shell {
    /// Takes what the keeper has sent.
    pub(super) fn receive(&mut self) -> Result<(), NativeError> {
        self.keeper.client.flush()?;
        for _ in 0..TURN_MESSAGES {
            let Some(message) = self.keeper.client.receive()? else {
                self.more = false;
                return Ok(());
            };
            match message {
                FromKeeper::Hello(_) => {
                    tracing::error!("the keeper said hello twice");
                }
                FromKeeper::Event(event) => {
                    if event.seq > self.seen {
                        self.seen = event.seq;
                        self.keeper_event(event.kind, clock::at(event.at))?;
                    }
                    if self.seen - self.acknowledged >= COMMIT_EVENTS {
                        self.commit()?;
                    }
                }
                FromKeeper::SpoolAdvanced { unit, range } => {
                    self.outputs.advanced(&unit, range, &self.journal);
                }
                FromKeeper::Shutdown { .. } => {
                    self.shutting_down = true;
                    self.handle(Event::Shutdown, clock::now());
                }
            }
        }
        self.more = true;
        Ok(())
    }

    fn keeper_event(&mut self, kind: EventKind, now: Now) -> Result<(), NativeError> {
        let id = |spawn: SpawnId| argosy_supervisor::SpawnId(spawn.0);
        let event = match kind {
            EventKind::Spawned { spawn_id, pid, start_ticks } => {
                Event::Spawned { spawn: id(spawn_id), pid, start_ticks }
            }
            EventKind::SpawnFailed { spawn_id, step: ExecStep::Fence, .. } => {
                Event::SpawnFenced { spawn: id(spawn_id), never: !self.can_fence }
            }
            EventKind::Fenced { unit } => Event::Fenced { unit },
            EventKind::SpawnFailed { spawn_id, step, errno } => {
                let failure = self.failure(spawn_id, step, errno);
                Event::SpawnFailed { spawn: id(spawn_id), failure }
            }
            EventKind::Executed { spawn_id } => Event::Executed { spawn: id(spawn_id) },
            EventKind::Exited { spawn_id, outcome } => {
                // What it printed stands before the line that says how it ended.
                self.copy_output_of(spawn_id)?;
                Event::Exited { spawn: id(spawn_id), outcome }
            }
            EventKind::Notify { unit, pid, text } => Event::Notify { unit, pid, text },
            EventKind::GroupEmpty { unit } => Event::GroupEmpty { unit },
            EventKind::LeftoverGone { unit } => Event::LeftoverGone { unit },
        };
        self.handle(event, now);
        Ok(())
    }

    fn failure(&self, spawn: SpawnId, step: ExecStep, errno: i32) -> SpawnFailure {
        let error = io::Error::from_raw_os_error(errno);
        let run = self.outputs.run(spawn);
        let directory = run.and_then(|run| {
            let loaded = self.supervisor.in_force(&run.unit)?;
            loaded.spec.service.working_directory.as_ref().map(|directory| directory.path.as_str())
        });
        let program = run.map_or("its program", |run| run.program.as_str());
        let detail = match step {
            ExecStep::Exec => format!("Failed to execute {program}: {error}"),
            ExecStep::Chdir => {
                let directory = directory.unwrap_or("of its own");
                format!("Failed to change into the working directory {directory}: {error}")
            }
            _ => format!("Failed to {step} for {program}: {error}"),
        };
        SpawnFailure { status: (step != ExecStep::Fork).then(|| step.exit_code()), detail }
    }
}
