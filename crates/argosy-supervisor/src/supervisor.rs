//! All units together: events in, commands out.

mod loading;
mod queue;
mod request;
mod settle;
mod transaction;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use argosy_model::{UnitName, UnitResult, UnitStatus, UnixMicros};

pub use loading::{ForgetRefusal, LoadRefusal, RestoredUnit};

use crate::ids::Ids;
use crate::job::{Job, JobKind};
use crate::relations::Relations;
use crate::unit::{Step, Transition, Unit};
use crate::{Command, Event, JobResult, Now, SpawnFailure, SpawnId};

/// What a supervisor is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct SupervisorConfig {
    /// The first spawn id to use; every one used before is lower.
    pub first_spawn: SpawnId,
    /// Randomness for invocation ids; a new one at every start of the process.
    pub seed: u128,
    /// Names that need no unit: they count as active (targets, `docker.service`).
    pub builtin: fn(&UnitName) -> bool,
}

/// The units of one machine and what is under way with them.
#[derive(Debug)]
pub struct Supervisor {
    config: SupervisorConfig,
    units: BTreeMap<UnitName, Unit>,
    relations: Relations,
    /// Units that have a job.
    queued: BTreeSet<UnitName>,
    /// Which unit a process belongs to.
    spawns: BTreeMap<SpawnId, UnitName>,
    ids: Ids,
    now: Now,
    commands: Vec<Command>,
    transitions: VecDeque<Transition>,
    restarts_due: Vec<UnitName>,
    /// Units changed by the present event.
    touched: BTreeSet<UnitName>,
    /// Units changed since [`Supervisor::take_states`].
    unsaved: BTreeSet<UnitName>,
    /// Statuses as last reported.
    reported: BTreeMap<UnitName, UnitStatus>,
    shutting_down: bool,
}

impl Supervisor {
    /// Makes a supervisor without units.
    pub fn new(config: SupervisorConfig) -> Supervisor {
        Supervisor {
            config,
            units: BTreeMap::new(),
            relations: Relations::default(),
            queued: BTreeSet::new(),
            spawns: BTreeMap::new(),
            ids: Ids::new(config.first_spawn.0, config.seed),
            now: Now { boottime: Duration::ZERO, wall: UnixMicros(0) },
            commands: Vec::new(),
            transitions: VecDeque::new(),
            restarts_due: Vec::new(),
            touched: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            reported: BTreeMap::new(),
            shutting_down: false,
        }
    }

    /// Works in one event. The commands are to be carried out in their order, together with
    /// [`Supervisor::take_states`] as one step: all of it or nothing.
    ///
    /// Only [`Event::Deadline`] acts on deadlines, so that events that happened earlier but are
    /// told later are worked in first.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Command> {
        self.now = now;
        match event {
            Event::Request { request, unit, verb } => self.request(request, unit, verb),
            Event::Ordered { unit, at } => {
                self.with(&unit, |unit, _| unit.ordered_at = unit.ordered_at.max(at));
            }
            Event::Kill { unit, signal, whom } => {
                self.with(&unit, |unit, step| unit.kill_request(signal, whom, step));
            }
            Event::Spawned { spawn, pid, start_ticks } => self.spawned(spawn, pid, start_ticks),
            Event::SpawnFailed { spawn, failure } => self.spawn_failed(spawn, failure),
            Event::SpawnFenced { spawn, never } => self.spawn_fenced(spawn, never),
            Event::Fenced { unit } => self.fenced(&unit),
            Event::Executed { spawn } => self.executed(spawn),
            Event::Exited { spawn, outcome } => self.exited(spawn, outcome),
            Event::Notify { unit, pid, text } => {
                self.with(&unit, |unit, step| unit.notify(pid, &text, step));
            }
            Event::GroupEmpty { unit } => {
                self.with(&unit, Unit::group_emptied);
            }
            Event::LeftoverFound { unit } => {
                self.with(&unit, Unit::leftover_found);
            }
            Event::LeftoverGone { unit } => {
                self.with(&unit, Unit::leftover_gone);
            }
            Event::Deadline => self.deadlines(),
            Event::Shutdown => self.shut_down(),
        }
        self.settle();
        std::mem::take(&mut self.commands)
    }

    /// Lets one unit's machine work. Returns `None` when there is no such unit.
    fn with<R>(
        &mut self,
        name: &UnitName,
        work: impl FnOnce(&mut Unit, &mut Step<'_>) -> R,
    ) -> Option<R> {
        let unit = self.units.get_mut(name)?;
        if !self.touched.contains(name) {
            self.touched.insert(name.clone());
        }
        let mut step = Step {
            now: self.now,
            ids: &mut self.ids,
            commands: &mut self.commands,
            transitions: &mut self.transitions,
            restarts_due: &mut self.restarts_due,
        };
        Some(work(unit, &mut step))
    }

    fn spawned(&mut self, spawn: SpawnId, pid: u32, start_ticks: u64) {
        let Some(name) = self.spawns.get(&spawn).cloned() else { return };
        self.with(&name, |unit, step| unit.spawned(spawn, (pid, start_ticks), step));
    }

    fn executed(&mut self, spawn: SpawnId) {
        let Some(name) = self.spawns.get(&spawn).cloned() else { return };
        self.with(&name, |unit, step| unit.executed(spawn, step));
    }

    fn spawn_failed(&mut self, spawn: SpawnId, failure: SpawnFailure) {
        let Some(name) = self.spawns.remove(&spawn) else { return };
        self.with(&name, |unit, step| unit.spawn_failed(spawn, failure, step));
    }

    fn spawn_fenced(&mut self, spawn: SpawnId, never: bool) {
        let Some(name) = self.spawns.remove(&spawn) else { return };
        self.with(&name, |unit, step| unit.spawn_fenced(spawn, never, step));
    }

    /// A unit that ends by its fence is not started or restarted by a job from before.
    fn fenced(&mut self, name: &UnitName) {
        let rests = self.units.get(name).is_none_or(Unit::at_rest);
        self.with(name, Unit::fenced);
        let stops = |job: &Job| job.kind == JobKind::Stop;
        let job = self.units.get(name).and_then(|unit| unit.job.as_ref());
        if !rests && job.is_some_and(|job| !stops(job)) {
            self.finish(name, JobResult::Failed);
        }
        self.end_waiting_starts();
    }

    /// The machine has lost its grant: a fenced unit that was ordered before and waits for its turn
    /// is not started any more. The keeper would refuse it.
    fn end_waiting_starts(&mut self) {
        let now = self.now.boottime;
        let waits = |unit: &&Unit| {
            let waits = unit.job.as_ref().is_some_and(|job| {
                !job.running && matches!(job.kind, JobKind::Start | JobKind::Restart)
            });
            waits && unit.at_rest() && unit.newest().is_fenced() && unit.ordered_at < now
        };
        let names: Vec<UnitName> =
            self.units.values().filter(waits).map(|unit| unit.name.clone()).collect();
        for name in names {
            self.with(&name, Unit::fenced_waiting);
            self.finish(&name, JobResult::Failed);
        }
    }

    fn exited(&mut self, spawn: SpawnId, outcome: argosy_model::ExitOutcome) {
        let Some(name) = self.spawns.remove(&spawn) else { return };
        self.with(&name, |unit, step| unit.process_exited(spawn, outcome, step));
    }

    fn deadlines(&mut self) {
        let now = self.now.boottime;
        let due = |unit: &Unit| unit.next_deadline().is_some_and(|deadline| deadline <= now);
        let names: Vec<UnitName> =
            self.units.values().filter(|unit| due(unit)).map(|unit| unit.name.clone()).collect();
        for name in names {
            self.with(&name, Unit::deadline);
        }
    }

    /// Restarts a unit whose `RestartSec=` is over.
    fn restart_due(&mut self, name: &UnitName) {
        if self.shutting_down {
            self.with(name, |unit, step| unit.stop(step));
            return;
        }
        self.with(name, |unit, step| {
            unit.restarts += 1;
            unit.flush_restarts = false;
            unit.log_restart_scheduled(step);
        });
        if let Err(refusal) = self.submit_restart(name) {
            self.with(name, |unit, step| {
                unit.log(step, 4, format!("Failed to schedule restart job: {refusal}"));
                unit.detail = refusal.to_string();
                unit.enter_dead(UnitResult::Resources, false, step);
            });
        }
    }

    /// Returns when [`Event::Deadline`] is due next, on CLOCK_BOOTTIME.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.units.values().filter_map(Unit::next_deadline).min()
    }

    /// Returns one unit's status.
    pub fn status(&self, unit: &UnitName) -> Option<UnitStatus> {
        self.units.get(unit).map(Unit::status)
    }

    /// Returns every unit's status, sorted by name.
    pub fn statuses(&self) -> impl Iterator<Item = UnitStatus> {
        self.units.values().map(Unit::status)
    }

    /// Tells whether a unit has a job.
    pub fn has_job(&self, unit: &UnitName) -> bool {
        self.queued.contains(unit)
    }

    /// Tells whether nothing runs and no job is left: a shutdown is complete.
    pub fn is_idle(&self) -> bool {
        self.queued.is_empty() && self.units.values().all(Unit::at_rest)
    }

    /// Returns the state of every unit changed since the last call, `None` for one forgotten.
    pub fn take_states(&mut self) -> Vec<(UnitName, Option<Vec<u8>>)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let encode = |name: UnitName| {
            let state = self.units.get(&name).map(crate::stored::encode);
            (name, state)
        };
        unsaved.into_iter().map(encode).collect()
    }
}

#[cfg(test)]
mod tests;
