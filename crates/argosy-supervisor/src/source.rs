//! The text a unit was loaded from, with the right to run it.

use std::sync::Arc;

use argosy_model::{Epoch, OnPartition, RestartCount, UnitRevision, UnitSpec};

/// Where a unit comes from. It is kept in the unit's blob, so that a new supervisor knows the
/// text of a running unit even when its file is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSource {
    /// The unit file's text, merged with its drop-ins.
    pub text: Arc<str>,
    /// A path, or `cluster`.
    pub origin: String,
    /// Variables given from outside, before the unit's own `Environment=`.
    pub environment: Vec<(String, String)>,
    /// Which revision it is; zero for the machine's own units.
    pub revision: UnitRevision,
    /// The right to run it; zero for the machine's own units.
    pub epoch: Epoch,
    /// How often a restart was asked for when this was given.
    pub restart: RestartCount,
}

/// A unit's text together with what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it means.
    pub spec: UnitSpec,
    /// Where it comes from.
    pub source: UnitSource,
}

impl Loaded {
    /// Tells whether it may run only under the cluster's grant. The machine's own units need none.
    pub fn is_fenced(&self) -> bool {
        self.source.revision.0 > 0 && self.spec.placement.on_partition == OnPartition::Stop
    }
}
