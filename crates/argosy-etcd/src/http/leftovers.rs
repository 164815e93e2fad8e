//! What a connection's long polls have not told yet of a revision with several changes.
//!
//! A long poll answers with one change. A client that then asks for what comes after that
//! revision has seen enough; one that asks the same again, on the same connection, is told of the
//! next change of the revision.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use argosy_kv::Revision;

/// Most polls of one connection that are remembered. Clients rarely share a connection among
/// several; the oldest is forgotten first.
const LEFTOVERS_MAX: usize = 32;

/// What is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The clean path.
    pub(crate) path: String,
    /// Whether everything below counts.
    pub(crate) recursive: bool,
}

/// Where a poll stands: within a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The revision.
    pub(crate) revision: Revision,
    /// How many of its changes that concern the poll were told.
    pub(crate) told: usize,
}

/// The unfinished polls of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leftovers(Arc<Mutex<VecDeque<(Subject, Place)>>>);

impl Leftovers {
    /// Returns, and forgets, where the last poll of the same subject stopped within a revision;
    /// `None` if it did not, or if the client asks for later revisions only.
    pub(crate) fn take(&self, subject: &Subject, wait_index: Revision) -> Option<Place> {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = polls.iter().position(|(other, _)| other == subject)?;
        let (_, place) = polls.remove(at)?;
        Some(place).filter(|place| wait_index <= place.revision)
    }

    /// Remembers a poll that stopped within a revision.
    pub(crate) fn put(&self, subject: Subject, place: Place) {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if polls.len() >= LEFTOVERS_MAX {
            polls.pop_front();
        }
        polls.push_back((subject, place));
    }
}

#[cfg(test)]
mod tests;
