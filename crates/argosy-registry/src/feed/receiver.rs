//! The machine's end of a feed: puts frames together, and counts only what is whole.

use argosy_kv::Revision;

use super::frame::FeedFrame;
use super::{FeedRecord, FeedState};

/// Most bytes of records and keys: a machine with 2,000 units of 64 KiB each would be told no
/// more, and hundreds of machines and thousands of endpoints are a few megabytes.
pub const FEED_BYTES_MAX: usize = 256 << 20;

/// A feed cannot be followed any further.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// It did not begin with everything.
    #[error("the feed does not begin at the beginning")]
    NotBegun,
    /// It says more than any machine is told.
    #[error("the feed is longer than {FEED_BYTES_MAX} bytes")]
    TooLong,
}

/// Reads one feed, from its beginning.
#[derive(Debug)]
pub struct FeedReceiver {
    state: FeedState,
    begun: bool,
    bytes: usize,
}

impl FeedReceiver {
    /// Begins with nothing heard.
    pub fn new() -> FeedReceiver {
        FeedReceiver { state: FeedState::default(), begun: false, bytes: 0 }
    }

    /// Takes a frame in. Returns the state once it is whole; `None` while more belongs to it, or
    /// if it is older than `known`, a revision that was heard of by another feed.
    ///
    /// # Errors
    /// When the feed must be begun anew.
    pub fn take(
        &mut self,
        frame: FeedFrame,
        known: Revision,
    ) -> Result<Option<&FeedState>, FeedError> {
        if frame.begins {
            *self = FeedReceiver { begun: true, ..FeedReceiver::new() };
        }
        if !self.begun {
            return Err(FeedError::NotBegun);
        }
        for change in frame.changes {
            let size = change.key.len() + change.value.as_ref().map_or(0, |value| value.len());
            let before = match change.value {
                Some(value) => {
                    let record = FeedRecord { value, mod_revision: change.mod_revision };
                    self.bytes += size;
                    self.state.records.insert(change.key.clone(), record)
                }
                None => self.state.records.remove(&change.key),
            };
            let freed = before.map_or(0, |before| change.key.len() + before.value.len());
            self.bytes = self.bytes.saturating_sub(freed);
            if self.bytes > FEED_BYTES_MAX {
                return Err(FeedError::TooLong);
            }
        }
        if let Some(keys) = frame.keys {
            self.state.keys = keys;
        }
        (self.state.revision, self.state.routes) = (frame.revision, frame.routes);
        if let Some(published) = frame.published {
            self.state.published = published;
        }
        self.state.facts = frame.facts;
        let is_whole = frame.ends && self.state.revision >= known;
        Ok(is_whole.then_some(&self.state))
    }
}

impl Default for FeedReceiver {
    fn default() -> Self {
        FeedReceiver::new()
    }
}
