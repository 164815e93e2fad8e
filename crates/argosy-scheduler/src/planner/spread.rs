//! Uneven spread: an instance leaves a place for one that has at least two less of its template.
//!
//! Places are compared as placement compares them: regions, then the zones of one region, then
//! the machines of one zone. A move takes one from the fuller place and ends in one that is no
//! fuller than the target was, so (sum of squares over regions, over zones, over machines) falls
//! with every move: repair ends, and nothing ever moves back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{DataPolicy, ReasonKind, UnitName, UnitSpec, Wanted};

use super::fit::{Purpose, Refusal};
use super::sentence;
use super::work::{MachineIndex, UnitIndex, Work};
use super::{UNITS_PER_MACHINE_MAX, of_state};
use crate::glob;
use crate::input::{Placed, PlacedState, PlanUnit};
use crate::plan::PlanAction;

/// Most units between two machines with which one more may leave for the sake of spread. Below
/// the ten that may move in all: units that must leave never wait for units that need not. And
/// a machine that comes and goes disturbs no more units than these, of one template only one.
pub const REPAIRS_AT_ONCE_MAX: usize = 5;

/// A region, a zone and a machine, as indexes; counts go by them in this order.
type Place = [usize; 3];

/// How many instances of one template are where.
#[derive(Default)]
pub(super) struct Spread([BTreeMap<usize, usize>; 3]);

impl Spread {
    pub(super) fn add(&mut self, place: Place) {
        for (counts, index) in self.0.iter_mut().zip(place) {
            *counts.entry(index).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, place: Place) {
        for (counts, index) in self.0.iter_mut().zip(place) {
            counts.entry(index).and_modify(|count| *count -= 1);
        }
    }

    pub(super) fn counts(&self, place: Place) -> [usize; 3] {
        let counts = self.0.iter().zip(place);
        let mut counts = counts.map(|(counts, index)| counts.get(&index).copied().unwrap_or(0));
        std::array::from_fn(|_| counts.next().unwrap_or(0))
    }

    /// Tells, from the zones that take units alone, whether two places may differ by `gap`. It
    /// spares a look at every machine for the many templates that are even.
    fn may_differ_by(&self, gap: usize, zones: &BTreeSet<[usize; 2]>) -> bool {
        // The counts to compare: all regions, and the zones of each.
        let (mut regions, mut by_region) = (Vec::new(), BTreeMap::<usize, Vec<usize>>::new());
        for [region, zone] in zones {
            let [in_region, in_zone, _] = self.counts([*region, *zone, 0]);
            regions.push(in_region);
            by_region.entry(*region).or_default().push(in_zone);
        }
        let differ = |counts: &Vec<usize>| {
            let extremes = counts.iter().max().zip(counts.iter().min());
            extremes.is_some_and(|(most, least)| most - least >= gap)
        };
        differ(&regions)
            || by_region.values().any(differ)
            || self.0[2].values().any(|count| *count >= gap)
    }
}

/// A move that makes the spread more even.
struct Repair {
    unit: UnitIndex,
    from: MachineIndex,
    to: MachineIndex,
    /// The first level at which the two places differ.
    level: usize,
}

/// What decides between two repairs, the least first: the level, the difference, how full the
/// places are that it leaves, what speaks against its target, the order of names.
type Preference = (usize, Reverse<usize>, Reverse<[usize; 3]>, [usize; 5], UnitIndex);

/// What other units' texts say of units by name.
struct Ties<'i> {
    /// Units that others follow (`MachineOf=`).
    followed: BTreeSet<&'i UnitName>,
    /// Every pattern of a `Conflicts=`.
    conflicts: Vec<&'i str>,
}

impl<'i> Work<'i> {
    /// Lets instances leave for better places, at most one of a template and only while nothing
    /// more urgent is under way.
    pub(super) fn repair_spread(&mut self) {
        if !self.may_repair() || self.planted.uneven_left() {
            return;
        }
        let mut instances: Vec<Vec<UnitIndex>> = vec![Vec::new(); self.spreads.len()];
        for (unit, template) in self.templates.iter().enumerate() {
            if let Some(template) = template {
                instances[*template].push(unit);
            }
        }
        let most = REPAIRS_AT_ONCE_MAX.min(self.input.moves_max);
        let mut moving = self.moving();
        let ties = self.ties();
        let zones = self.zones_that_take_units();
        for (template, instances) in instances.iter().enumerate() {
            if moving >= most {
                return;
            }
            if !self.spreads[template].may_differ_by(self.least_gap(), &zones) {
                continue;
            }
            let Some(repair) = self.repair_of(template, instances, &ties) else {
                continue;
            };
            // What may be refused a place by another's presence moves alone, so that no two
            // units on their way want the same place.
            let alone = ties.conflicts_matter(self.units[repair.unit]);
            if alone && moving > 0 {
                continue;
            }
            moving += 1;
            self.carry_out(template, &repair);
        }
    }

    /// Whatever is given to a machine, or waits for a lost one, comes first.
    fn may_repair(&self) -> bool {
        let quiet = |action: &PlanAction| {
            matches!(action, PlanAction::Clear { .. } | PlanAction::Update { .. })
        };
        let waits = |unit: &&'i PlanUnit| {
            let reason = self.plan.reasons.get(&unit.name);
            reason.is_some_and(|reason| reason.kind == ReasonKind::FenceWait)
                && unit.placed.iter().any(|placed| {
                    placed.state != PlacedState::Stopped && self.is_lost(placed.machine)
                })
        };
        self.input.hold.is_none()
            && self.input.hold_moves.is_none()
            && self.plan.steps.iter().all(|step| quiet(&step.action))
            && !self.units.iter().any(waits)
    }

    fn ties(&self) -> Ties<'i> {
        let placements =
            self.units.iter().filter_map(|unit| Some(&unit.spec.as_ref().ok()?.placement));
        let (mut followed, mut conflicts) = (BTreeSet::new(), Vec::new());
        for placement in placements {
            followed.extend(&placement.machine_of);
            conflicts.extend(placement.conflicts.iter().map(String::as_str));
        }
        Ties { followed, conflicts }
    }

    /// Returns the best repair of a template's spread, if there is one and all its instances
    /// are well.
    fn repair_of(
        &self,
        template: usize,
        instances: &[UnitIndex],
        ties: &Ties<'i>,
    ) -> Option<Repair> {
        let places = self.places_at_rest(instances)?;
        let mut best: Option<(Preference, Repair)> = None;
        for (unit, spec, from) in places {
            if !self.may_move(unit, spec, from, ties) {
                continue;
            }
            for to in 0..self.machines.len() {
                let Some((level, gap)) = self.gap(template, from, to) else {
                    continue;
                };
                if !self.may_come(unit, spec, to) {
                    continue;
                }
                let leaves = self.spreads[template].counts(self.place_of(from));
                let score = self.score(unit, to);
                let preference = (level, Reverse(gap), Reverse(leaves), score, unit);
                if best.as_ref().is_none_or(|(least, _)| preference < *least) {
                    best = Some((preference, Repair { unit, from, to, level }));
                }
            }
        }
        best.map(|(_, repair)| repair)
    }

    /// Returns where each wanted instance runs; nothing while one of them waits for a machine,
    /// is between two, is not ready there or runs on several.
    fn places_at_rest(
        &self,
        instances: &[UnitIndex],
    ) -> Option<Vec<(UnitIndex, &'i UnitSpec, MachineIndex)>> {
        let mut places = Vec::new();
        for unit in instances {
            let facts = self.units[*unit];
            let mut stopping = of_state(facts, PlacedState::Stopping);
            if stopping.any(|placed| !self.is_lost(placed.machine)) {
                return None;
            }
            let runs: Vec<&Placed> = of_state(facts, PlacedState::Run).collect();
            match (&facts.wanted, &facts.spec, runs.as_slice()) {
                (Wanted::Stop(_), _, []) => {}
                (Wanted::Run, Ok(spec), [placed]) if !spec.placement.global => {
                    let machine = *self.machine_of.get(&placed.machine)?;
                    if !self.is_well(facts, placed, machine) {
                        return None;
                    }
                    places.push((*unit, spec.as_ref(), machine));
                }
                _ => return None,
            }
        }
        Some(places)
    }

    fn is_well(&self, facts: &PlanUnit, placed: &Placed, machine: MachineIndex) -> bool {
        let as_wanted = (placed.revision, placed.restart) == (facts.revision, facts.restart);
        let stays = self.stays.get(&facts.name).is_some_and(|on| on.contains(&machine));
        placed.ready && as_wanted && stays && !self.plan.reasons.contains_key(&facts.name)
    }

    /// Tells whether a unit may leave its machine for the sake of spread. Its machine could
    /// take it back, should every other be gone once it has stopped.
    fn may_move(
        &self,
        unit: UnitIndex,
        spec: &'i UnitSpec,
        from: MachineIndex,
        ties: &Ties<'i>,
    ) -> bool {
        let placement = &spec.placement;
        let has_data = placement.keeps_data && placement.data == DataPolicy::Local;
        let back = self.refusal(unit, spec, from, Purpose::Come);
        placement.machine_id.is_none()
            && !has_data
            && !ties.followed.contains(&self.units[unit].name)
            && matches!(back, None | Some(Refusal::Full))
    }

    /// Tells whether a machine takes a unit and has room for all that may be on their way.
    fn may_come(&self, unit: UnitIndex, spec: &'i UnitSpec, to: MachineIndex) -> bool {
        let slot = &self.machines[to];
        slot.occupants.len() + REPAIRS_AT_ONCE_MAX <= UNITS_PER_MACHINE_MAX
            && self.refusal(unit, spec, to, Purpose::Come).is_none()
    }

    /// Returns the first level at which two machines' places differ, and by how many instances
    /// the first has more there, if by more than one.
    fn gap(&self, template: usize, from: MachineIndex, to: MachineIndex) -> Option<(usize, usize)> {
        let (here, there) = (self.place_of(from), self.place_of(to));
        let level = (0..3).find(|level| here[*level] != there[*level])?;
        let spread = &self.spreads[template];
        let gap = spread.counts(here)[level].checked_sub(spread.counts(there)[level])?;
        (gap >= self.least_gap()).then_some((level, gap))
    }

    /// Returns the least difference worth a move: with one less the places would only change
    /// roles.
    fn least_gap(&self) -> usize {
        if self.planted.eager_repair() { 1 } else { 2 }
    }

    fn zones_that_take_units(&self) -> BTreeSet<[usize; 2]> {
        let ready = self.machines.iter().filter(|slot| slot.takes_units());
        ready.map(|slot| [slot.region, slot.zone]).collect()
    }

    fn place_of(&self, machine: MachineIndex) -> Place {
        let slot = &self.machines[machine];
        [slot.region, slot.zone, machine]
    }

    fn carry_out(&mut self, template: usize, repair: &Repair) {
        let Repair { unit, from, to, level } = *repair;
        let facts = self.units[unit];
        let count = |machine| self.spreads[template].counts(self.place_of(machine))[level];
        let why = format!(
            "{} {} of its template's instances, {} {}",
            self.title(to, level),
            count(to),
            self.title(from, level),
            count(from),
        );
        let machine = &self.machines[from].facts.machine;
        let reason = format!("it is leaving {}: {why}", machine.name);
        let action = PlanAction::Stop { machine: machine.id };
        self.vacate(unit, from);
        self.step(facts, action, why);
        self.reason(facts, sentence(ReasonKind::FenceWait, reason));
    }

    /// Names a machine's region, its zone or itself, with the verb that follows.
    fn title(&self, machine: MachineIndex, level: usize) -> String {
        let machine = &self.machines[machine].facts.machine;
        let label = |key: &str| match machine.metadata.get(key).map_or("", String::as_str) {
            "" => format!("machines without a {key} have"),
            label => format!("{key} {label} has"),
        };
        match level {
            0 => label("region"),
            1 => label("zone"),
            _ => format!("{} has", machine.name),
        }
    }
}

impl Ties<'_> {
    /// Tells whether a unit may be refused a machine for what is on it.
    fn conflicts_matter(&self, unit: &PlanUnit) -> bool {
        let name = unit.name.as_str();
        unit.spec.as_ref().is_ok_and(|spec| !spec.placement.conflicts.is_empty())
            || self.conflicts.iter().any(|pattern| glob::matches(pattern, name))
    }
}
