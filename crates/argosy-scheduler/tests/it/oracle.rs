//! A planner that looks at everything, every time, and remembers nothing. It is what the real
//! one must equal.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{DataPolicy, MachineId, MachineState, Placement, ReasonKind, UnitName, Wanted};
use argosy_scheduler::{Placed, PlacedState, PlanInput, PlanMachine, PlanUnit};

mod repair;

/// A unit on a machine: it stays, or is leaving.
#[derive(Clone, PartialEq)]
struct On {
    unit: UnitName,
    machine: MachineId,
    stays: bool,
}

/// What a plan comes to: the steps, in any order, and the kinds of the reasons.
#[derive(Debug, PartialEq, Default)]
pub(crate) struct Answer {
    pub(crate) steps: BTreeSet<(UnitName, &'static str, MachineId)>,
    pub(crate) reasons: BTreeMap<UnitName, ReasonKind>,
}

struct Oracle<'i> {
    input: &'i PlanInput,
    on: Vec<On>,
    /// Leaves only later: other moves come first.
    deferred: BTreeSet<UnitName>,
    answer: Answer,
}

pub(crate) fn answer(input: &PlanInput) -> Answer {
    let answer = Answer::default();
    let mut oracle = Oracle { input, on: Vec::new(), deferred: BTreeSet::new(), answer };
    let open = oracle.fixed();
    let open = oracle.keep(open);
    oracle.place(open);
    oracle.repair();
    oracle.answer
}

fn by_state(unit: &PlanUnit, state: PlacedState) -> Vec<&Placed> {
    unit.placed.iter().filter(|placed| placed.state == state).collect()
}

fn wants(unit: &PlanUnit) -> &Placement {
    &unit.spec.as_ref().unwrap().placement
}

fn bound(unit: &PlanUnit) -> Option<MachineId> {
    let placement = wants(unit);
    let local = placement.keeps_data && placement.data == DataPolicy::Local;
    if local { unit.home } else { None }
}

/// Tells whether a unit's text forbids another. The tests' patterns are a prefix, or one name.
fn hits(by: &PlanUnit, other: &UnitName) -> bool {
    by.spec.as_ref().is_ok_and(|spec| {
        spec.placement.conflicts.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => other.as_str().starts_with(prefix),
            None => other.as_str() == pattern,
        })
    })
}

impl<'i> Oracle<'i> {
    fn facts(&self, id: MachineId) -> Option<&'i PlanMachine> {
        self.input.machines.iter().find(|facts| facts.machine.id == id)
    }

    fn is_lost(&self, id: MachineId) -> bool {
        self.facts(id).is_some_and(|facts| facts.machine.state == MachineState::Lost)
    }

    /// By the text of what was placed there, whatever the newest one says.
    fn may_leave(&self, placed: &Placed) -> bool {
        let passed = self.facts(placed.machine).is_some_and(|facts| facts.fence_passed);
        self.is_lost(placed.machine) && (!placed.fenced || passed)
    }

    fn step(&mut self, unit: &PlanUnit, verb: &'static str, machine: MachineId) {
        self.answer.steps.insert((unit.name.clone(), verb, machine));
    }

    fn because(&mut self, unit: &PlanUnit, kind: ReasonKind) {
        self.answer.reasons.insert(unit.name.clone(), kind);
    }

    fn put(&mut self, unit: &PlanUnit, machine: MachineId, stays: bool) {
        if self.facts(machine).is_some() {
            self.on.push(On { unit: unit.name.clone(), machine, stays });
        }
    }

    /// Does what needs no choice; returns the units left, in the order in which they choose.
    fn fixed(&mut self) -> Vec<&'i PlanUnit> {
        let mut open = Vec::new();
        for unit in &self.input.units {
            for placed in by_state(unit, PlacedState::Stopped) {
                self.step(unit, "clear", placed.machine);
            }
            for placed in by_state(unit, PlacedState::Stopping) {
                self.put(unit, placed.machine, false);
            }
            let runs = by_state(unit, PlacedState::Run);
            match (&unit.wanted, &unit.spec) {
                (Wanted::Unknown(_), _) | (Wanted::Run, Err(_)) => {
                    runs.iter().for_each(|placed| self.put(unit, placed.machine, true));
                    self.because(unit, ReasonKind::Unreadable);
                }
                (Wanted::Stop(_), _) => {
                    for placed in runs {
                        self.put(unit, placed.machine, false);
                        self.step(unit, "stop", placed.machine);
                    }
                    self.because(unit, ReasonKind::NotWanted);
                }
                (Wanted::Run, Ok(_)) => open.push(unit),
            }
        }
        open.sort_by_key(|unit| {
            let rank = match wants(unit) {
                _ if bound(unit).is_some() => 0,
                placement if placement.machine_id.is_some() => 1,
                placement if placement.global => 2,
                _ => 3,
            };
            (rank, unit.name.clone())
        });
        open
    }

    fn moving(&self) -> usize {
        let leaving = self.input.units.iter().filter(|unit| {
            let leaves = |on: &&On| on.unit == unit.name && !on.stays && !self.is_lost(on.machine);
            let stays = |on: &On| on.unit == unit.name && on.stays && !self.is_lost(on.machine);
            unit.wanted == Wanted::Run
                && self.on.iter().any(|on| leaves(&on))
                && !self.on.iter().any(stays)
                && !self.deferred.contains(&unit.name)
        });
        leaving.count()
    }

    /// Units that run; returns those that still need a machine.
    fn keep(&mut self, open: Vec<&'i PlanUnit>) -> Vec<&'i PlanUnit> {
        let held = self.input.hold.is_some() || self.input.hold_moves.is_some();
        let mut moving = self.moving();
        let mut left = Vec::new();
        for unit in open {
            let mut runs = by_state(unit, PlacedState::Run);
            runs.sort_by_key(|placed| (!self.is_lost(placed.machine), placed.epoch));
            if wants(unit).global {
                runs.retain(|placed| self.facts(placed.machine).is_some());
                for placed in runs {
                    let against = self.against(unit, placed.machine, true);
                    if self.is_lost(placed.machine) {
                        continue;
                    }
                    if against.is_some() && self.input.hold.is_none() {
                        self.put(unit, placed.machine, false);
                        self.step(unit, "stop", placed.machine);
                    } else {
                        self.stay(unit, placed);
                    }
                }
                left.push(unit);
                continue;
            }
            let Some(current) = runs.pop() else {
                left.push(unit);
                continue;
            };
            let several = !runs.is_empty();
            for other in runs {
                self.put(unit, other.machine, false);
                self.step(unit, "stop", other.machine);
            }
            if several && self.is_lost(current.machine) {
                self.because(unit, ReasonKind::FenceWait);
                continue;
            }
            let home = bound(unit) == Some(current.machine);
            if self.is_lost(current.machine) {
                match (home, held, self.may_leave(current)) {
                    (true, _, _) => self.because(unit, ReasonKind::DataBound),
                    (false, true, _) | (false, false, false) => {
                        self.because(unit, ReasonKind::FenceWait);
                    }
                    (false, false, true) => left.push(unit),
                }
                continue;
            }
            match self.against(unit, current.machine, true) {
                None => self.stay(unit, current),
                Some((_, kind)) if home && kind != ReasonKind::Conflict => {
                    self.stay(unit, current);
                    self.because(unit, ReasonKind::DataBound);
                }
                Some((_, kind)) => {
                    if held || moving >= self.input.moves_max {
                        self.update(unit, current);
                        self.deferred.insert(unit.name.clone());
                    } else {
                        moving += 1;
                        self.step(unit, "stop", current.machine);
                    }
                    self.put(unit, current.machine, false);
                    self.because(unit, kind);
                }
            }
        }
        left
    }

    fn stay(&mut self, unit: &PlanUnit, placed: &Placed) {
        self.put(unit, placed.machine, true);
        self.update(unit, placed);
    }

    fn update(&mut self, unit: &PlanUnit, placed: &Placed) {
        if (placed.revision, placed.restart) != (unit.revision, unit.restart) {
            self.step(unit, "update", placed.machine);
        }
    }

    fn place(&mut self, mut open: Vec<&'i PlanUnit>) {
        loop {
            let ready = |unit: &&PlanUnit| wants(unit).machine_of.iter().all(|t| self.has(t));
            // One round: everybody whose targets are placed when their turn comes.
            let mut rest = Vec::new();
            let any = open.iter().any(ready);
            for unit in std::mem::take(&mut open) {
                if wants(unit).machine_of.iter().all(|target| self.has(target)) {
                    self.place_one(unit);
                } else {
                    rest.push(unit);
                }
            }
            open = rest;
            if !any {
                break;
            }
        }
        for unit in open {
            self.because(unit, ReasonKind::MachineNamed);
        }
    }

    fn has(&self, unit: &UnitName) -> bool {
        let there = |on: &On| &on.unit == unit && on.stays && !self.is_lost(on.machine);
        self.on.iter().any(there) || self.deferred.contains(unit)
    }

    fn place_one(&mut self, unit: &'i PlanUnit) {
        let global = wants(unit).global;
        if self.input.hold.is_some() {
            if !(global && self.has(&unit.name)) {
                self.because(unit, ReasonKind::Unreadable);
            }
            return;
        }
        let stopping = by_state(unit, PlacedState::Stopping);
        if !global && stopping.iter().any(|placed| !self.may_leave(placed)) {
            return self.because(unit, ReasonKind::FenceWait);
        }
        let mut ids: Vec<(String, MachineId)> = self
            .input
            .machines
            .iter()
            .map(|facts| (facts.machine.name.clone(), facts.machine.id))
            .collect();
        ids.sort();
        if global {
            for (_, id) in &ids {
                let entry = unit.placed.iter().find(|placed| placed.machine == *id);
                let free = entry.is_none_or(|placed| placed.state == PlacedState::Stopped);
                if free && self.against(unit, *id, false).is_none() {
                    self.put(unit, *id, true);
                    self.step(unit, "place", *id);
                }
            }
            match (self.has(&unit.name), stopping.is_empty()) {
                (true, _) => {}
                (false, false) => self.because(unit, ReasonKind::FenceWait),
                (false, true) => self.no_machine(unit),
            }
            return;
        }
        let fit = ids.iter().filter(|(_, id)| self.against(unit, *id, false).is_none());
        let key = |(name, id): &&(String, MachineId)| {
            let [region, zone, on, load] = self.score(unit, *id);
            let lacks = usize::from(self.lacks_images(unit, *id));
            ([region, zone, on, lacks, load], name.clone(), *id)
        };
        match fit.min_by_key(key) {
            Some((_, id)) => {
                let id = *id;
                self.put(unit, id, true);
                self.step(unit, "place", id);
            }
            None => self.no_machine(unit),
        }
    }

    fn no_machine(&mut self, unit: &PlanUnit) {
        let refusals = self.input.machines.iter().map(|facts| facts.machine.id);
        let nearest = refusals.filter_map(|id| self.against(unit, id, false)).max_by_key(|r| r.0);
        let kind = nearest.map_or(ReasonKind::NoMachine, |(_, kind)| kind);
        let has_no_room = nearest.is_some_and(|(stage, _)| stage == 6);
        let named =
            wants(unit).machine_id.is_some() && kind == ReasonKind::NoMachine && !has_no_room;
        self.because(unit, if named { ReasonKind::MachineNamed } else { kind });
    }

    fn region(&self, id: MachineId) -> String {
        self.facts(id).unwrap().machine.metadata.get("region").cloned().unwrap_or_default()
    }

    fn zone(&self, id: MachineId) -> (String, String) {
        let zone = self.facts(id).unwrap().machine.metadata.get("zone").cloned();
        (self.region(id), zone.unwrap_or_default())
    }

    /// Tells whether a unit comes off a lost machine to one that does not have its images, or those of
    /// units that follow it.
    fn lacks_images(&self, unit: &PlanUnit, id: MachineId) -> bool {
        let standby = &self.facts(id).unwrap().standby;
        let mut group = vec![unit];
        loop {
            let names: Vec<&UnitName> = group.iter().map(|unit| &unit.name).collect();
            let follows = |other: &&PlanUnit| {
                let first = other.spec.as_ref().ok().and_then(|it| it.placement.machine_of.first());
                !names.contains(&&other.name) && first.is_some_and(|first| names.contains(&first))
            };
            let Some(next) = self.input.units.iter().find(follows) else { break };
            group.push(next);
        }
        let wanted = group.iter().filter(|other| other.wanted == Wanted::Run);
        let mut images = wanted.flat_map(|unit| &unit.spec).flat_map(|spec| &spec.images);
        images.any(|image| !standby.contains(image)) && !by_state(unit, PlacedState::Run).is_empty()
    }

    fn score(&self, unit: &PlanUnit, id: MachineId) -> [usize; 4] {
        let (region, zone) = (|id| self.region(id), |id| self.zone(id));
        let staying = || self.on.iter().filter(|on| on.stays && !self.is_lost(on.machine));
        let twin =
            |on: &&On| unit.name.template().is_some() && on.unit.template() == unit.name.template();
        [
            staying().filter(twin).filter(|on| region(on.machine) == region(id)).count(),
            staying().filter(twin).filter(|on| zone(on.machine) == zone(id)).count(),
            staying().filter(twin).filter(|on| on.machine == id).count(),
            staying().filter(|on| on.machine == id).count(),
        ]
    }

    /// What is against a machine: how near the unit came, and the kind of reason.
    fn against(&self, unit: &PlanUnit, id: MachineId, stay: bool) -> Option<(u8, ReasonKind)> {
        let facts = self.facts(id)?;
        let placement = wants(unit);
        if !stay && facts.machine.state != MachineState::Ready {
            return Some((0, ReasonKind::NoMachine));
        }
        if !placement.accepts_machine_id(id) {
            return Some((1, ReasonKind::MachineNamed));
        }
        if bound(unit).is_some_and(|home| home != id) {
            return Some((2, ReasonKind::DataBound));
        }
        for target in &placement.machine_of {
            let there = |m: MachineId| {
                let deferred = self.deferred.contains(target)
                    && self.input.units.iter().any(|u| {
                        &u.name == target
                            && by_state(u, PlacedState::Run).iter().any(|p| p.machine == m)
                    });
                deferred
                    || self.on.iter().any(|on| &on.unit == target && on.machine == m && on.stays)
            };
            let told = |m: MachineId| {
                let target = self.input.units.iter().find(|unit| &unit.name == target);
                target.is_some_and(|t| by_state(t, PlacedState::Run).iter().any(|p| p.machine == m))
            };
            let mut others = self
                .input
                .machines
                .iter()
                .filter(|m| m.machine.state != MachineState::Lost && told(m.machine.id));
            let wrong = match stay {
                true => others.next().is_some() && !told(id),
                false => !there(id),
            };
            if wrong {
                return Some((3, ReasonKind::MachineNamed));
            }
        }
        for wanted in &placement.metadata {
            let has = facts.machine.metadata.get(&wanted.key);
            if !has.is_some_and(|has| wanted.values.contains(has)) {
                return Some((4, ReasonKind::Metadata));
            }
        }
        let conflict =
            self.on.iter().filter(|on| on.machine == id && on.unit != unit.name).any(|on| {
                let other = self.input.units.iter().find(|other| other.name == on.unit).unwrap();
                (!stay || on.stays) && (hits(unit, &on.unit) || hits(other, &unit.name))
            });
        match conflict {
            true => Some((5, ReasonKind::Conflict)),
            false => (!stay && facts.machine.disk_full).then_some((6, ReasonKind::NoMachine)),
        }
    }
}
