//! The containers of a machine: their directories, and the truth about each.

mod collect;
mod create;
mod end;
mod lock;
mod remove;
mod starting;
mod taken;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cgroup::Stats;
use crate::clamped::Clamped;
use crate::health::HealthState;
use crate::log::LogReader;
use crate::record::{self, Exit, RunRecord};
use crate::spec::{ContainerId, ContainerSpec};
use crate::{ContainerError, ProcessName};

pub use create::Lasting;
pub(crate) use create::make_directory;
pub(crate) use lock::Lock;
pub use taken::Taken;

/// How long an end is waited for that has been ordered with SIGKILL. A process that hangs in the
/// kernel, on a dead network disk for example, may take for ever.
pub(crate) const KILLED_MAX: Duration = Duration::from_secs(10);

/// Beginning of names in the data directory that are no containers.
const HIDDEN: char = '.';

/// All containers of one engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    /// What does not outlive the machine's boot: `/run/argosy/containers`.
    pub run_dir: PathBuf,
    /// What does: `/var/lib/argosy/containers`.
    pub data_dir: PathBuf,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum State {
    /// It has never run.
    Created,
    Starting,
    Running,
    Paused,
    /// It runs and its monitor was killed: the next start of any container, or a removal, ends it.
    Unwatched,
    Exited(Exit),
    /// It has ended and nobody saw how: its monitor was killed, or the machine.
    Lost,
}

impl State {
    /// Tells whether the container runs, stands still for now, or is about to run.
    pub fn is_live(&self) -> bool {
        matches!(self, State::Starting | State::Running | State::Paused | State::Unwatched)
    }
}

/// All that is known of a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    pub spec: ContainerSpec,
    pub state: State,
    /// Its first process, if it runs.
    pub init: Option<ProcessName>,
    /// When its run began, if it runs, or nobody saw how it ended.
    pub started_ms: Option<u64>,
    pub health: Option<HealthState>,
    /// What this machine does not grant it.
    pub clamped: Vec<Clamped>,
}

impl Containers {
    /// Returns the ids of all containers, in order.
    pub fn list(&self) -> Result<Vec<ContainerId>, ContainerError> {
        let entries = match fs::read_dir(&self.data_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(ContainerError::file("list", &self.data_dir))?,
        };
        let mut ids: Vec<ContainerId> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with(HIDDEN))
            .filter_map(|name| ContainerId::new(name).ok())
            .filter(|id| self.is_there(id))
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Tells all about a container, as it is at this moment.
    pub fn inspect(&self, id: &ContainerId) -> Result<Inspection, ContainerError> {
        let spec = self.spec(id)?;
        let run = self.run_record(id)?;
        // That of the run before, if this one was killed while it began.
        let is_of_run = |it: &Exit| run.as_ref().is_none_or(|run| it.finished_ms >= run.started_ms);
        let exit = self.exit(id)?.filter(is_of_run);
        let state = match (&run, exit.clone()) {
            (Some(run), _) if run.is_running() && !run.is_watched() => State::Unwatched,
            (Some(run), _) if run.is_running() => match run.cgroups.is_frozen() {
                true => State::Paused,
                false => State::Running,
            },
            (Some(run), None) if run.is_setting_up() => State::Starting,
            (_, Some(exit)) => State::Exited(exit),
            (Some(_), None) => State::Lost,
            (None, None) if self.was_started(id) => State::Lost,
            (None, None) => State::Created,
        };
        let clamped = match (&run, &exit) {
            (Some(run), _) => run.clamped.clone(),
            (None, Some(exit)) => exit.clamped.clone(),
            (None, None) => Vec::new(),
        };
        let running = run.as_ref().filter(|it| it.is_running());
        Ok(Inspection {
            spec,
            state,
            init: running.and_then(|it| it.init),
            started_ms: run.as_ref().map(|it| it.started_ms),
            health: record::read_whole(&self.health_path(id))?,
            clamped,
        })
    }

    /// Reads what a container has printed, if its run was asked to keep it.
    pub fn log(&self, id: &ContainerId) -> Result<LogReader, ContainerError> {
        let path = self.log_path(id);
        LogReader::open(path.clone()).map_err(ContainerError::file("read", path))
    }

    /// Tells whether a container has run, however long ago.
    pub fn was_started(&self, id: &ContainerId) -> bool {
        fs::metadata(self.data(id).join("lock")).is_ok_and(|it| it.len() > 0)
    }

    /// Returns how a container ended, if it did and somebody saw it.
    pub fn exit(&self, id: &ContainerId) -> Result<Option<Exit>, ContainerError> {
        record::read_whole(&self.exit_path(id))
    }

    /// Measures a running container.
    pub fn stats(&self, id: &ContainerId) -> Result<Stats, ContainerError> {
        Ok(self.running(id)?.cgroups.stats())
    }

    /// Returns the processes of a running container, by the machine's numbers.
    pub fn processes(&self, id: &ContainerId) -> Result<Vec<i32>, ContainerError> {
        let run = self.running(id)?;
        run.cgroups.members().map_err(ContainerError::system("list the container's processes"))
    }

    /// Stops every process of a container where it is.
    pub fn pause(&self, id: &ContainerId) -> Result<(), ContainerError> {
        self.freeze(id, true)
    }

    /// Lets a paused container go on.
    pub fn resume(&self, id: &ContainerId) -> Result<(), ContainerError> {
        self.freeze(id, false)
    }

    fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<(), ContainerError> {
        let run = self.running(id)?;
        run.cgroups.freeze(frozen).map_err(ContainerError::system("freeze or thaw the container"))
    }

    pub(crate) fn spec(&self, id: &ContainerId) -> Result<ContainerSpec, ContainerError> {
        match record::read(&self.spec_path(id)) {
            Ok(Some(spec)) => Ok(spec),
            Ok(None) if !self.is_there(id) => Err(ContainerError::NotFound { id: id.clone() }),
            Ok(None) | Err(ContainerError::Record { .. }) => {
                Err(ContainerError::Damaged { id: id.clone() })
            }
            Err(error) => Err(error),
        }
    }

    /// Tells whether there is a container, be its records lost: it can still be removed.
    fn is_there(&self, id: &ContainerId) -> bool {
        self.spec_path(id).exists() || self.data(id).join("upper").exists()
    }

    pub(crate) fn run_record(&self, id: &ContainerId) -> Result<Option<RunRecord>, ContainerError> {
        record::read_whole(&self.run_path(id))
    }

    /// Returns the record of a container that runs.
    pub(crate) fn running(&self, id: &ContainerId) -> Result<RunRecord, ContainerError> {
        if !self.is_there(id) {
            return Err(ContainerError::NotFound { id: id.clone() });
        }
        let run = self.run_record(id)?.filter(RunRecord::is_running);
        run.ok_or_else(|| ContainerError::NotRunning { id: id.clone() })
    }

    /// Where a container is while it is made or removed.
    fn hidden(&self, id: &ContainerId) -> PathBuf {
        self.data_dir.join(format!("{HIDDEN}{id}"))
    }

    /// The directory of a container that outlives a boot.
    pub(crate) fn data(&self, id: &ContainerId) -> PathBuf {
        self.data_dir.join(id.as_str())
    }

    /// The directory of a run.
    pub(crate) fn run(&self, id: &ContainerId) -> PathBuf {
        self.run_dir.join(id.as_str())
    }

    fn spec_path(&self, id: &ContainerId) -> PathBuf {
        self.data(id).join("spec.json")
    }

    pub(crate) fn exit_path(&self, id: &ContainerId) -> PathBuf {
        self.data(id).join("exit.json")
    }

    pub(crate) fn log_path(&self, id: &ContainerId) -> PathBuf {
        self.data(id).join("log")
    }

    pub(crate) fn run_path(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("run.json")
    }

    pub(crate) fn asked_path(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("asked")
    }

    pub(crate) fn health_path(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("health.json")
    }

    /// What the monitors of a pod's containers hold open.
    pub(crate) fn company_path(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("company")
    }

    /// Where what a container has written is, as overlayfs keeps it.
    pub fn written(&self, id: &ContainerId) -> PathBuf {
        self.data(id).join("upper")
    }

    /// Where whoever attaches to a container connects.
    pub fn attach_path(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("attach.sock")
    }
}
