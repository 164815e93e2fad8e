//! Calls of the socket's handlers.

use argosy_api::local::{JobOutcome, JobReply, LocalEvent, LocalUnit};
use argosy_api::{ApiError, ErrorCode, UnitStatusView};
use argosy_model::UnitName;
use argosy_supervisor::{Event, ForgetRefusal, JobRefusal, JobResult, KillWhom, RequestId, Verb};

use super::Shell;
use crate::call::{Call, Reply};
use crate::output::chain;
use crate::{NativeError, clock};

/// Somebody who waits for a job.
pub(super) struct Waiter {
    unit: UnitName,
    reply: Reply<JobReply>,
}

/// Answers; whoever asked may have gone.
fn give<T>(reply: Reply<T>, answer: Result<T, ApiError>) {
    drop(reply.send(answer));
}

impl Shell {
    pub(super) fn call(&mut self, call: Call) -> Result<(), NativeError> {
        match call {
            Call::List { reply } => {
                let names: Vec<UnitName> = self.supervisor.statuses().map(|s| s.unit).collect();
                give(reply, names.iter().map(|name| self.local_unit(name)).collect());
            }
            Call::Show { unit, reply } => {
                self.ensure_loaded(&unit);
                give(reply, self.local_unit(&unit));
            }
            Call::Load { unit, request, reply } => {
                let answer = self.load_given(&unit, request);
                give(reply, answer.and_then(|()| self.local_unit(&unit)));
            }
            Call::Forget { unit, reply } => {
                let answer = self.forget(&unit)?;
                self.commit()?;
                self.when_committed(move || give(reply, answer));
            }
            Call::Job { unit, verb, wait, reply } => self.job(unit, verb, wait, reply)?,
            Call::Kill { unit, signal, whom, reply } => {
                let answer = self.kill(&unit, signal, whom);
                // A signal that was answered for is sent, be this process killed at once.
                self.commit()?;
                self.when_committed(move || give(reply, answer));
            }
            Call::Subscribe { backend, reply } => {
                self.connection = self.connection.max(backend.unwrap_or_default());
                let changes = self.events.subscribe();
                let statuses = self.supervisor.statuses();
                let all = statuses.map(|s| UnitStatusView::for_any_version(&s)).collect();
                // What is still pending is already in the snapshot; hearing it again is harmless.
                give(reply, Ok((LocalEvent::Snapshot(all), changes)));
            }
            Call::DaemonReload { reply } => {
                let answer = self.daemon_reload();
                give(reply, Ok(answer));
            }
            Call::Vacuum { bytes, reply } => {
                let freed = self.journal.vacuum(bytes)?;
                tracing::info!(bytes = freed.bytes, files = freed.segments, "journal vacuumed");
                give(reply, Ok(()));
            }
            Call::Backend { connection, call, reply } => {
                let answer = self.backend(connection, call)?;
                // Only what is committed is answered.
                self.commit()?;
                self.when_committed(move || give(reply, answer));
            }
        }
        Ok(())
    }

    fn local_unit(&self, name: &UnitName) -> Result<LocalUnit, ApiError> {
        let (Some(status), Some(loaded)) =
            (self.supervisor.status(name), self.supervisor.newest(name))
        else {
            return Err(self.not_loaded(name));
        };
        Ok(LocalUnit {
            status: UnitStatusView::from(&status),
            description: loaded.spec.description.clone().unwrap_or_else(|| name.to_string()),
            source: loaded.source.origin.clone(),
            text: loaded.source.text.to_string(),
        })
    }

    fn job(
        &mut self,
        unit: UnitName,
        verb: Verb,
        wait: bool,
        reply: Reply<JobReply>,
    ) -> Result<(), NativeError> {
        self.ensure_loaded(&unit);
        let request = self.request(&unit, verb);
        self.waiters.insert(request, Waiter { unit: unit.clone(), reply });
        self.commit()?;
        if !wait && let Some(waiter) = self.waiters.remove(&request) {
            let answer = self.job_reply(&unit, JobOutcome::Queued);
            self.when_committed(move || give(waiter.reply, answer));
        }
        Ok(())
    }

    /// Asks for a job; nobody waits for it yet.
    pub(super) fn request(&mut self, unit: &UnitName, verb: Verb) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.handle(Event::Request { request, unit: unit.clone(), verb }, clock::now());
        request
    }

    /// A job has ended.
    pub(super) fn answer(&mut self, request: RequestId, result: JobResult) {
        let Some(Waiter { unit, reply }) = self.waiters.remove(&request) else { return };
        let outcome = match result {
            JobResult::Done => JobOutcome::Done,
            JobResult::Failed => JobOutcome::Failed,
            JobResult::Canceled => JobOutcome::Canceled,
            JobResult::Dependency => JobOutcome::Dependency,
            JobResult::Skipped => JobOutcome::Skipped,
            JobResult::Refused(refusal) => return give(reply, Err(self.refused(&refusal))),
        };
        give(reply, self.job_reply(&unit, outcome));
    }

    fn job_reply(&self, unit: &UnitName, outcome: JobOutcome) -> Result<JobReply, ApiError> {
        let status = self.supervisor.status(unit).ok_or_else(|| self.not_loaded(unit))?;
        Ok(JobReply { outcome, status: UnitStatusView::from(&status) })
    }

    fn kill(&mut self, unit: &UnitName, signal: i32, whom: KillWhom) -> Result<(), ApiError> {
        let Some(status) = self.supervisor.status(unit) else { return Err(self.not_loaded(unit)) };
        if !(1..=64).contains(&signal) {
            let message = format!("{signal} is not a signal number; they are 1 to 64");
            return Err(ApiError::new(ErrorCode::BadInput, message));
        }
        if whom == KillWhom::Main && status.main_pid.is_none() {
            let message = format!("{unit} has no main process to signal");
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        self.handle(Event::Kill { unit: unit.clone(), signal, whom }, clock::now());
        Ok(())
    }

    /// Lets a unit go, with its stored text and what the keeper holds of it.
    pub(super) fn forget(&mut self, unit: &UnitName) -> Result<Result<(), ApiError>, NativeError> {
        match self.supervisor.forget(unit) {
            Ok(()) => {}
            Err(refusal @ ForgetRefusal::NotLoaded { .. }) => {
                return Ok(Err(ApiError::new(ErrorCode::NotFound, refusal.to_string())));
            }
            Err(refusal @ ForgetRefusal::Running { .. }) => {
                return Ok(Err(ApiError::new(ErrorCode::Conflict, refusal.to_string())));
            }
        }
        self.store.remove(unit)?;
        self.outputs.copy_all(unit, &mut self.journal)?;
        self.outputs.forget(unit);
        self.journal.forget_positions(unit.as_str());
        self.pending.actions.push(argosy_keeper::Action::ForgetUnit { unit: unit.clone() });
        self.pending.changes.push(LocalEvent::Gone(unit.to_string()));
        Ok(Ok(()))
    }

    /// The answer for a unit that is not there, or whose file is refused.
    pub(super) fn not_loaded(&self, unit: &UnitName) -> ApiError {
        if let Some(why) = self.file_refusal(unit) {
            return ApiError::new(ErrorCode::BadInput, format!("unit {unit} is not loaded: {why}"));
        }
        ApiError::new(ErrorCode::NotFound, format!("unit {unit} is not loaded"))
            .with_help("put its file into a unit directory and run daemon-reload, or load it")
    }

    /// The answer for a refused job.
    pub(super) fn refused(&self, refusal: &JobRefusal) -> ApiError {
        let code = match refusal {
            JobRefusal::NotLoaded { unit } => return self.not_loaded(unit),
            JobRefusal::DependencyNotLoaded { dependency, .. } => {
                let why = self.file_refusal(dependency).map(|why| format!(": {why}"));
                let message = format!("{refusal}{}", why.unwrap_or_default());
                return ApiError::new(ErrorCode::Conflict, message);
            }
            JobRefusal::Template { .. } => ErrorCode::BadInput,
            JobRefusal::ShuttingDown => ErrorCode::Unavailable,
            JobRefusal::RequisiteInactive { .. }
            | JobRefusal::Contradiction { .. }
            | JobRefusal::NotReloadable { .. }
            | JobRefusal::NotActive { .. } => ErrorCode::Conflict,
        };
        ApiError::new(code, refusal.to_string())
    }

    /// Says what is wrong with the file of a unit that is not loaded.
    fn file_refusal(&self, unit: &UnitName) -> Option<String> {
        let error = self.files.look().load(unit, &self.facts.now())?.err()?;
        Some(chain(&error))
    }
}
