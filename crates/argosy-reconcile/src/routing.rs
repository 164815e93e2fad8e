//! Who still sends traffic by an older table: asked before a unit is stopped, and for reasons.

use std::collections::BTreeMap;

use argosy_model::MachineId;
use argosy_registry::{ClusterView, Revision};

use crate::report::MachineReport;

/// Returns the machines whose proxies may not follow the routes of a registry revision yet, one at
/// which routes changed ([`ClusterView::routes_revision`]): proxies know of no other. A lost machine is not waited for, nor one without a proxy that follows services; one that has not
/// reported to this leader may have such a proxy.
pub fn unacknowledged(
    view: &ClusterView,
    reports: &BTreeMap<MachineId, MachineReport>,
    revision: Revision,
) -> Vec<MachineId> {
    let there = view.machines().iter().filter(|(_, stored)| !stored.value.lost);
    let behind = there.filter(|(machine, _)| match reports.get(machine) {
        Some(report) => report.followed.is_some_and(|followed| followed < revision),
        None => true,
    });
    behind.map(|(machine, _)| *machine).collect()
}
