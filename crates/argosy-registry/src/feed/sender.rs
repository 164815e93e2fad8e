//! The member's end of a feed: remembers what was said, and says what has changed.

use std::sync::Arc;

use argosy_kv::Revision;

use super::frame::{FRAME_BYTES_MAX, FeedFrame};
use super::{AnnouncedKeys, FeedFacts, FeedRecords, record_changes};
use crate::view::RecordChange;

/// A frame is closed when its records take so much: half of the limit, so that one more of the
/// longest fits.
const FRAME_BYTES_FULL: usize = FRAME_BYTES_MAX / 2;

/// What one machine was told.
#[derive(Debug, Default)]
pub struct FeedSender {
    began: bool,
    revision: Revision,
    shared: Arc<FeedRecords>,
    own: FeedRecords,
    keys: Option<AnnouncedKeys>,
    facts: FeedFacts,
}

impl FeedSender {
    /// Begins with nothing said.
    pub fn new() -> FeedSender {
        FeedSender::default()
    }

    /// Returns the machine's own records as they were said last, for [`super::own_records`].
    pub fn own(&self) -> &FeedRecords {
        &self.own
    }

    /// Tells whether anything was said.
    pub fn has_begun(&self) -> bool {
        self.began
    }

    /// Returns what is to be said so that the machine knows of `revision`; nothing if it does
    /// already. `shared` is compared by address first: give the same for the same revision.
    pub fn say(
        &mut self,
        revision: Revision,
        shared: &Arc<FeedRecords>,
        own: FeedRecords,
        keys: AnnouncedKeys,
        facts: FeedFacts,
    ) -> Vec<FeedFrame> {
        let mut changes = match Arc::ptr_eq(&self.shared, shared) {
            true => Vec::new(),
            false => record_changes(&self.shared, shared, revision),
        };
        changes.extend(record_changes(&self.own, &own, revision));
        // What one part holds no longer the other may still.
        changes.retain(|change| {
            change.value.is_some()
                || !(shared.contains_key(&change.key) || own.contains_key(&change.key))
        });
        let keys_changed = self.keys.as_ref() != Some(&keys);
        let is_news = !self.began || !changes.is_empty() || keys_changed || self.facts != facts;
        if !is_news {
            return Vec::new();
        }
        let mut frames = split(changes);
        let begins = !std::mem::replace(&mut self.began, true);
        let last = frames.len() - 1;
        for (number, frame) in frames.iter_mut().enumerate() {
            frame.begins = begins && number == 0;
            frame.ends = number == last;
            frame.revision = revision;
            frame.facts = facts.clone();
        }
        if keys_changed {
            frames[last].keys = Some(keys.clone());
        }
        self.revision = revision;
        (self.shared, self.own) = (Arc::clone(shared), own);
        (self.keys, self.facts) = (Some(keys), facts);
        frames
    }

    /// Returns a frame that says nothing new: a sign of life.
    pub fn sign_of_life(&self) -> FeedFrame {
        FeedFrame {
            ends: true,
            revision: self.revision,
            facts: self.facts.clone(),
            ..FeedFrame::default()
        }
    }
}

/// Puts changes into frames; one at least.
fn split(changes: Vec<RecordChange>) -> Vec<FeedFrame> {
    let mut frames = vec![FeedFrame::default()];
    let mut bytes = 0;
    for change in changes {
        let size = change.key.len() + change.value.as_ref().map_or(0, |value| value.len());
        if bytes > 0 && bytes + size > FRAME_BYTES_FULL {
            frames.push(FeedFrame::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(frame) = frames.last_mut() {
            frame.changes.push(change);
        }
    }
    frames
}
