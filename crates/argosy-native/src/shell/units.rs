//! Where units come from: files of the machine, and the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use argosy_api::local::{LoadRequest, ReloadReply};
use argosy_api::{ApiError, ErrorCode};
use argosy_model::{ActiveState, RestartCount, UnitName, UnitRevision, UnitStatus};
use argosy_reconcile::{Connection, RunIdentity, ended_by_fence};
use argosy_supervisor::{Event, JobResult, Loaded, UnitSource, Verb};

use super::Shell;
use crate::backend_wire::BackendCall;
use crate::output::chain;
use crate::unit_files::{self, UnitFileError};
use crate::unit_store::CLUSTER;
use crate::{NativeError, clock};

/// Why a unit is not taken that stops on partition; one that runs is taken, and ends.
const CANNOT_FENCE: &str = "this machine keeps units by process trees (--process-trees) and cannot end \
                            one for certain, as OnPartition=stop needs";

impl Shell {
    /// Loads a unit, and what it needs, from the machine's files where they are not loaded yet.
    pub(super) fn ensure_loaded(&mut self, unit: &UnitName) {
        let mut open = vec![unit.clone()];
        let mut seen = BTreeSet::new();
        let files = self.files.clone();
        let look = files.look();
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if self.supervisor.newest(&name).is_none() && !name.is_template() {
                match look.load(&name, &self.facts.now()) {
                    Some(Ok(loaded)) => drop(self.load(loaded)),
                    Some(Err(error)) => {
                        tracing::warn!(unit = %name, error = %chain(&error), "not loaded");
                    }
                    None => {}
                }
            }
            if let Some(loaded) = self.supervisor.newest(&name) {
                let needs = &loaded.spec.dependencies;
                let names = [&needs.requires, &needs.binds_to, &needs.requisite, &needs.wants];
                open.extend(names.into_iter().flatten().cloned());
            }
        }
    }

    fn load(&mut self, loaded: Loaded) -> Result<(), ApiError> {
        let now = clock::now();
        let commands = self
            .supervisor
            .load(loaded, now)
            .map_err(|refusal| ApiError::new(ErrorCode::Conflict, refusal.to_string()))?;
        self.prepare(commands, now);
        Ok(())
    }

    /// Reads all unit files again. A running unit keeps its text until it is started again.
    pub(super) fn daemon_reload(&mut self) -> ReloadReply {
        let files = self.files.clone();
        let look = files.look();
        let mut names: BTreeSet<UnitName> =
            look.names().into_iter().filter(|name| !name.is_template()).collect();
        let known: Vec<UnitStatus> = self.supervisor.statuses().collect();
        names.extend(known.into_iter().filter(|s| s.revision.0 == 0).map(|s| s.unit));
        let mut reply = ReloadReply { loaded: 0, refused: look.misnamed() };
        for name in names {
            let cluster =
                self.supervisor.newest(&name).is_some_and(|held| held.source.revision.0 > 0);
            if cluster {
                continue;
            }
            match look.load(&name, &self.facts.now()) {
                Some(Ok(loaded)) => match self.load(loaded) {
                    Ok(()) => reply.loaded += 1,
                    Err(error) => reply.refused.push(format!("{name}: {}", error.message)),
                },
                Some(Err(error)) => reply.refused.push(chain(&error)),
                // Its file is gone: it goes too, unless it runs.
                None => match self.forget(&name) {
                    Ok(Ok(()) | Err(_)) => {}
                    Err(error) => reply.refused.push(format!("{name}: {}", chain(&error))),
                },
            }
        }
        reply
    }

    fn parse(&self, unit: &UnitName, source: UnitSource) -> Result<Loaded, ApiError> {
        match unit_files::parse(unit, &source.text, unit.as_str(), &self.facts.now()) {
            Ok(spec) => Ok(Loaded { spec, source }),
            Err(error @ UnitFileError::Refused { .. }) => {
                Err(ApiError::new(ErrorCode::BadInput, error.to_string()))
            }
            Err(error) => Err(ApiError::new(ErrorCode::Internal, chain(&error))),
        }
    }

    /// Takes a unit of the cluster, to be started later.
    pub(super) fn load_given(
        &mut self,
        unit: &UnitName,
        request: LoadRequest,
    ) -> Result<(), ApiError> {
        let identity = RunIdentity {
            epoch: request.epoch.into(),
            revision: UnitRevision(request.revision),
            restart: RestartCount(request.asked_restarts),
        };
        if identity.revision.0 == 0 {
            let message = "revision 0 is that of the machine's own units; give one from 1 on";
            return Err(ApiError::new(ErrorCode::BadInput, message));
        }
        self.take_cluster_unit(unit, request.text, identity, request.environment)
    }

    fn take_cluster_unit(
        &mut self,
        unit: &UnitName,
        text: String,
        identity: RunIdentity,
        environment: Vec<(String, String)>,
    ) -> Result<(), ApiError> {
        let loaded = self.parse(
            unit,
            UnitSource {
                text: Arc::from(text),
                origin: CLUSTER.to_owned(),
                environment,
                revision: identity.revision,
                epoch: identity.epoch,
                restart: identity.restart,
            },
        )?;
        if loaded.is_fenced() && !self.can_fence && self.rests(unit) {
            return Err(ApiError::new(ErrorCode::Conflict, CANNOT_FENCE));
        }
        let source = loaded.source.clone();
        self.load(loaded)?;
        // A text on disk that is newer than the state committed with it is given again.
        self.store
            .put(unit, &source)
            .map_err(|error| ApiError::new(ErrorCode::Internal, chain(&error)))
    }

    /// Carries out a request of the backend port as one step. Nothing that an earlier connection
    /// has asked for is done any more: the snapshot of the newest one does not show it.
    pub(super) fn backend(
        &mut self,
        connection: Connection,
        call: BackendCall,
    ) -> Result<Result<(), ApiError>, NativeError> {
        if connection < self.connection {
            let message = "a later connection has begun";
            return Ok(Err(ApiError::new(ErrorCode::Conflict, message)));
        }
        match call {
            BackendCall::Start { unit, text, identity, environment, ordered_at } => {
                Ok(self.backend_start(&unit, text, identity, environment, ordered_at))
            }
            BackendCall::Stop { unit, epoch } => {
                let Some(held) = self.held_identity(&unit) else {
                    return Ok(Err(self.not_loaded(&unit)));
                };
                if held.epoch > epoch {
                    let message =
                        format!("{unit} has epoch {}; a stop for {epoch} is late", held.epoch);
                    return Ok(Err(ApiError::new(ErrorCode::Conflict, message)));
                }
                self.request(&unit, Verb::Stop);
                Ok(Ok(()))
            }
            BackendCall::Forget { unit } => {
                // A start that only waits for its turn is no run: it is called off.
                let status = self.supervisor.status(&unit);
                let rests = status.is_some_and(|status| {
                    matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
                });
                if rests && self.supervisor.has_job(&unit) {
                    self.request(&unit, Verb::Stop);
                }
                self.forget(&unit)
            }
        }
    }

    /// Tells whether nothing of a unit runs, or will by itself.
    fn rests(&self, unit: &UnitName) -> bool {
        self.supervisor.status(unit).is_none_or(|status| {
            matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
        })
    }

    fn ordered(&mut self, unit: &UnitName, at: Duration) {
        self.handle(Event::Ordered { unit: unit.clone(), at }, clock::now());
    }

    /// The newest identity given, be it in force yet or not.
    fn held_identity(&self, unit: &UnitName) -> Option<RunIdentity> {
        let source = &self.supervisor.newest(unit)?.source;
        let UnitSource { epoch, revision, restart, .. } = *source;
        Some(RunIdentity { epoch, revision, restart })
    }

    fn backend_start(
        &mut self,
        unit: &UnitName,
        text: String,
        identity: RunIdentity,
        environment: Vec<(String, String)>,
        ordered_at: Duration,
    ) -> Result<(), ApiError> {
        let held = self.held_identity(unit);
        if let Some(held) = held
            && held > identity
        {
            let message = format!(
                "{unit} is held for epoch {}, revision {}, restart {}; this is an earlier one",
                held.epoch, held.revision, held.restart
            );
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        if held == Some(identity) {
            // It also counts for a start that waits for its turn.
            self.ordered(unit, ordered_at);
            let status = self.supervisor.status(unit);
            let again =
                status.is_some_and(|status| status.invocation.is_none() || ended_by_fence(&status));
            if !again || self.supervisor.has_job(unit) {
                return Ok(());
            }
        } else {
            self.take_cluster_unit(unit, text, identity, environment)?;
            self.ordered(unit, ordered_at);
        }
        self.ensure_loaded(unit);
        let rests = self.rests(unit);
        let request = self.request(unit, if rests { Verb::Start } else { Verb::Restart });
        match self.pending.result_of(request) {
            Some(JobResult::Refused(refusal)) => Err(self.refused(&refusal)),
            _ => Ok(()),
        }
    }
}
