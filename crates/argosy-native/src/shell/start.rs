//! Taking over: the keeper's hello, the units' states, their output, their files.

use std::collections::BTreeMap;

use argosy_keeper::{FromKeeper, Hello, KeeperClient};
use argosy_model::{Dependencies, Placement, ServiceSpec, UnitName, UnitSpec};
use argosy_supervisor::{
    Event, KeptProcess, Loaded, RestoredUnit, SpawnId, StoredUnit, Supervisor, SupervisorConfig,
    UnitSource,
};
use argosy_unit::Specifiers;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::commit::Pending;
use super::{EVENTS_MAX, KeeperEnd, QUIET, Shell, ShellParts};
use crate::accounts::Accounts;
use crate::output::{Outputs, Run, chain};
use crate::unit_files::{self, UnitFiles};
use crate::{NativeError, clock, machine_facts};

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
        let facts = machine_facts::specifiers(&config.data_dir, &Accounts::read("/etc".as_ref()));
        let now = clock::now();
        let units = restore_units(&hello, &facts);
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
        let mut shell = Shell {
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
            next_request: 1,
            seen: hello.acknowledged,
            acknowledged: hello.acknowledged,
            pending: Pending::default(),
            more: true,
            quiet_at: Instant::now() + QUIET,
            shutting_down: false,
            done: false,
        };
        shell.take_output_over(&hello);
        shell.prepare(commands, now);
        shell.load_stored();
        shell.load_own();
        for leftover in hello.leftover {
            shell.handle(Event::LeftoverFound { unit: leftover.unit }, now);
        }
        shell.commit()?;
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
                    program,
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
            match unit_files::parse(&name, &source.text, &source.origin, &self.facts) {
                Ok(spec) => self.take_in(Loaded { spec, source }),
                Err(error) => tracing::error!(unit = %name, error = %chain(&error), "not loaded"),
            }
        }
    }

    /// Loads the machine's own units; one of the cluster with the same name goes before.
    fn load_own(&mut self) {
        for name in self.files.names() {
            if name.is_template() || self.supervisor.newest(&name).is_some() {
                continue;
            }
            match self.files.load(&name, &self.facts) {
                Some(Ok(loaded)) => self.take_in(loaded),
                Some(Err(error)) => {
                    tracing::error!(unit = %name, error = %chain(&error), "not loaded");
                }
                None => {}
            }
        }
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
            wanted_by: Vec::new(),
        }
    })
}
