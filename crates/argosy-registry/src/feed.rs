//! What a machine that holds no part of the store is told of the registry: the records that its
//! agent, its proxies and its connections need, and nothing else.
//!
//! A member of the store makes [`FeedRecords`] from its view, and a [`FeedSender`] sends what has
//! changed; a [`FeedReceiver`] puts it together again. A [`crate::ClusterViewBuilder`] fed with the
//! changes shows the machine's own assignment, its units, every machine and every endpoint as the
//! member's view does.

mod commit;
mod frame;
mod receiver;
mod sender;

use std::collections::{BTreeMap, BTreeSet};

use argosy_kv::Revision;
use argosy_model::{MachineId, Publish, Term, UnitName, UnitRevision};
use bytes::Bytes;

use crate::keys::Key;
use crate::record::{Record, StoredRevision, Versioned};
use crate::view::{ClusterView, RecordChange};

pub use commit::{CommitRefused, guarded_commit};
pub use frame::{FRAME_BYTES_MAX, FeedFrame, FrameError};
pub use receiver::{FEED_BYTES_MAX, FeedError, FeedReceiver};
pub use sender::{FeedSender, frames_of};

/// One record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRecord {
    /// Its bytes.
    pub value: Bytes,
    /// The registry revision of its last change.
    pub mod_revision: Revision,
}

/// Records by their keys.
pub type FeedRecords = BTreeMap<Bytes, FeedRecord>;

/// Bytes of a key's value that are told: a client may have written much more.
pub const KEY_BYTES_MAX: usize = 512;

/// Published ports, as [`ClusterView::published`] has them.
pub type Published = BTreeMap<u16, Publish>;

/// What the user space holds under the keys that a machine's endpoints announce. Of a long value
/// only the first [`KEY_BYTES_MAX`] bytes: it is compared with what is announced, which is short.
pub type AnnouncedKeys = BTreeMap<String, Option<Vec<u8>>>;

/// What a machine that forwards has to know of the store itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedFacts {
    /// The raft term that the member is in.
    pub term: Term,
    /// Who leads in it, as the member knows.
    pub leader: Option<u64>,
    /// Who votes.
    pub voters: BTreeSet<u64>,
    /// A majority has confirmed, since the feed began, that what it says is not older than its
    /// beginning.
    pub current: bool,
}

/// Everything a machine has been told, at one registry revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedState {
    /// The revision; 0 before anything was said.
    pub revision: Revision,
    /// The revision at which routes last changed ([`ClusterView::routes_revision`]): the same for
    /// whoever sees the same routes, however many revisions were told at once.
    pub routes: Revision,
    /// The records.
    pub records: FeedRecords,
    /// The published ports: the units that publish them are not told.
    pub published: Published,
    /// Its announced keys.
    pub keys: AnnouncedKeys,
    /// The store.
    pub facts: FeedFacts,
}

/// Returns the records that every machine is told: machines and endpoints.
pub fn shared_records(view: &ClusterView) -> FeedRecords {
    let mut records = FeedRecords::new();
    for (id, stored) in view.machines() {
        put(&mut records, &Key::Machine(*id), stored);
    }
    for ((unit, machine), stored) in view.endpoints() {
        put(&mut records, &Key::Endpoint(unit.clone(), *machine), stored);
    }
    records
}

/// Returns the records that one machine is told: its assignment, and the units in it with the texts
/// that they run and are to run. `before` is what it was told last: a text that is in there is
/// not made anew.
pub fn own_records(view: &ClusterView, machine: MachineId, before: &FeedRecords) -> FeedRecords {
    let mut records = FeedRecords::new();
    let Some(assignment) = view.assignments().get(&machine) else {
        return records;
    };
    put(&mut records, &Key::Assignment(machine), assignment);
    for entry in &assignment.value.entries {
        put_unit(&mut records, view, &entry.unit, entry.revision, before);
    }
    records
}

/// Returns what turns `before` into `after`, of which `revision` is the revision.
pub fn record_changes(
    before: &FeedRecords,
    after: &FeedRecords,
    revision: Revision,
) -> Vec<RecordChange> {
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    let removed =
        removed.map(|key| RecordChange { key: key.clone(), value: None, mod_revision: revision });
    let changed = after.iter().filter(|(key, record)| before.get(*key) != Some(record));
    let changed = changed.map(|(key, record)| RecordChange {
        key: key.clone(),
        value: Some(record.value.clone()),
        mod_revision: record.mod_revision,
    });
    removed.chain(changed).collect()
}

/// Adds a unit's record and texts, and its template's: which text counts, how many instances there
/// are and what they do is read out of all of them.
fn put_unit(
    records: &mut FeedRecords,
    view: &ClusterView,
    unit: &UnitName,
    runs: UnitRevision,
    before: &FeedRecords,
) {
    for name in [Some(unit.clone()), unit.template()].into_iter().flatten() {
        let stored = view.unit(&name);
        if let Some(stored) = stored {
            put(records, &Key::Unit(name.clone()), stored);
        }
        let newest = stored.map(|stored| stored.value.revision);
        for revision in newest.into_iter().chain((newest != Some(runs)).then_some(runs)) {
            put_text(records, view, &name, revision, before);
        }
    }
}

fn put_text(
    records: &mut FeedRecords,
    view: &ClusterView,
    name: &UnitName,
    revision: UnitRevision,
    before: &FeedRecords,
) {
    let Some(stored) = view.revisions().get(&(name.clone(), revision)) else {
        return;
    };
    let key = Bytes::from(Key::Revision(name.clone(), revision).to_bytes());
    let known = before.get(&key).filter(|known| known.mod_revision == stored.mod_revision);
    let record = match known {
        Some(known) => known.clone(),
        None => {
            let text: &StoredRevision = &stored.value;
            FeedRecord { value: text.write(&[]).into(), mod_revision: stored.mod_revision }
        }
    };
    records.insert(key, record);
}

fn put<T>(records: &mut FeedRecords, key: &Key, stored: &Versioned<T>) {
    let record = FeedRecord { value: stored.stored.clone(), mod_revision: stored.mod_revision };
    records.insert(key.to_bytes().into(), record);
}

#[cfg(test)]
mod tests;
