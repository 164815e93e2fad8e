//! What applying a command gives back.

use std::sync::Arc;

use crate::{Event, KvError, Response, Revision, SpaceId};

/// All changes of one revision of one space, in order. Never split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceEvents {
    /// The space.
    pub space: SpaceId,
    /// The revision.
    pub revision: Revision,
    /// Its events, those of v2 directories among them; never empty.
    pub events: Arc<[Event]>,
}

/// The outcome of one command.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The answer for whoever proposed it.
    pub response: Result<Response, KvError>,
    /// What changed, in order of revision within each space. Empty when nothing did.
    pub events: Vec<SpaceEvents>,
}
