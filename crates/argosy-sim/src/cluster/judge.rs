//! What must be so when everything is healed and has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use argosy_kv::SpaceId;
use argosy_model::{ActiveState, AssignmentEntry, UnitName, Want, Wanted};
use argosy_reconcile::RunIdentity;

use super::violation::{Broken, Rule, broken};
use super::{Cluster, machine_id, spread, texts};

impl Cluster<'_> {
    pub(super) fn judge(&self) -> Result<(), Broken> {
        self.judge_views()?;
        let view = self.truth.view();
        if let Some(stored) = view.machines().values().find(|stored| stored.value.lost) {
            return broken(Rule::Converges, format!("{} is still lost", stored.value.name));
        }
        self.judge_disks()?;
        let mut units: BTreeSet<UnitName> = view.unit_names().into_iter().collect();
        units.extend(self.runs.live().keys().map(|(unit, _)| unit.clone()));
        for stored in view.assignments().values() {
            units.extend(stored.value.entries.iter().map(|entry| entry.unit.clone()));
        }
        for unit in &units {
            self.judge_unit(unit)?;
        }
        self.judge_images(&units)?;
        self.judge_conflicts()?;
        self.judge_spread()?;
        self.judge_endpoints()
    }

    /// Whatever texts have changed since they were placed: units that conflict are parted.
    fn judge_conflicts(&self) -> Result<(), Broken> {
        let view = self.truth.view();
        for stored in view.assignments().values() {
            let names = || stored.value.entries.iter().map(|entry| &entry.unit);
            let specs: Vec<_> = names().filter_map(|name| view.look_up(name)?.spec.ok()).collect();
            for (place, one) in specs.iter().enumerate() {
                if let Some(other) = specs[..place].iter().find(|it| texts::conflict(one, it)) {
                    let what = format!("{} stays beside {}", one.name, other.name);
                    return broken(Rule::Conflicts, what);
                }
            }
        }
        Ok(())
    }

    /// Instances that are all well have no better place to go to.
    fn judge_spread(&self) -> Result<(), Broken> {
        let view = self.truth.view();
        for template in view.units().keys().filter(|name| name.is_template()) {
            let instances = spread::instances(view, template);
            let places: Vec<_> = instances.iter().map(|name| (name, self.entries(name))).collect();
            let all_well = places.iter().all(|(name, entries)| {
                let mut entries = entries.iter();
                entries.len() == 1
                    && entries.all(|(at, entry)| {
                        let runs = self.runs.on(name, *at).is_some_and(|live| live.is_active);
                        runs && self.is_well(*at, entry)
                    })
            });
            if !all_well {
                continue;
            }
            for (name, entries) in places {
                let Some(at) = entries.keys().next() else { continue };
                if let Some(better) = spread::better_place(view, name, machine_id(*at)) {
                    let what = format!("{name} is on m{at}, {} has less", better.short());
                    return broken(Rule::Spread, what);
                }
            }
        }
        Ok(())
    }

    fn judge_views(&self) -> Result<(), Broken> {
        for (at, machine) in self.machines.iter().enumerate() {
            let Some(daemon) = &machine.daemon else {
                return broken(Rule::Converges, format!("m{at} is down"));
            };
            if daemon.builder.view().revision() != self.truth.view().revision() {
                return broken(Rule::Converges, format!("the view of m{at} lags behind"));
            }
            if daemon.builder.view() != self.truth.view() {
                return broken(Rule::Views, format!("the view of m{at} is another"));
            }
            self.truth.check_view(daemon.replica.state())?;
        }
        Ok(())
    }

    fn judge_unit(&self, name: &UnitName) -> Result<(), Broken> {
        let view = self.truth.view();
        let entries = self.entries(name);
        if let Some((at, _)) = entries.iter().find(|(_, entry)| entry.want == Want::Stop) {
            return broken(Rule::Converges, format!("m{at} has not confirmed the stop of {name}"));
        }
        for (at, live) in self.runs.of(name) {
            let told = entries.get(&at).map(identity_of);
            // A text that its backend refuses leaves the run before it, and a reason.
            let refused = view.reasons().contains_key(name)
                && told
                    .is_some_and(|told| told.epoch == live.identity.epoch && told > live.identity);
            if told != Some(live.identity) && !refused {
                let what = format!("{name} runs on m{at} as {:?}, told is {told:?}", live.identity);
                return broken(Rule::Converges, what);
            }
        }
        let Some(unit) = view.look_up(name) else {
            return broken(Rule::Converges, format!("{name} runs and is not known"));
        };
        if unit.wanted != Wanted::Run {
            return match entries.is_empty() {
                true => Ok(()),
                false => broken(Rule::Converges, format!("{name} is not wanted and told to run")),
            };
        }
        let is_global = unit.spec.is_ok_and(|spec| spec.placement.global);
        if entries.len() > 1 && !is_global {
            return broken(Rule::Converges, format!("{name} is told to run more than once"));
        }
        let reason = view.reasons().get(name).map(|stored| &stored.value);
        if entries.is_empty() && reason.is_none() {
            return broken(Rule::Converges, format!("{name} has no machine and no reason"));
        }
        let mut all_run = !entries.is_empty();
        for (at, entry) in &entries {
            if (entry.revision, entry.restart) != (unit.revision, unit.restart) {
                let what = format!("m{at} was not told what {name} is to be");
                return broken(Rule::Converges, what);
            }
            let well = self.is_well(*at, entry);
            all_run &= well && self.runs.on(name, *at).is_some();
            if !well && reason.is_none() {
                let what = format!("{name} does not run on m{at} and has no reason");
                return broken(Rule::Converges, what);
            }
        }
        match reason {
            Some(reason) if all_run => {
                broken(Rule::Converges, format!("{name} runs, but: {}", reason.sentence))
            }
            _ => Ok(()),
        }
    }

    /// Tells whether a unit is as it was told to be: it runs, or has done its work.
    fn is_well(&self, at: usize, entry: &AssignmentEntry) -> bool {
        let status = self.machines[at].backend.status(&entry.unit);
        status.is_some_and(|status| {
            let ended = status.active() == ActiveState::Inactive && status.invocation.is_some();
            let ended_well = ended && status.result == argosy_model::UnitResult::Success;
            RunIdentity::of(status) == identity_of(entry)
                && (status.active() == ActiveState::Active || ended_well)
        })
    }

    fn entries(&self, name: &UnitName) -> BTreeMap<usize, AssignmentEntry> {
        let view = self.truth.view();
        let all = (0..self.machines.len()).filter_map(|at| {
            let stored = view.assignments().get(&machine_id(at))?;
            let entry = stored.value.entries.iter().find(|entry| &entry.unit == name)?;
            Some((at, entry.clone()))
        });
        all.collect()
    }

    /// What is published is exactly what is ready, and the keys say so.
    fn judge_endpoints(&self) -> Result<(), Broken> {
        let view = self.truth.view();
        let state = self.machines.iter().find_map(|machine| machine.daemon.as_ref());
        let Some(state) = state.map(|daemon| daemon.replica.state()) else { return Ok(()) };
        let mut published = BTreeMap::new();
        for stored in view.endpoints().values() {
            let endpoint = &stored.value;
            let at = (0..self.machines.len()).find(|at| machine_id(*at) == endpoint.machine);
            let live = at.and_then(|at| self.runs.on(&endpoint.unit, at));
            if !live.is_some_and(|l| l.is_active && l.identity.epoch == endpoint.epoch) {
                let what = format!("{} is published and not ready", endpoint.unit);
                return broken(Rule::Endpoints, what);
            }
            published.insert((endpoint.unit.clone(), at.unwrap_or_default()), endpoint);
        }
        for ((unit, at), live) in self.runs.live() {
            let spec = view.look_up(unit).and_then(|unit| unit.spec.ok());
            let announce = spec.and_then(|spec| spec.announce.as_ref());
            // What a text before the current one asked for is not looked at.
            let is_current =
                view.look_up(unit).map(|unit| unit.revision) == Some(live.identity.revision);
            if !live.is_active || announce.is_none() || !is_current {
                continue;
            }
            let Some(endpoint) = published.get(&(unit.clone(), *at)) else {
                return broken(Rule::Endpoints, format!("{unit} on m{at} is not published"));
            };
            let key = state.get(SpaceId::User, endpoint.key.as_bytes());
            let global = spec.is_some_and(|spec| spec.placement.global);
            if !global && key.is_none_or(|key| key.value != endpoint.value.as_bytes()) {
                return broken(Rule::Endpoints, format!("the key of {unit} says something else"));
            }
        }
        Ok(())
    }
}

fn identity_of(entry: &AssignmentEntry) -> RunIdentity {
    RunIdentity { epoch: entry.epoch, revision: entry.revision, restart: entry.restart }
}
