//! What a cluster promises. None of it knows how the cluster works or could break.

use std::fmt;

use crate::checkers::Violation;

/// A promise of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A unit stops only by an instruction that names it.
    StopNeedsWord,
    /// A unit is started only as it was told.
    StartNeedsWord,
    /// A unit is not started while its image is on its way for the first time.
    Prepared,
    /// After healing those machines that could take a unit have its images.
    Standby,
    /// One run identity is run once; one epoch on one machine.
    RunsOnce,
    /// An older run never replaces a newer one.
    NeverOlder,
    /// Two epochs run at once only while a fault has parted their machines.
    Overlap,
    /// A unit that stops on partition never runs on two machines at once.
    Exclusive,
    /// Entries only change in ways that leave no run unaccounted for.
    Entries,
    /// A unit is given out only when no other machine may run it.
    PlacedAlone,
    /// Units that conflict are not put on one machine.
    Conflicts,
    /// Only so many units move at once; none while most machines are lost.
    Budget,
    /// A unit moves only if it no longer fits, or its template's instances are spread unevenly.
    StaysWhereItFits,
    /// Machines are lost when silent, and back when heard from.
    Liveness,
    /// What is published is ready, and is taken back before it stops.
    Endpoints,
    /// Records of users change only as they asked, and what was confirmed stays.
    Operators,
    /// A plan is right, and fits into a transaction.
    Plans,
    /// Every view is what the store holds.
    Views,
    /// After healing everything comes to where it was told.
    Converges,
    /// After healing the instances of a template are spread evenly.
    Spread,
    /// The store itself works.
    Store,
    /// What clients of the store are told is so, and what was acknowledged stays.
    Clients,
    /// Watchers are told everything, once and in order.
    Watches,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// How, in one line.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        let rule = match violation {
            Violation::NotLinearizable { .. }
            | Violation::Stale { .. }
            | Violation::Untrue { .. }
            | Violation::WentBack { .. }
            | Violation::AcknowledgedLost { .. } => Rule::Clients,
            Violation::Watch { .. } => Rule::Watches,
            Violation::LogDiverged { .. }
            | Violation::LogSkipped { .. }
            | Violation::StateDiffers { .. }
            | Violation::BrokenState { .. }
            | Violation::TwoLeaders { .. }
            | Violation::GaveUp { .. }
            | Violation::DidNotStart { .. }
            | Violation::Stuck { .. } => Rule::Store,
        };
        Broken { rule, what: violation.to_string() }
    }
}

/// Fails with a rule.
pub(super) fn broken<T>(rule: Rule, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { rule, what: what.into() })
}
