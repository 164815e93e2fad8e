//! In which order starts are asked for.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::UnitName;
use argosy_registry::ClusterView;

use super::Step;

/// Sorts starts so that each comes after those it depends on: a backend refuses a unit whose
/// requirements it does not have yet. Else their order stays; a circle is cut anywhere.
pub(super) fn in_order(view: &ClusterView, starts: Vec<Step>) -> Vec<Step> {
    let names: Vec<UnitName> = starts.iter().map(|step| step.action.unit().clone()).collect();
    let mut left: BTreeMap<UnitName, Step> = names.iter().cloned().zip(starts).collect();
    let (mut sorted, mut entered) = (Vec::new(), BTreeSet::new());
    for name in &names {
        // A unit is looked at twice: to put before it what it depends on, and then to take it.
        let mut open = vec![(name, false)];
        while let Some((name, ready)) = open.pop() {
            if ready {
                sorted.extend(left.remove(name));
                continue;
            }
            if !left.contains_key(name) || !entered.insert(name) {
                continue;
            }
            open.push((name, true));
            let Some(Ok(spec)) = view.spec(name) else {
                continue;
            };
            let needs = &spec.dependencies;
            let lists = [&needs.after, &needs.binds_to, &needs.requisite, &needs.requires];
            open.extend(lists.into_iter().flatten().map(|need| (need, false)));
            // What it wants and says to come after it: as a pod does with its containers.
            let wanted = needs.wants.iter().filter(|other| !needs.before.contains(other));
            open.extend(wanted.map(|need| (need, false)));
        }
    }
    sorted
}
