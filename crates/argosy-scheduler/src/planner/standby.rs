//! Standing by: machines that have a unit's images, so that it starts there at once when its own
//! machine is gone.
//!
//! For each unit the next best machines are chosen, as if its own were gone. Which those are for
//! which unit is not stored, only which images a machine is to have: whoever has all of a unit's
//! images stands by for it. Machines that do so already come first, so each round of choosing keeps
//! what is needed, drops what nobody needs, and adds only for units that have too few. Neither
//! dropping nor adding takes a machine from a unit that has chosen it, so the rounds come to an end,
//! and a plan made after its own was carried out changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{UnitImage, UnitSpec, Wanted};

use super::fit::Purpose;
use super::work::{MachineIndex, UnitIndex, Work};

/// Most images that a machine is to have for others' sake: with the longest names they are 100 KiB of
/// its assignment, which has to stay one record.
pub const STANDBY_IMAGES_MAX: usize = 200;

/// So many units with the same images on one machine may count on the same machines; with each
/// further so many there is one machine more, lest they all go to one.
const UNITS_TOGETHER_MAX: usize = 4;

/// Most units that follow each other by `MachineOf=` and are looked at: a pod is one.
const LEADS_MAX: usize = 8;

/// Units that go together, whose images are kept elsewhere too.
struct Kept<'i> {
    /// The unit that decides where they go.
    lead: UnitIndex,
    /// All of them.
    units: Vec<(UnitIndex, &'i UnitSpec)>,
    images: BTreeSet<ImageIndex>,
    /// Where the lead is, if it is anywhere.
    own: Option<MachineIndex>,
    /// On how many machines.
    wanted: usize,
}

/// An image, as its place in the order of all that are named anywhere.
type ImageIndex = usize;

/// The images that each machine is to have.
type Held = Vec<BTreeSet<ImageIndex>>;

/// How many units of one machine count on another.
type Expected = BTreeMap<(Option<MachineIndex>, MachineIndex), usize>;

impl<'i> Work<'i> {
    /// Plans what machines are to have in case. What runs comes first: nothing is planned beside
    /// other steps, nor while much is amiss.
    pub(super) fn stand_by(&mut self) {
        let is_held = self.input.hold.is_some() || self.input.hold_moves.is_some();
        if is_held || !self.plan.steps.is_empty() || self.planted.standby_skipped() {
            return;
        }
        let units = self.units.iter().filter_map(|unit| unit.spec.as_ref().ok());
        let told = self.machines.iter().flat_map(|slot| &slot.facts.standby);
        let images: BTreeSet<&UnitImage> =
            units.flat_map(|spec| &spec.images).chain(told).collect();
        let images: Vec<&UnitImage> = images.into_iter().collect();
        let index = |image: &UnitImage| images.binary_search(&image).ok();
        let kept = self.kept(index);
        let before: Held = self
            .machines
            .iter()
            .map(|slot| slot.facts.standby.iter().filter_map(index).collect())
            .collect();
        let mut held = before.clone();
        loop {
            let next = self.choose(&kept, &held);
            if next == held {
                break;
            }
            held = next;
        }
        for (machine, (before, after)) in before.iter().zip(held).enumerate() {
            if *before != after {
                let after = after.into_iter().map(|image| images[image].clone()).collect();
                self.plan.standby.insert(self.machines[machine].facts.machine.id, after);
            }
        }
    }

    fn kept(&self, index: impl Fn(&UnitImage) -> Option<ImageIndex>) -> Vec<Kept<'i>> {
        let mut groups: BTreeMap<UnitIndex, Kept<'i>> = BTreeMap::new();
        for (unit, facts) in self.units.iter().enumerate() {
            let (Wanted::Run, Ok(spec)) = (&facts.wanted, &facts.spec) else { continue };
            let count = spec.placement.standbys();
            if spec.images.is_empty() || count == 0 {
                continue;
            }
            let Some((lead, lead_spec)) = self.lead(unit, spec) else { continue };
            let on = self.stays.get(&self.units[lead].name);
            let own = on.and_then(|on| on.first().copied());
            let group = groups.entry(lead).or_insert_with(|| {
                let units = vec![(lead, lead_spec)];
                Kept { lead, units, images: BTreeSet::new(), own, wanted: 0 }
            });
            if unit != lead {
                group.units.push((unit, spec));
            }
            group.images.extend(spec.images.iter().filter_map(&index));
            group.wanted = group.wanted.max(count);
        }
        let mut together = BTreeMap::new();
        for kept in groups.values_mut() {
            let count: &mut usize = together.entry((kept.own, kept.images.clone())).or_default();
            kept.wanted += *count / UNITS_TOGETHER_MAX;
            *count += 1;
        }
        groups.into_values().collect()
    }

    /// Returns the unit that decides where another goes. `None` if that one does not move by itself.
    fn lead(&self, unit: UnitIndex, spec: &'i UnitSpec) -> Option<(UnitIndex, &'i UnitSpec)> {
        let (mut lead, mut lead_spec) = (unit, spec);
        for _ in 0..LEADS_MAX {
            let Some(target) = lead_spec.placement.machine_of.first() else {
                return lead_spec.placement.moves().then_some((lead, lead_spec));
            };
            lead = self.units.binary_search_by(|unit| unit.name.cmp(target)).ok()?;
            lead_spec = self.units[lead].spec.as_deref().ok()?;
        }
        None
    }

    /// Returns the images of a unit and of those that follow it.
    pub(super) fn group_images(&self, unit: UnitIndex) -> BTreeSet<&'i UnitImage> {
        let (mut group, mut next) = (vec![unit], 0);
        let mut images = BTreeSet::new();
        while let Some(unit) = group.get(next).copied() {
            next += 1;
            let facts = self.units[unit];
            if let (Wanted::Run, Ok(spec)) = (&facts.wanted, &facts.spec)
                && spec.placement.standbys() > 0
            {
                images.extend(&spec.images);
            }
            let followers = self.followers.get(&facts.name).into_iter().flatten();
            let new: Vec<UnitIndex> =
                followers.copied().filter(|other| !group.contains(other)).collect();
            group.extend(new);
        }
        images
    }

    /// Chooses for each group of units, given what machines are to have and what was chosen before.
    fn choose(&self, kept: &[Kept<'i>], held: &Held) -> Held {
        let mut holders: BTreeMap<ImageIndex, Vec<MachineIndex>> = BTreeMap::new();
        for (machine, images) in held.iter().enumerate() {
            images.iter().for_each(|image| holders.entry(*image).or_default().push(machine));
        }
        let mut next: Held = vec![BTreeSet::new(); held.len()];
        let mut expected = Expected::new();
        for group in kept {
            let first = group.images.first().and_then(|image| holders.get(image));
            let has_all = |machine: &MachineIndex| {
                let (held, next) = (&held[*machine], &next[*machine]);
                group.images.iter().all(|image| held.contains(image) || next.contains(image))
            };
            let known = first.into_iter().flatten().copied().filter(has_all);
            let mut chosen = self.best(group, known, group.wanted, &expected, &next);
            if chosen.len() < group.wanted {
                let others = (0..held.len()).filter(|machine| {
                    !has_all(machine) && has_room(&held[*machine], &next[*machine], &group.images)
                });
                let missing = group.wanted - chosen.len();
                chosen.extend(self.best(group, others, missing, &expected, &next));
            }
            for machine in chosen {
                *expected.entry((group.own, machine)).or_default() += 1;
                for image in &group.images {
                    if next[machine].insert(*image) && !held[machine].contains(image) {
                        holders.entry(*image).or_default().push(machine);
                    }
                }
            }
        }
        next
    }

    /// Returns the best of some machines for units whose own is gone: where they would be placed, and
    /// of such machines those that prepare for the fewest others.
    fn best(
        &self,
        kept: &Kept<'i>,
        machines: impl Iterator<Item = MachineIndex>,
        count: usize,
        expected: &Expected,
        chosen: &Held,
    ) -> Vec<MachineIndex> {
        let on = kept.units.iter().filter_map(|(unit, _)| self.stays.get(&self.units[*unit].name));
        let on: BTreeSet<MachineIndex> = on.flatten().copied().collect();
        let fits = |machine: &MachineIndex| {
            let refusal = |(unit, spec): &(UnitIndex, &'i UnitSpec)| {
                self.refusal(*unit, spec, *machine, Purpose::StandBy)
            };
            !on.contains(machine) && kept.units.iter().all(|unit| refusal(unit).is_none())
        };
        let mut machines: Vec<MachineIndex> = machines.filter(fits).collect();
        machines.sort_by_cached_key(|machine| {
            let [mut region, mut zone, on, load, place] = self.score(kept.lead, *machine);
            if let Some(own) = kept.own.filter(|_| self.templates[kept.lead].is_some()) {
                let (own, other) = (&self.machines[own], &self.machines[*machine]);
                // A unit that is to leave its machine is not counted there any more.
                region = region.saturating_sub(usize::from(own.region == other.region));
                zone = zone.saturating_sub(usize::from(own.zone == other.zone));
            }
            let expected = expected.get(&(kept.own, *machine)).copied().unwrap_or(0);
            [region, zone, on, load + expected, chosen[*machine].len(), place]
        });
        machines.truncate(count);
        machines
    }
}

/// Tells whether a machine that has some images, and is to have others by now, has room for more.
fn has_room(
    held: &BTreeSet<ImageIndex>,
    next: &BTreeSet<ImageIndex>,
    more: &BTreeSet<ImageIndex>,
) -> bool {
    // Most have none to spare a thought for.
    held.len() + next.len() + more.len() <= STANDBY_IMAGES_MAX
        || held.union(next).chain(more).collect::<BTreeSet<_>>().len() <= STANDBY_IMAGES_MAX
}
