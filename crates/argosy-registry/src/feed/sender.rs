//! The member's end of a feed: remembers what was said, and says what has changed.

use std::sync::Arc;

use argosy_kv::Revision;

use super::frame::{FRAME_BYTES_MAX, FeedFrame};
use super::{
    AnnouncedKeys, FeedFacts, FeedRecords, FeedState, KEY_BYTES_MAX, Published, record_changes,
};
use crate::view::{ClusterView, RecordChange};

/// A frame is closed when its records take so much: half of the limit, so that one more of the
/// longest fits.
const FRAME_BYTES_FULL: usize = FRAME_BYTES_MAX / 2;

/// What one machine was told.
#[derive(Debug, Default)]
pub struct FeedSender {
    began: bool,
    revision: Revision,
    routes: Revision,
    shared: Arc<FeedRecords>,
    own: FeedRecords,
    published: Option<Published>,
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

    /// Returns what is to be said so that the machine knows what `view` shows; nothing if it does
    /// already. `shared` and `own` are that view's records; `shared` is compared by address first:
    /// give the same for the same revision.
    pub fn say(
        &mut self,
        view: &ClusterView,
        shared: &Arc<FeedRecords>,
        own: FeedRecords,
        mut keys: AnnouncedKeys,
        facts: FeedFacts,
    ) -> Vec<FeedFrame> {
        keys.values_mut().flatten().for_each(|value| value.truncate(KEY_BYTES_MAX));
        let (revision, routes) = (view.revision(), view.routes_revision());
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
        let same = self.began && self.routes == routes && self.facts == facts;
        let published_changed = self.published.as_ref() != Some(view.published());
        let is_news = !same || !changes.is_empty() || keys_changed || published_changed;
        self.revision = revision;
        if !is_news {
            return Vec::new();
        }
        let published = view.published();
        let frame = FeedFrame {
            begins: !std::mem::replace(&mut self.began, true),
            ends: true,
            revision,
            routes,
            changes,
            published: published_changed.then(|| published.clone()),
            keys: keys_changed.then(|| keys.clone()),
            facts: facts.clone(),
        };
        self.routes = routes;
        self.published = Some(published.clone());
        (self.shared, self.own) = (Arc::clone(shared), own);
        (self.keys, self.facts) = (Some(keys), facts);
        split(frame)
    }

    /// Returns a frame that says nothing new: a sign of life, and that nothing has changed up to
    /// the revision that was looked at last.
    pub fn sign_of_life(&self) -> FeedFrame {
        FeedFrame {
            ends: true,
            revision: self.revision,
            routes: self.routes,
            facts: self.facts.clone(),
            ..FeedFrame::default()
        }
    }
}

/// Returns frames that say all of a state, as a feed begins.
pub fn frames_of(state: &FeedState) -> Vec<FeedFrame> {
    split(FeedFrame {
        begins: true,
        ends: true,
        revision: state.revision,
        routes: state.routes,
        changes: record_changes(&FeedRecords::new(), &state.records, state.revision),
        published: Some(state.published.clone()),
        keys: Some(state.keys.clone()),
        facts: state.facts.clone(),
    })
}

/// Takes a frame apart that is too long for one.
fn split(mut frame: FeedFrame) -> Vec<FeedFrame> {
    let mut parts: Vec<Vec<RecordChange>> = vec![Vec::new()];
    let mut bytes = 0;
    for change in std::mem::take(&mut frame.changes) {
        let size = change.key.len() + change.value.as_ref().map_or(0, |value| value.len());
        if bytes > 0 && bytes + size > FRAME_BYTES_FULL {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(change);
        }
    }
    let last = parts.len() - 1;
    let part = |(number, changes)| FeedFrame {
        begins: frame.begins && number == 0,
        ends: number == last,
        changes,
        // What ends the state comes last.
        published: frame.published.clone().filter(|_| number == last),
        keys: frame.keys.clone().filter(|_| number == last),
        ..frame.clone()
    };
    parts.into_iter().enumerate().map(part).collect()
}
