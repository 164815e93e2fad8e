//! What a machine tells the leader: the units it has and how far it has come.

use std::collections::BTreeSet;

use argosy_model::{ActiveState, Generation, MachineDisk, MachineId, UnitName, UnitStatus};
use argosy_registry::Revision;

/// A machine's report. It replaces the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineReport {
    /// The machine.
    pub machine: MachineId,
    /// The newest generation of its assignment it has seen; 0 for none.
    pub generation: Generation,
    /// Every cluster unit its backend has; `None` while the backend cannot be asked, and then
    /// nothing may be concluded from what is missing.
    pub units: Option<Vec<UnitStatus>>,
    /// Units that it does not start, and why.
    pub refused: Vec<(UnitName, String)>,
    /// Units that it starts by itself as soon as something comes that is on its way, such as the
    /// machine's first grant, and what.
    pub awaiting: Vec<(UnitName, String)>,
    /// Units that run and whose announced key holds something else, and what.
    pub unannounced: Vec<(UnitName, String)>,
    /// Units that run there without an entry in its assignment. They are left alone.
    pub orphans: Vec<UnitName>,
    /// Units that run and do not accept connections at their endpoints, and where.
    pub unanswered: Vec<(UnitName, String)>,
    /// The registry revision whose endpoints all its proxies follow, or later ones; `None` if it
    /// has no proxy that follows services.
    pub followed: Option<Revision>,
    /// Ports that no unit of its assignment may be given: something else listens there.
    pub listening: BTreeSet<u16>,
    /// How full the disk of its images is; `None` if it cannot or, being older, does not say.
    pub disk: Option<MachineDisk>,
}

/// Tells whether anything of a unit runs, or will by itself.
pub(crate) fn is_live(status: &UnitStatus) -> bool {
    !matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
}
