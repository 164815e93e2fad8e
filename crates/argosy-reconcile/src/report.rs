//! What a machine tells the leader: the units it has and how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{
    ActiveState, Generation, ImageState, MachineDisk, MachineId, UnitName, UnitStatus,
};
use argosy_registry::Revision;

/// Most images of a report: those of as many units as a machine is likely to have. Of more it is not
/// known elsewhere how far they are, and nothing else follows.
pub const IMAGES_REPORTED_MAX: usize = 1_000;

/// A unit whose start waits for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preparing {
    /// The unit.
    pub unit: UnitName,
    /// The first of its images that is not there.
    pub image: String,
    /// What the machine does about it, and how far it is: words that follow the machine's name.
    pub text: String,
}

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
    /// Units that it starts, or runs with their new text, when their images are there.
    pub preparing: Vec<Preparing>,
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
    /// How far it is with the images that it is to have, as far as that is known; those on their way
    /// without words. At most [`IMAGES_REPORTED_MAX`].
    pub images: BTreeMap<String, ImageState>,
}

impl MachineReport {
    /// Tells whether it says more than an earlier one but for how far an image is.
    pub fn is_news_after(&self, before: &MachineReport) -> bool {
        let quiet = |preparing: &[Preparing]| -> Vec<(UnitName, String)> {
            preparing.iter().map(|it| (it.unit.clone(), it.image.clone())).collect()
        };
        let MachineReport {
            machine,
            generation,
            units,
            refused,
            awaiting,
            preparing,
            unannounced,
            orphans,
            unanswered,
            followed,
            listening,
            disk,
            images,
        } = self;
        machine != &before.machine
            || generation != &before.generation
            || refused != &before.refused
            || awaiting != &before.awaiting
            || quiet(preparing) != quiet(&before.preparing)
            || unannounced != &before.unannounced
            || orphans != &before.orphans
            || unanswered != &before.unanswered
            || followed != &before.followed
            || listening != &before.listening
            || disk != &before.disk
            || images != &before.images
            || units != &before.units
    }
}

/// Tells whether anything of a unit runs, or will by itself.
pub(crate) fn is_live(status: &UnitStatus) -> bool {
    !matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
}
