//! Why a unit that has a machine does not run there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use argosy_model::{
    ActiveState, AssignmentEntry, ExitOutcome, MachineId, Reason, ReasonKind, ServiceSpec,
    ServiceType, SubState, UnitName, UnitResult, UnitStatus, Want,
};
use argosy_registry::ClusterView;

use super::LeaderMachine;
use crate::routing::unacknowledged;

/// How long a unit may take to become ready before that is stored as a reason: most are ready
/// at once, and each stored reason costs two writes.
const NOT_READY_GRACE: Duration = Duration::from_secs(2);

/// What a machine has said of a unit.
pub(super) enum Said<'m> {
    /// Nothing since this leader began.
    Nothing,
    /// That it cannot ask its supervisor.
    NoBackend,
    /// That it does not start it.
    Refuses(&'m str),
    /// That it does not start it yet, and what it waits for.
    Awaits(&'m str),
    /// That it brings an image first.
    Prepares(&'m str),
    /// That it does not have it, or an earlier run of it.
    NotYet,
    /// How it is.
    Status(&'m UnitStatus),
}

impl LeaderMachine {
    /// Adds to the reasons of the plan those of units that are placed and do not run.
    pub(super) fn all_reasons(
        &mut self,
        view: &ClusterView,
        planned: BTreeMap<UnitName, Reason>,
        now: Duration,
    ) -> BTreeMap<UnitName, Reason> {
        let mut reasons = planned;
        let mut not_ready = BTreeSet::new();
        for (machine, stored) in view.assignments() {
            let Some(facts) = view.machines().get(machine).filter(|facts| !facts.value.lost) else {
                continue;
            };
            let runs = stored.value.entries.iter().filter(|entry| entry.want == Want::Run);
            for entry in runs {
                if reasons.contains_key(&entry.unit) {
                    continue;
                }
                let name = &facts.value.name;
                let Some(reason) = self.reason_of(view, *machine, name, entry) else {
                    continue;
                };
                if matches!(
                    reason.kind,
                    ReasonKind::NotReady | ReasonKind::Ended | ReasonKind::NotRouted
                ) {
                    not_ready.insert(entry.unit.clone());
                    let said = self.says(*machine, &entry.unit, entry.epoch);
                    let prepared = matches!(said, Said::Prepares(_));
                    let since = self.not_ready_since.entry(entry.unit.clone());
                    let since = since.or_insert((now, prepared));
                    if since.1 != prepared {
                        *since = (now, prepared);
                    }
                    let since = since.0;
                    if now < since + NOT_READY_GRACE {
                        continue;
                    }
                }
                reasons.insert(entry.unit.clone(), reason);
            }
        }
        self.not_ready_since.retain(|unit, _| not_ready.contains(unit));
        reasons
    }

    /// Returns when a unit that is not ready has had time enough.
    pub(super) fn reasons_due(&self) -> impl Iterator<Item = Duration> {
        self.not_ready_since.values().map(|(since, _)| *since + NOT_READY_GRACE)
    }

    fn reason_of(
        &self,
        view: &ClusterView,
        machine: MachineId,
        name: &str,
        entry: &AssignmentEntry,
    ) -> Option<Reason> {
        let (kind, sentence) = match self.says(machine, &entry.unit, entry.epoch) {
            Said::Nothing => (ReasonKind::NotReady, format!("{name} has not reported yet")),
            Said::NoBackend => {
                (ReasonKind::NotReady, format!("the supervisor of {name} cannot be reached"))
            }
            Said::Refuses(why) => {
                (ReasonKind::StartFailed, format!("{name} does not start it: {why}"))
            }
            Said::Awaits(what) => {
                (ReasonKind::NotReady, format!("{name} does not start it yet: {what}"))
            }
            // How far that is the machine says; what is stored stays as it is meanwhile.
            Said::Prepares(image) => {
                (ReasonKind::NotReady, format!("{name} starts it when it has image {image}"))
            }
            Said::NotYet => (ReasonKind::NotReady, format!("{name} has not started it yet")),
            Said::Status(status) => {
                let spec = view.spec(&entry.unit).and_then(Result::ok);
                let reason = reason_of_status(name, status, spec.map(|spec| &spec.service));
                reason
                    .or_else(|| self.unannounced(machine, &entry.unit))
                    .or_else(|| self.not_routed(view, machine, &entry.unit))?
            }
        };
        Some(Reason { kind, sentence, candidates: Vec::new() })
    }

    fn unannounced(&self, machine: MachineId, unit: &UnitName) -> Option<(ReasonKind, String)> {
        let said = &self.reports().get(&machine)?.unannounced;
        let (_, why) = said.iter().find(|(name, _)| name == unit)?;
        Some((ReasonKind::NotAnnounced, format!("its key {why}")))
    }

    /// Says why no traffic reaches a unit that runs: it does not answer, or there are proxies that
    /// do not follow its endpoint.
    fn not_routed(
        &self,
        view: &ClusterView,
        machine: MachineId,
        unit: &UnitName,
    ) -> Option<(ReasonKind, String)> {
        let said = &self.reports().get(&machine)?.unanswered;
        if let Some((_, why)) = said.iter().find(|(name, _)| name == unit) {
            return Some((ReasonKind::NotRouted, why.clone()));
        }
        let names = [(unit.clone(), None), (unit.clone(), Some(machine))];
        let mut stored = names.iter().filter_map(|name| view.endpoints().get(name));
        let endpoint = stored.find(|stored| !stored.value.services.is_empty())?;
        let behind = unacknowledged(view, self.reports(), endpoint.mod_revision);
        let known = behind.iter().filter(|machine| self.reports().contains_key(machine));
        let named: Vec<&str> = known
            .filter_map(|machine| Some(view.machines().get(machine)?.value.name.as_str()))
            .collect();
        let sentence = format!("the proxies of {} do not send to it yet", named.join(", "));
        (!named.is_empty()).then_some((ReasonKind::NotRouted, sentence))
    }
}

/// Tells whether a unit that does not run has done what it is for.
fn is_done(status: &UnitStatus, service: Option<&ServiceSpec>) -> bool {
    let ends = service.is_none_or(|service| {
        service.service_type == ServiceType::Oneshot && !service.remain_after_exit
    });
    let by_itself = !matches!(status.main_exit, Some(ExitOutcome::Signal { .. }));
    status.result == UnitResult::ExecCondition || ends && by_itself
}

fn reason_of_status(
    name: &str,
    status: &UnitStatus,
    service: Option<&ServiceSpec>,
) -> Option<(ReasonKind, String)> {
    let detail = match status.detail.as_str() {
        "" => format!("its result is {}", status.result),
        detail => detail.to_owned(),
    };
    let ended_badly = !matches!(status.result, UnitResult::Success | UnitResult::ExecCondition);
    match status.active() {
        ActiveState::Active | ActiveState::Reloading => None,
        ActiveState::Failed => {
            Some((ReasonKind::StartFailed, format!("it failed on {name}: {detail}")))
        }
        ActiveState::Inactive if ended_badly => {
            Some((ReasonKind::StartFailed, format!("it ended on {name}: {detail}")))
        }
        ActiveState::Inactive if status.invocation.is_some() => {
            let exit = status.main_exit.map_or_else(String::new, |exit| format!(" ({exit})"));
            let what = match status.detail.as_str() {
                "" => format!("it has ended on {name}{exit}, by itself or stopped there"),
                detail => format!("it has ended on {name}: {detail}"),
            };
            (!is_done(status, service)).then_some((ReasonKind::Ended, what))
        }
        ActiveState::Inactive if !status.detail.is_empty() => {
            Some((ReasonKind::NotReady, format!("{name} has not started it: {}", status.detail)))
        }
        ActiveState::Inactive => {
            Some((ReasonKind::NotReady, format!("{name} has not started it yet")))
        }
        ActiveState::Activating if status.sub == SubState::AutoRestart => {
            let what = format!("it ended on {name} and waits to be restarted: {detail}");
            Some((ReasonKind::NotReady, what))
        }
        ActiveState::Activating => {
            let is_silent = status.sub == SubState::Start
                && service.is_some_and(|service| service.service_type == ServiceType::Notify);
            let what = if is_silent { ", and has not said READY=1 yet" } else { "" };
            Some((ReasonKind::NotReady, format!("it is being started on {name}{what}")))
        }
        ActiveState::Deactivating => {
            Some((ReasonKind::NotReady, format!("it is being stopped on {name}")))
        }
    }
}
