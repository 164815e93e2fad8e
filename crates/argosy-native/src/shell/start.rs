//! Taking over: the keeper's hello, the units' states, their output, their files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use argosy_keeper::{FromKeeper, GroupMode, Hello, KeeperClient};
use argosy_model::{
    ActiveState, Dependencies, Placement, ServiceSpec, UnitName, UnitResult, UnitSpec, UnitStatus,
};
use argosy_reconcile::Connection;
use argosy_supervisor::{
    Event, KeptProcess, Loaded, RestoredUnit, SpawnId, StoredUnit, Supervisor, SupervisorConfig,
    UnitSource, Verb,
};
use argosy_unit::Specifiers;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::commit::Pending;
use super::{EVENTS_MAX, KeeperEnd, QUIET, Shell, ShellParts};
use crate::engine::{Engine, is_engine};
use crate::machine_facts::MachineFacts;
use crate::output::{Outputs, Run, chain};
use crate::unit_files::{self, UnitFiles};
use crate::{NativeError, clock, private};

/// Targets that a machine starts with: what is wanted by one of them is started with it.
const BOOT_TARGETS: [&str; 2] = ["multi-user.target", "default.target"];

impl Shell {
    /// Takes over from an earlier supervisor, or begins with what is on disk.
    pub(super) async fn begin(
        parts: ShellParts,
        keeper: KeeperClient,
    ) -> Result<Shell, NativeError> {
        let watch = |source| NativeError::System { what: "watch the keeper's socket", source };
        let mut keeper = KeeperEnd::new(keeper).map_err(watch)?;
        let hello = hello(&mut keeper).await?;
        let ShellParts { config, journal, store, journal_end } = parts;
        let marker = config.boot_marker();
        let passing = [config.socket(), config.lock(), marker.clone()];
        let facts = MachineFacts::read(&config.data_dir);
        let now = clock::now();
        let units = restore_units(&hello, &facts.now());
        let processes: Vec<KeptProcess> = hello.processes.iter().map(kept).collect();
        let supervisor_config = SupervisorConfig {
            first_spawn: SpawnId(hello.last_spawn_id.0 + 1),
            seed: seed()?,
            builtin: argosy_unit::is_builtin,
        };
        tracing::info!(
            units = units.len(),
            processes = processes.len(),
            groups = %hello.group_mode,
            "taking over"
        );
        let (supervisor, commands) = Supervisor::restore(supervisor_config, units, &processes, now);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let engine = Engine { data_dir: config.data_dir, runtime_dir: config.runtime_dir.clone() };
        if let Err(error) = engine.link() {
            tracing::warn!(%error, "units whose shell runs docker do not find it");
        }
        let mut shell = Shell {
            engine,
            outputs: Outputs::new(config.runtime_dir),
            files: UnitFiles::new(config.unit_dirs),
            keeper,
            supervisor,
            journal,
            journal_end,
            store,
            facts,
            events,
            waiters: BTreeMap::new(),
            held_answers: Vec::new(),
            held_replies: Vec::new(),
            next_request: 1,
            connection: Connection::default(),
            seen: hello.acknowledged,
            acknowledged: hello.acknowledged,
            pending: Pending::default(),
            passing,
            pid_namespaces: hello.group_mode == GroupMode::PidNamespace,
            fences: hello.fences,
            can_fence: hello.group_mode != GroupMode::ProcessTree,
            more: true,
            quiet_at: Instant::now() + QUIET,
            shutting_down: false,
            done: false,
        };
        shell.take_output_over(&hello);
        shell.prepare(commands, now);
        shell.load_stored();
        shell.load_own();
        for leftover in &hello.leftover {
            shell.handle(Event::LeftoverFound { unit: leftover.unit.clone() }, now);
        }
        shell.start_wanted(&marker, &hello.boot_id)?;
        Ok(shell)
    }

    /// Goes on copying where the journal ends.
    fn take_output_over(&mut self, hello: &Hello) {
        for process in &hello.processes {
            let status = self.supervisor.status(&process.unit);
            let loaded = self.supervisor.in_force(&process.unit);
            let service = loaded.map(|loaded| &loaded.spec.service);
            let program = service
                .and_then(|service| service.exec_start.first())
                .map_or_else(|| process.unit.stem().to_owned(), |c| c.program.clone());
            let base = program.rsplit('/').next().unwrap_or(&program).to_owned();
            let identifier = service.and_then(|service| service.syslog_identifier.clone());
            self.outputs.begin_run(
                process.spawn_id,
                Run {
                    unit: process.unit.clone(),
                    invocation: status.and_then(|status| status.invocation),
                    identifier: identifier.unwrap_or(base),
                    is_engine: is_engine(&program),
                    program,
                    container: None,
                },
            );
        }
        for unit in &hello.units {
            if let Some(range) = unit.spool {
                self.outputs.resume(&unit.unit, range, &self.journal);
            }
        }
    }

    /// Loads the cluster's units that no state came with: after a boot.
    fn load_stored(&mut self) {
        for (name, source) in self.store.all() {
            if self.supervisor.newest(&name).is_some() {
                continue;
            }
            match unit_files::parse(&name, &source.text, &source.origin, &self.facts.now()) {
                Ok(spec) => self.take_in(Loaded { spec, source }),
                Err(error) => tracing::error!(unit = %name, error = %chain(&error), "not loaded"),
            }
        }
    }

    /// Loads the machine's own units; one of the cluster with the same name goes before.
    fn load_own(&mut self) {
        let files = self.files.clone();
        let look = files.look();
        for wrong in look.misnamed() {
            tracing::error!("not loaded: {wrong}");
        }
        for name in look.names() {
            if name.is_template() || self.supervisor.newest(&name).is_some() {
                continue;
            }
            match look.load(&name, &self.facts.now()) {
                Some(Ok(loaded)) => self.take_in(loaded),
                Some(Err(error)) => {
                    tracing::error!(unit = %name, error = %chain(&error), "not loaded");
                }
                None => {}
            }
        }
    }

    /// Starts the machine's own units that its targets want, once a boot: neither a supervisor
    /// that takes over nor one that comes after a killed keeper knows better than whoever has
    /// stopped them since. After an orderly end everything is stopped, and they start again.
    fn start_wanted(&mut self, marker: &Path, boot_id: &str) -> Result<(), NativeError> {
        if fs::read_to_string(marker).is_ok_and(|text| text.trim_end() == boot_id) {
            return self.commit();
        }
        let wanted: Vec<UnitName> = self
            .supervisor
            .statuses()
            .filter(|status| status.revision.0 == 0 && is_unstarted(status))
            .map(|status| status.unit)
            .filter(|unit| self.supervisor.newest(unit).is_some_and(|held| is_wanted(&held.spec)))
            .collect();
        for unit in wanted {
            self.ensure_loaded(&unit);
            self.request(&unit, Verb::Start);
        }
        self.commit()?;
        // After the commit: what was not asked for is asked for again, what was has begun.
        let failed = |source| NativeError::File { what: "write", path: marker.to_owned(), source };
        private::create(marker).and_then(|mut file| writeln!(file, "{boot_id}")).map_err(failed)
    }

    fn take_in(&mut self, loaded: Loaded) {
        let now = clock::now();
        let name = loaded.spec.name.clone();
        match self.supervisor.load(loaded, now) {
            Ok(commands) => self.prepare(commands, now),
            Err(refusal) => tracing::error!(unit = %name, %refusal, "not loaded"),
        }
    }
}

/// Tells whether a unit has neither been started by this keeper nor left by an earlier one.
fn is_unstarted(status: &UnitStatus) -> bool {
    let at_rest = matches!(status.active(), ActiveState::Inactive);
    at_rest && status.invocation.is_none() && status.result != UnitResult::Unknown
}

/// Tells whether a unit belongs to what a machine starts with.
fn is_wanted(spec: &UnitSpec) -> bool {
    spec.wanted_by.iter().any(|target| BOOT_TARGETS.contains(&target.as_str()))
}

async fn hello(keeper: &mut KeeperEnd) -> Result<Hello, NativeError> {
    loop {
        match keeper.client.receive()? {
            Some(FromKeeper::Hello(hello)) => return Ok(*hello),
            Some(_) => return Err(NativeError::NoHello),
            None => keeper.ready().await?,
        }
    }
}

fn kept(process: &argosy_keeper::ProcessRecord) -> KeptProcess {
    KeptProcess {
        spawn: SpawnId(process.spawn_id.0),
        pid: process.pid,
        start_ticks: process.start_ticks,
    }
}

fn seed() -> Result<u128, NativeError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| NativeError::System { what: "get randomness", source: error.into() })?;
    Ok(u128::from_ne_bytes(bytes))
}

/// Decodes the units' states. A state that cannot be decoded is left with the keeper: its unit
/// runs on, and nobody touches it.
fn restore_units(hello: &Hello, facts: &Specifiers) -> Vec<RestoredUnit> {
    let mut units = Vec::new();
    for record in &hello.units {
        let Some(state) = &record.state else { continue };
        let restored = StoredUnit::decode(state).and_then(|stored| {
            let loaded = meaning(stored.name(), stored.loaded(), facts);
            let next = stored.next().map(|next| meaning(stored.name(), next, facts));
            stored.restore(loaded, next)
        });
        match restored {
            Ok(unit) => units.push(unit),
            Err(error) => {
                tracing::error!(unit = %record.unit, error = %chain(&error), "state unreadable");
            }
        }
    }
    units
}

/// What a text means. One that this version refuses was accepted by the version that started
/// the unit, which therefore runs on, with every setting at its default.
fn meaning(name: &UnitName, source: &UnitSource, facts: &Specifiers) -> UnitSpec {
    unit_files::parse(name, &source.text, &source.origin, facts).unwrap_or_else(|error| {
        tracing::error!(unit = %name, error = %chain(&error), "text of a loaded unit refused");
        UnitSpec {
            name: name.clone(),
            description: None,
            dependencies: Dependencies::default(),
            service: ServiceSpec::default(),
            placement: Placement::default(),
            announce: None,
            traffic: Default::default(),
            images: Default::default(),
            wanted_by: Vec::new(),
        }
    })
}
