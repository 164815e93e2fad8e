//! The half rule: a service never loses more than half of its endpoints because registrations
//! ran out.
//!
//! A registration that runs out says that nobody renewed it, not that the instance is gone: the
//! store may be away, or the machine cut off from it alone. So an expired endpoint stays in the
//! table, marked, until somebody withdraws it, and [`usable`] says how many of the marked ones
//! go on being used. The rule looks at one table only, so a table that a reader missed changes
//! nothing, and expiries that come one by one add up as if they came together.

use std::collections::BTreeSet;

use crate::{Endpoint, Standing, Table};

/// Why endpoints of the older table are missing in a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody took them out: they are gone.
    Withdrawn,
    /// Their registrations ran out.
    Expired,
}

/// Returns `new` with what `reason` says about endpoints that only `old` has: withdrawn ones
/// are gone, expired ones stay, marked. For sources that see a bare set of registrations.
pub fn after_loss(old: &Table, new: &Table, reason: Reason) -> Table {
    let mut table = new.clone();
    if reason == Reason::Withdrawn {
        return table;
    }
    for (name, before) in &old.services {
        let now = table.services.entry(name.clone()).or_default();
        let known: BTreeSet<String> = now.iter().map(|one| one.instance.clone()).collect();
        let lost = before.iter().filter(|one| !known.contains(&one.instance));
        now.extend(lost.map(|one| Endpoint { standing: Standing::Expired, ..one.clone() }));
        if now.is_empty() {
            table.services.remove(name);
        }
    }
    table
}

/// Returns which endpoints of a service are used: all held ones and, while those are less than
/// half of all, as many expired ones as make up half. The order of instance names decides which,
/// so that every proxy keeps the same.
pub fn usable(endpoints: &[Endpoint]) -> Vec<&Endpoint> {
    let (mut used, mut expired): (Vec<_>, Vec<_>) =
        endpoints.iter().partition(|one| one.standing == Standing::Held);
    expired.sort_by(|a, b| a.instance.cmp(&b.instance));
    let wanted = endpoints.len().div_ceil(2);
    used.extend(expired.into_iter().take(wanted.saturating_sub(used.len())));
    used
}

#[cfg(test)]
mod tests;
