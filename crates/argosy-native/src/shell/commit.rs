//! From commands to one commit: either all of a step happens or nothing.

use argosy_api::UnitStatusView;
use argosy_api::local::LocalEvent;
use argosy_journal::{Entry, Transport};
use argosy_keeper::{Action, Commit, SpawnId, StateChange};
use argosy_model::{InvocationId, UnitName};
use argosy_supervisor::{Command, Event, JobResult, Now, RequestId, SpawnFailure, SpawnRequest};

use super::Shell;
use crate::accounts::Accounts;
use crate::engine::is_engine;
use crate::output::Run;
use crate::{NativeError, clock, spawn};

/// Lines of the supervisor beyond this are not stored, as with systemd: informational.
const PRIORITY_MAX: u8 = 6;

/// What has been decided and not told yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) actions: Vec<Action>,
    entries: Vec<Entry>,
    pub(super) changes: Vec<LocalEvent>,
    answers: Vec<(RequestId, JobResult)>,
}

impl Pending {
    /// Nobody hears of what a unit only passes through within a step, such as the end of its last run
    /// under the identity of the next one.
    fn change(&mut self, view: UnitStatusView) {
        let earlier = self.changes.iter().rposition(|change| match change {
            LocalEvent::Changed(earlier) => earlier.unit == view.unit,
            _ => false,
        });
        // One that has gone in between begins anew: both are told.
        let has_gone =
            |change: &LocalEvent| matches!(change, LocalEvent::Gone(unit) if *unit == view.unit);
        if let Some(place) = earlier
            && !self.changes[place..].iter().any(has_gone)
        {
            self.changes.remove(place);
        }
        self.changes.push(LocalEvent::Changed(Box::new(view)));
    }

    /// How a job has ended that was asked for in this step.
    pub(super) fn result_of(&self, request: RequestId) -> Option<JobResult> {
        let found = self.answers.iter().find(|(answered, _)| *answered == request);
        found.map(|(_, result)| result.clone())
    }
}

impl Shell {
    /// Lets the supervisor work an event in, and prepares what follows.
    pub(super) fn handle(&mut self, event: Event, now: Now) {
        let commands = self.supervisor.handle(event, now);
        self.prepare(commands, now);
    }

    /// Prepares what the supervisor wants.
    pub(super) fn prepare(&mut self, commands: Vec<Command>, now: Now) {
        let mut failed = Vec::new();
        for command in commands {
            let action = match command {
                Command::Spawn(mut request) => match self.spawn(&mut request) {
                    Ok(action) => action,
                    Err(failure) => {
                        failed.push((request.spawn, failure));
                        continue;
                    }
                },
                Command::SignalProcess { spawn, signal, .. } => {
                    Action::SignalProcess { spawn_id: SpawnId(spawn.0), signal }
                }
                Command::SignalGroup { unit, signal } => Action::SignalGroup { unit, signal },
                Command::KillGroup { unit } => Action::KillGroup { unit },
                Command::KillLeftover { unit } => Action::KillLeftover { unit },
                Command::RemoveGroup { unit } => Action::RemoveGroup { unit },
                Command::StateChanged(status) => {
                    self.pending.change(UnitStatusView::for_any_version(&status));
                    continue;
                }
                Command::JobDone { request, result, .. } => {
                    self.pending.answers.push((request, result));
                    continue;
                }
                Command::Log { unit, invocation, priority, message } => {
                    self.say(&unit, invocation, priority, message, now);
                    continue;
                }
            };
            self.pending.actions.push(action);
        }
        for (spawn, failure) in failed {
            self.handle(Event::SpawnFailed { spawn, failure }, now);
        }
    }

    fn spawn(&mut self, request: &mut SpawnRequest) -> Result<Action, SpawnFailure> {
        if self.pid_namespaces {
            spawn::name_main_pid_within(request, argosy_keeper::pid_within);
        }
        let service = &request.loaded.spec.service;
        let home = service.working_directory.as_ref().is_some_and(|dir| dir.path == "~");
        let accounts = match service.user.is_some() || service.group.is_some() || home {
            true => Accounts::read("/etc".as_ref()),
            false => Accounts::default(),
        };
        let own = |name: &str| std::env::var(name).ok();
        let record = spawn::record(request, &accounts, own, &self.engine)?;
        if record.fenced && !self.fences {
            let detail = "Its keeper is of a version without fences, which OnPartition=stop needs; \
                          stop and start argosy on this machine";
            return Err(SpawnFailure { status: None, detail: detail.to_owned() });
        }
        let program = record.program.clone();
        let named = &request.command.program;
        let base = named.rsplit('/').next().unwrap_or(named).to_owned();
        let identifier = service.syslog_identifier.clone().unwrap_or(base);
        let unit = request.unit.clone();
        let run = Run {
            unit,
            invocation: Some(request.invocation),
            identifier,
            program,
            is_engine: is_engine(named),
            container: None,
        };
        self.outputs.begin_run(record.spawn_id, run);
        Ok(Action::Spawn(Box::new(record)))
    }

    /// Puts a line of the supervisor's own into the journal.
    fn say(
        &mut self,
        unit: &UnitName,
        invocation: Option<InvocationId>,
        priority: u8,
        message: String,
        now: Now,
    ) {
        if priority > PRIORITY_MAX {
            tracing::debug!(%unit, "{message}");
            return;
        }
        self.pending.entries.push(Entry {
            realtime: now.wall,
            monotonic: u64::try_from(now.boottime.as_micros()).unwrap_or(u64::MAX),
            unit: unit.to_string(),
            invocation,
            transport: Transport::Supervisor,
            pid: Some(std::process::id()),
            identifier: "argosy".to_owned(),
            priority,
            message: message.into_bytes(),
            position: None,
            container: None,
        });
    }

    /// Copies a turn of the units' output into the journal.
    pub(super) fn copy_output(&mut self) -> Result<(), NativeError> {
        for (unit, through) in self.outputs.copy_turn(&mut self.journal)? {
            self.pending.actions.push(Action::ReleaseSpool { unit, through });
        }
        Ok(())
    }

    /// Copies all that a process's unit has printed so far.
    pub(super) fn copy_output_of(&mut self, spawn: SpawnId) -> Result<(), NativeError> {
        let Some(unit) = self.outputs.unit(spawn).cloned() else { return Ok(()) };
        if let Some((unit, through)) = self.outputs.copy_all(&unit, &mut self.journal)? {
            self.pending.actions.push(Action::ReleaseSpool { unit, through });
        }
        Ok(())
    }

    /// Tells the keeper everything decided since the last commit as one step; then everybody
    /// else.
    pub(super) fn commit(&mut self) -> Result<(), NativeError> {
        let Pending { actions, entries, changes, answers } = std::mem::take(&mut self.pending);
        if !entries.is_empty() {
            self.journal.append(&entries)?;
        }
        let states: Vec<StateChange> = self
            .supervisor
            .take_states()
            .into_iter()
            .map(|(unit, state)| StateChange { unit, state })
            .collect();
        let finished = self.shutting_down && !self.done && self.supervisor.is_idle();
        if finished {
            self.finish_output()?;
        }
        if !actions.is_empty() || !states.is_empty() || self.seen > self.acknowledged || finished {
            let commit = Commit { acknowledged: self.seen, states, actions, done: finished };
            self.keeper.client.send(&commit)?;
            self.acknowledged = self.seen;
            self.done |= finished;
        }
        let end = self.journal.end();
        self.journal_end.send_if_modified(|known| std::mem::replace(known, end) != end);
        for change in changes {
            // Nobody may be listening.
            drop(self.events.send(change));
        }
        // Nobody hears of a job's end before the keeper has all of the step that ended it.
        self.held_answers.extend(answers);
        if !self.keeper.client.wants_write() {
            for (request, result) in std::mem::take(&mut self.held_answers) {
                self.answer(request, result);
            }
            for reply in std::mem::take(&mut self.held_replies) {
                reply();
            }
        }
        Ok(())
    }

    /// Replies once the keeper has all that was committed: what is still in this process goes with it.
    pub(super) fn when_committed(&mut self, reply: impl FnOnce() + Send + 'static) {
        match self.keeper.client.wants_write() {
            true => self.held_replies.push(Box::new(reply)),
            false => reply(),
        }
    }

    /// Everything is stopped: the rest of the output goes into the journal.
    fn finish_output(&mut self) -> Result<(), NativeError> {
        while self.outputs.is_waiting() {
            // Releases are of no use any more: the keeper removes its files.
            self.outputs.copy_turn(&mut self.journal)?;
        }
        self.say_end();
        self.journal.sync()?;
        // The keeper ends this process once it hears that all is done.
        for path in &self.passing {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "not removed");
            }
        }
        Ok(())
    }

    fn say_end(&self) {
        tracing::info!(at = ?clock::boottime(), "every unit is stopped");
    }
}
