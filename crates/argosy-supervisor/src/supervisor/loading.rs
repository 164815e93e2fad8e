//! Taking units in, letting them go, and taking them over from an earlier supervisor.

use std::sync::Arc;

use argosy_model::{Epoch, ExitOutcome, UnitName, UnitRevision};

use super::{Supervisor, SupervisorConfig};
use crate::unit::Unit;
use crate::{Command, KeptProcess, Loaded, Now, SpawnId};

/// A unit was not taken in; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadRefusal {
    /// The right to run it is older than the one held.
    #[error("{unit} is held with epoch {held}; the older epoch {given} is refused")]
    OlderEpoch {
        /// The unit.
        unit: UnitName,
        /// The epoch held.
        held: Epoch,
        /// The epoch given.
        given: Epoch,
    },
    /// The text is older than the one held.
    #[error("{unit} is held at revision {held}; the older revision {given} is refused")]
    OlderRevision {
        /// The unit.
        unit: UnitName,
        /// The revision held.
        held: UnitRevision,
        /// The revision given.
        given: UnitRevision,
    },
}

/// A unit was not let go; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgetRefusal {
    /// No such unit is loaded.
    #[error("unit {unit} is not loaded")]
    NotLoaded {
        /// The unit.
        unit: UnitName,
    },
    /// It runs, or is about to.
    #[error("unit {unit} is {active}; stop it first")]
    Running {
        /// The unit.
        unit: UnitName,
        /// Its ACTIVE column.
        active: argosy_model::ActiveState,
    },
}

impl Supervisor {
    /// Takes over from an earlier supervisor: its units, and the processes the keeper holds. A
    /// process that the keeper does not know any more has ended, nobody knows how.
    ///
    /// `units` come from [`StoredUnit::restore`](crate::StoredUnit::restore).
    pub fn restore(
        config: SupervisorConfig,
        units: Vec<RestoredUnit>,
        processes: &[KeptProcess],
        now: Now,
    ) -> (Supervisor, Vec<Command>) {
        let mut supervisor = Supervisor::new(config);
        supervisor.now = now;
        let mut lost: Vec<SpawnId> = Vec::new();
        for RestoredUnit(unit) in units {
            let control = unit.control.map(|control| control.process);
            for process in unit.main.into_iter().chain(control) {
                supervisor.spawns.insert(process.spawn, unit.name.clone());
                if !processes.iter().any(|kept| kept.spawn == process.spawn) {
                    lost.push(process.spawn);
                }
            }
            if unit.job.is_some() {
                supervisor.queued.insert(unit.name.clone());
            }
            supervisor.relations.add(&unit.name, &unit.newest().spec.dependencies);
            supervisor.reported.insert(unit.name.clone(), unit.status());
            supervisor.units.insert(unit.name.clone(), *unit);
        }
        for spawn in lost {
            supervisor.exited(spawn, ExitOutcome::Unknown);
        }
        supervisor.settle();
        let commands = std::mem::take(&mut supervisor.commands);
        (supervisor, commands)
    }

    /// Takes a unit in, or a new text of it. A running unit runs on with its old text until it
    /// is started again.
    pub fn load(&mut self, loaded: Loaded, now: Now) -> Result<Vec<Command>, LoadRefusal> {
        self.now = now;
        let name = loaded.spec.name.clone();
        if let Some(unit) = self.units.get(&name) {
            check_order(unit, &loaded)?;
            let old = unit.newest().clone();
            if *old == loaded {
                return Ok(Vec::new());
            }
            self.relations.remove(&name, &old.spec.dependencies);
        }
        self.relations.add(&name, &loaded.spec.dependencies);
        let loaded = Arc::new(loaded);
        self.touched.insert(name.clone());
        match self.units.get_mut(&name) {
            Some(unit) if !unit.at_rest() => unit.next = Some(loaded),
            Some(unit) => {
                unit.loaded = loaded;
                unit.next = None;
            }
            None => {
                self.units.insert(name, Unit::new(loaded));
            }
        }
        self.settle();
        Ok(std::mem::take(&mut self.commands))
    }

    /// Lets a unit go that does not run.
    pub fn forget(&mut self, name: &UnitName) -> Result<(), ForgetRefusal> {
        let Some(unit) = self.units.get(name) else {
            return Err(ForgetRefusal::NotLoaded { unit: name.clone() });
        };
        if !unit.at_rest() || unit.job.is_some() || unit.leftover {
            return Err(ForgetRefusal::Running { unit: name.clone(), active: unit.active() });
        }
        self.relations.remove(name, &unit.newest().spec.dependencies);
        self.units.remove(name);
        self.reported.remove(name);
        self.unsaved.insert(name.clone());
        Ok(())
    }

    /// Returns the newest text of a unit: the one its next start takes.
    pub fn newest(&self, name: &UnitName) -> Option<&Arc<Loaded>> {
        self.units.get(name).map(Unit::newest)
    }

    /// Returns the text in force of a unit: the one its present run uses.
    pub fn in_force(&self, name: &UnitName) -> Option<&Arc<Loaded>> {
        self.units.get(name).map(|unit| &unit.loaded)
    }
}

fn check_order(unit: &Unit, given: &Loaded) -> Result<(), LoadRefusal> {
    let held = &unit.newest().source;
    let given = &given.source;
    if given.epoch < held.epoch {
        return Err(LoadRefusal::OlderEpoch {
            unit: unit.name.clone(),
            held: held.epoch,
            given: given.epoch,
        });
    }
    if given.epoch == held.epoch && given.revision < held.revision {
        return Err(LoadRefusal::OlderRevision {
            unit: unit.name.clone(),
            held: held.revision,
            given: given.revision,
        });
    }
    Ok(())
}

/// A unit decoded from its blob, together with its texts.
#[derive(Debug)]
pub struct RestoredUnit(pub(crate) Box<Unit>);
