//! Operators: each does one thing after the other, at whichever machine it likes.

use std::collections::BTreeMap;

use argosy_kv::{Op, SpaceId, Txn};
use argosy_model::{UnitName, UnixMicros};
use argosy_registry::{
    ChangeError, ClusterView, Edit, Key, Outcome, Record, StoredMachine, StoredUnit,
};

use super::machine::{Asker, address};
use super::truth::of_users;
use super::violation::Broken;
use super::{Cluster, ClusterScenario, Event, machine_id, pulls, texts};
use crate::queue::micros;
use crate::random::Random;

/// Units that are submitted in one transaction: several fit into it.
const SUBMIT_TOGETHER: usize = 10;

pub(super) struct Operators {
    random: Random,
    units: u64,
    /// Draws images for units, if they have any: others play as if there were none.
    images: Option<Random>,
    /// They begin with submitting every unit.
    all_units: bool,
    /// What each change that was proposed is to come to.
    intents: Vec<Vec<(UnitName, StoredUnit)>>,
    labels: Vec<BTreeMap<String, String>>,
}

impl Operators {
    pub(super) fn new(scenario: &ClusterScenario, random: Random) -> Self {
        let images = scenario.images.then(|| Random::new(scenario.seed));
        let (units, all_units) = (scenario.units, scenario.all_units);
        Self { random, units, images, all_units, intents: Vec::new(), labels: Vec::new() }
    }

    fn draw_text(&mut self, name: &UnitName) -> String {
        let mut text = texts::draw_text(&mut self.random, name, self.units);
        if let Some(random) = &mut self.images {
            text += &pulls::draw_words(random);
        }
        text
    }

    /// Puts down a change; `None` if it is refused, or changes nothing.
    fn edit(&mut self, view: &ClusterView, machines: usize) -> Option<Txn> {
        let mut edit = Edit::new(view);
        while self.labels.len() < machines {
            let labels = texts::labels(&mut self.random, self.labels.len());
            self.labels.push(labels);
        }
        if view.machines().len() < machines {
            for at in 0..machines {
                edit.put_machine(self.machine(at)).ok()?;
            }
            return edit.finish();
        }
        if self.all_units {
            let names = (0..self.units).map(texts::unit_name);
            let missing: Vec<_> = names.filter(|name| view.unit(name).is_none()).collect();
            for name in missing.iter().take(SUBMIT_TOGETHER) {
                let text = self.draw_text(name);
                edit.submit(name, &text, "root", UnixMicros(0), None).ok()?;
                edit.start(name).ok()?;
            }
            if !missing.is_empty() {
                return edit.finish();
            }
        }
        let done = match self.random.below(100) {
            0..3 => {
                let at = self.random.index(machines);
                self.labels[at] = texts::labels(&mut self.random, at);
                edit.put_machine(self.machine(at))
            }
            3..6 => {
                let at = self.random.index(machines);
                let cordoned = self.random.below(3) == 0;
                edit.cordon(machine_id(at), cordoned)
            }
            _ => self.edit_unit(&mut edit, view),
        };
        done.ok()?;
        edit.finish()
    }

    fn machine(&self, at: usize) -> StoredMachine {
        StoredMachine {
            id: machine_id(at),
            name: format!("m{at}"),
            address: address(at),
            metadata: self.labels[at].clone(),
            cordoned: false,
            lost: false,
            long_grant: false,
            disk_full: false,
            port: 0,
            member: at as u64 + 1,
        }
    }

    fn edit_unit(&mut self, edit: &mut Edit, view: &ClusterView) -> Result<(), ChangeError> {
        let mut name = texts::draw_name(&mut self.random, self.units);
        let unknown = view.unit(&name).is_none_or(|stored| stored.value.destroyed);
        let choice = if unknown { 0 } else { self.random.below(100) };
        if name.is_template() && self.random.below(3) == 0 && choice >= 40 {
            let instance = self.random.between(1, 4).to_string();
            name = name.with_instance(&instance).unwrap_or(name);
        }
        match choice {
            0..15 => {
                let text = self.draw_text(&name);
                edit.submit(&name, &text, "root", UnixMicros(0), None)?;
                if self.random.below(4) > 0 { edit.start(&name) } else { Ok(()) }
            }
            15..40 => edit.start(&name),
            40..55 => edit.stop(&name),
            55..85 if !name.is_template() => edit.restart(&name),
            85..92 if !name.is_template() => edit.destroy(&name),
            55..98 if name.is_template() => {
                let replicas = self.random.below(5);
                edit.scale(&name, u32::try_from(replicas).expect("a small number"))
            }
            _ => edit.destroy(&name),
        }
    }
}

/// Returns the unit records a transaction writes.
fn intents_of(txn: &Txn) -> Vec<(UnitName, StoredUnit)> {
    let puts = txn.success.iter().filter_map(|op| match op {
        Op::Put(SpaceId::Registry, put) => Some(put),
        _ => None,
    });
    let units = puts.filter_map(|put| match Key::parse(&put.key)? {
        Key::Unit(unit) => Some((unit, of_users(&StoredUnit::read(&put.value).ok()?))),
        _ => None,
    });
    units.collect()
}

impl Cluster<'_> {
    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        if self.quiet {
            return Ok(());
        }
        let (least, most) = self.scenario.pause;
        let pause = self.operators.random.between(micros(least), micros(most));
        self.queue.after(pause, Event::Operate);
        let at = self.operators.random.index(self.machines.len());
        let count = self.machines.len();
        let machine = &self.machines[at];
        let Some(daemon) = machine.daemon.as_ref().filter(|_| machine.stopped.is_none()) else {
            return Ok(());
        };
        let Some(txn) = self.operators.edit(daemon.builder.view(), count) else {
            return Ok(());
        };
        let intents = intents_of(&txn);
        for (unit, wanted) in &intents {
            self.truth.intend(unit.clone(), wanted.clone());
        }
        self.operators.intents.push(intents);
        let asker = Asker::Operator(self.operators.intents.len() - 1);
        self.propose(at, asker, txn);
        self.settle(at)
    }

    pub(super) fn operator_hears(&mut self, intent: usize, outcome: Outcome) -> Result<(), Broken> {
        match outcome {
            Outcome::Done(revision) => {
                self.stats.acknowledged += 1;
                self.truth.check_done(revision, &self.operators.intents[intent])
            }
            Outcome::Conflict(_) | Outcome::Unknown => {
                self.stats.unacknowledged += 1;
                Ok(())
            }
        }
    }
}
