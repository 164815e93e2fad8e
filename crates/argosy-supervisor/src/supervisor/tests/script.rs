//! A little language for tests: one event a line, the commands that follow are printed.
//!
//! ```text
//! start a            request a start            exit main 3        main process of the unit
//! +5s                time passes, with deadlines exit control sig 15
//! spawned            every spawn not yet born    notify READY=1\nSTATUS=x
//! empty a            the group is empty          executed
//! fenced a           the grant of it is over     no-grant    its newest spawn is not allowed
//! no-fence           its newest spawn will never be
//! ordered a 7        a start was ordered at 7 s
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::{
    Dependencies, Epoch, ExecCommand, ExecPrefix, ExitOutcome, OnPartition, Placement,
    RestartCount, ServiceSpec, UnitName, UnitRevision, UnitSpec, UnixMicros,
};

use crate::ids::Ids;
use crate::{
    Command, Event, ExecRole, KeptProcess, KillWhom, Loaded, Now, RequestId, SpawnFailure, SpawnId,
    StoredUnit, Supervisor, SupervisorConfig, UnitSource, Verb,
};

pub(super) fn name(text: &str) -> UnitName {
    let full = if text.contains('.') { text.to_owned() } else { format!("{text}.service") };
    UnitName::new(full).unwrap()
}

pub(super) fn names(text: &str) -> Vec<UnitName> {
    text.split_whitespace().map(name).collect()
}

pub(super) fn command(line: &str) -> ExecCommand {
    let (prefix, line) = match line.strip_prefix('-') {
        Some(rest) => (ExecPrefix { ignore_failure: true, ..ExecPrefix::default() }, rest),
        None => (ExecPrefix::default(), line),
    };
    let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    ExecCommand { program: argv[0].clone(), argv, prefix }
}

pub(super) fn service(text: &str) -> ServiceSpec {
    ServiceSpec { exec_start: vec![command(text)], ..ServiceSpec::default() }
}

fn builtin(unit: &UnitName) -> bool {
    unit.as_str() == "docker.service"
}

pub(super) const CONFIG: SupervisorConfig =
    SupervisorConfig { first_spawn: SpawnId(1), seed: 7, builtin };

/// A supervisor with a keeper of paper: it knows which processes exist.
pub(super) struct World {
    pub(super) supervisor: Supervisor,
    pub(super) now: Duration,
    specs: BTreeMap<UnitName, Loaded>,
    /// Blobs as the keeper holds them.
    pub(super) blobs: BTreeMap<UnitName, Vec<u8>>,
    /// Spawned and not ended: id to unit and role.
    pub(super) processes: BTreeMap<SpawnId, (UnitName, ExecRole, bool)>,
    next_request: u64,
    /// Restart the supervisor from its blobs before every event.
    pub(super) restart_always: bool,
    shutdown: bool,
    pub(super) log: String,
    /// When each spawn was ordered.
    pub(super) ordered: Vec<(ExecRole, Duration)>,
    /// Priorities of the lines about ended processes.
    pub(super) exits: Vec<u8>,
}

impl World {
    pub(super) fn new() -> World {
        World {
            supervisor: Supervisor::new(CONFIG),
            now: Duration::from_secs(1000),
            specs: BTreeMap::new(),
            blobs: BTreeMap::new(),
            processes: BTreeMap::new(),
            next_request: 1,
            restart_always: false,
            shutdown: false,
            log: String::new(),
            ordered: Vec::new(),
            exits: Vec::new(),
        }
    }

    pub(super) fn with(text: &str, spec: ServiceSpec) -> World {
        let mut world = World::new();
        world.load(text, spec, Dependencies::default());
        world
    }

    fn at(&self) -> Now {
        let micros = u64::try_from(self.now.as_micros()).unwrap();
        Now { boottime: self.now, wall: UnixMicros(micros) }
    }

    pub(super) fn loaded(text: &str, spec: ServiceSpec, dependencies: Dependencies) -> Loaded {
        Loaded {
            spec: UnitSpec {
                name: name(text),
                description: None,
                dependencies,
                service: spec,
                placement: Placement::default(),
                announce: None,
                traffic: Default::default(),
                images: Default::default(),
                wanted_by: Vec::new(),
            },
            source: UnitSource {
                text: Arc::from(text),
                origin: "test".to_owned(),
                environment: Vec::new(),
                revision: UnitRevision::default(),
                epoch: Epoch::default(),
                restart: RestartCount::default(),
            },
        }
    }

    pub(super) fn load(&mut self, text: &str, spec: ServiceSpec, dependencies: Dependencies) {
        self.take(World::loaded(text, spec, dependencies), text);
    }

    /// Loads a unit of the cluster that runs only under its grant.
    pub(super) fn load_fenced(
        &mut self,
        text: &str,
        spec: ServiceSpec,
        dependencies: Dependencies,
    ) {
        let mut loaded = World::loaded(text, spec, dependencies);
        loaded.source.revision = UnitRevision(1);
        loaded.spec.placement.on_partition = OnPartition::Stop;
        self.take(loaded, text);
    }

    fn take(&mut self, loaded: Loaded, text: &str) {
        self.specs.insert(name(text), loaded.clone());
        let commands = self.supervisor.load(loaded, self.at()).unwrap();
        self.carry_out(commands);
    }

    /// Kills the supervisor and starts another one from what the keeper holds.
    pub(super) fn restart(&mut self) {
        let units = self
            .blobs
            .iter()
            .map(|(name, blob)| {
                let stored = StoredUnit::decode(blob).unwrap();
                assert_eq!(stored.name(), name);
                assert_eq!(stored.loaded(), &self.specs[name].source);
                stored.restore(self.specs[name].spec.clone(), None).unwrap()
            })
            .collect();
        let kept =
            |(spawn, _): (&SpawnId, _)| KeptProcess { spawn: *spawn, pid: 0, start_ticks: 0 };
        let kept: Vec<KeptProcess> = self.processes.iter().map(kept).collect();
        let (mut supervisor, commands) = Supervisor::restore(CONFIG, units, &kept, self.at());
        // So that both histories can be compared; the keeper tells the last spawn id.
        supervisor.ids = std::mem::replace(&mut self.supervisor.ids, Ids::new(0, 0));
        let before: Vec<_> = self.supervisor.statuses().collect();
        assert_eq!(supervisor.statuses().collect::<Vec<_>>(), before);
        self.supervisor = supervisor;
        assert_eq!(commands, [], "a new supervisor has nothing to do of its own");
        if self.shutdown {
            // The keeper says so to every new supervisor.
            let commands = self.supervisor.handle(Event::Shutdown, self.at());
            assert_eq!(commands, [], "everything is being stopped already");
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.restart_always {
            self.restart();
        }
        // The keeper names an ended process until its end is acknowledged.
        if let Event::Exited { spawn, .. }
        | Event::SpawnFailed { spawn, .. }
        | Event::SpawnFenced { spawn, .. } = &event
        {
            self.processes.remove(spawn);
        }
        let at = self.at();
        let commands = self.supervisor.handle(event, at);
        self.carry_out(commands);
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.print(&command);
            match command {
                Command::Spawn(request) => {
                    self.ordered.push((request.role, request.ordered_at));
                    let process = (request.unit.clone(), request.role, false);
                    self.processes.insert(request.spawn, process);
                }
                Command::RemoveGroup { unit } => {
                    let lives = self.processes.values().any(|(owner, _, _)| *owner == unit);
                    assert!(!lives, "the group of {unit} is removed while processes live in it");
                }
                _ => {}
            }
        }
        for (unit, state) in self.supervisor.take_states() {
            match state {
                Some(state) => self.blobs.insert(unit, state),
                None => self.blobs.remove(&unit),
            };
        }
    }

    fn print(&mut self, command: &Command) {
        let line = match command {
            Command::Spawn(request) => {
                let mut line = format!("spawn {} {}", request.unit, request.command.argv.join(" "));
                for (name, value) in &request.environment {
                    write!(line, " {name}={value}").unwrap();
                }
                line
            }
            Command::SignalProcess { unit, spawn, signal } => {
                let role = self.processes.get(spawn).map_or("gone", |(_, role, _)| role.word());
                format!("signal {unit} {role} {signal}")
            }
            Command::SignalGroup { unit, signal } => format!("signal {unit} group {signal}"),
            Command::KillGroup { unit } => format!("kill group {unit}"),
            Command::KillLeftover { unit } => format!("kill leftover {unit}"),
            Command::RemoveGroup { unit } => format!("remove group {unit}"),
            Command::StateChanged(status) => {
                let mut line = format!("{} {}/{}", status.unit, status.active(), status.sub);
                if status.result != argosy_model::UnitResult::Success {
                    write!(line, " {}", status.result).unwrap();
                }
                if let Some(pid) = status.main_pid {
                    write!(line, " pid={pid}").unwrap();
                }
                if status.restarts > 0 {
                    write!(line, " restarts={}", status.restarts).unwrap();
                }
                line
            }
            Command::JobDone { unit, result, .. } => format!("job {unit} {result:?}"),
            Command::Log { message, priority, .. } => {
                if message.contains("process exited") {
                    self.exits.push(*priority);
                }
                format!("# {message}")
            }
        };
        writeln!(self.log, "  {line}").unwrap();
    }

    /// Runs a script and returns it with what followed each line.
    pub(super) fn run(&mut self, script: &str) -> String {
        self.log.clear();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(self.log, "{line}").unwrap();
            self.line(line);
        }
        self.log.clone()
    }

    fn find(&self, main: bool) -> SpawnId {
        let wanted = |role: ExecRole| (role == ExecRole::Main) == main;
        let mut found = self.processes.iter().filter(|(_, (_, role, _))| wanted(*role));
        *found.next_back().expect("there is such a process").0
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["start", unit] => self.request(unit, Verb::Start),
            ["stop", unit] => self.request(unit, Verb::Stop),
            ["restart", unit] => self.request(unit, Verb::Restart),
            ["reload", unit] => self.request(unit, Verb::Reload),
            ["reset-failed", unit] => self.request(unit, Verb::ResetFailed),
            ["kill", unit, signal] => self.event(Event::Kill {
                unit: name(unit),
                signal: signal.parse().unwrap(),
                whom: KillWhom::All,
            }),
            ["shutdown"] => {
                self.event(Event::Shutdown);
                self.shutdown = true;
            }
            ["leftover", unit] => self.event(Event::LeftoverFound { unit: name(unit) }),
            ["leftover-gone", unit] => self.event(Event::LeftoverGone { unit: name(unit) }),
            ["ordered", unit, at] => {
                let at = Duration::from_secs(at.parse().unwrap());
                self.event(Event::Ordered { unit: name(unit), at });
            }
            ["spawned"] => self.spawned(),
            ["fenced", unit] => self.event(Event::Fenced { unit: name(unit) }),
            [word @ ("no-grant" | "no-fence")] => {
                let spawn = *self.processes.keys().next_back().unwrap();
                self.event(Event::SpawnFenced { spawn, never: word == "no-fence" });
            }
            ["executed"] => self.event(Event::Executed { spawn: self.find(true) }),
            ["failed", code] => {
                let spawn = *self.processes.keys().next_back().unwrap();
                let failure =
                    SpawnFailure { status: code.parse().ok(), detail: "cannot".to_owned() };
                self.event(Event::SpawnFailed { spawn, failure });
            }
            ["exit", which, ref how @ ..] => {
                let spawn = self.find(which == "main");
                self.exit(spawn, how);
            }
            ["exit-of", unit, ref how @ ..] => {
                let unit = name(unit);
                let mut owned = self.processes.iter().filter(|(_, (owner, _, _))| *owner == unit);
                let spawn = *owned.next_back().expect("it has a process").0;
                self.exit(spawn, how);
            }
            ["empty", unit] => self.event(Event::GroupEmpty { unit: name(unit) }),
            ["notify", text] => {
                let main = self.find(true);
                let (unit, _, _) = self.processes[&main].clone();
                let pid = pid(main);
                let text = text.replace("\\n", "\n");
                self.event(Event::Notify { unit, pid, text });
            }
            [span] if span.starts_with('+') => {
                let (number, unit) = span[1..].split_at(span.len() - 2);
                let number: u64 = number.parse().unwrap();
                self.now += match unit {
                    "s" => Duration::from_secs(number),
                    other => panic!("no unit {other}"),
                };
                self.event(Event::Deadline);
            }
            _ => panic!("not a line of a script: {line}"),
        }
    }

    pub(super) fn exit(&mut self, spawn: SpawnId, how: &[&str]) {
        let outcome = match how {
            ["sig", signal] => ExitOutcome::Signal { signal: signal.parse().unwrap(), core: false },
            ["core", signal] => ExitOutcome::Signal { signal: signal.parse().unwrap(), core: true },
            [code] => ExitOutcome::Code(code.parse().unwrap()),
            _ => panic!("not an exit: {how:?}"),
        };
        self.event(Event::Exited { spawn, outcome });
    }

    pub(super) fn spawned(&mut self) {
        let open: Vec<SpawnId> = self
            .processes
            .iter()
            .filter(|(_, (_, _, born))| !born)
            .map(|(spawn, _)| *spawn)
            .collect();
        for spawn in open {
            self.processes.get_mut(&spawn).unwrap().2 = true;
            let event = Event::Spawned { spawn, pid: pid(spawn), start_ticks: 1 };
            self.event(event);
        }
    }

    pub(super) fn request(&mut self, unit: &str, verb: Verb) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.event(Event::Request { request, unit: name(unit), verb });
    }
}

pub(super) fn pid(spawn: SpawnId) -> u32 {
    100 + u32::try_from(spawn.0).unwrap()
}
