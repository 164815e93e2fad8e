//! What changed between two states, as changes to records.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::{RECORD_FORMAT, RecordChange, key, wire};
use crate::keyspace::KeyEntry;
use crate::tree::{Tree, diff};
use crate::{KeyValue, Lease, Revision, SpaceId, State};

impl State {
    /// Calls `visit` with every change from `previous` (none: the empty map) to this state,
    /// ascending by record key, so that a checkpoint writes only a delta. It takes time in
    /// proportion to what changed. `previous` is an earlier state of the same log.
    pub fn changes_since(&self, previous: Option<&State>, visit: &mut dyn FnMut(RecordChange)) {
        visit(RecordChange::Put { key: key::header(), value: encode_header(self) });
        let none = Tree::default();
        let old = previous.map_or(&none, |state| &state.leases.leases);
        diff(old, &self.leases.leases, &mut |old, new| match (old, new) {
            (Some(old), None) => visit(RecordChange::Remove { key: key::lease(old.lease.id) }),
            (old, Some(new)) if old.is_none_or(|old| old.lease != new.lease) => {
                let value = encode_lease(&new.lease);
                visit(RecordChange::Put { key: key::lease(new.lease.id), value });
            }
            _ => {}
        });
        for (directory, space) in
            [false, true].into_iter().flat_map(|d| SpaceId::ALL.map(|s| (d, s)))
        {
            let none = Tree::default();
            let old = previous.map_or(&none, |state| state.space(space).tree(directory));
            diff(old, self.space(space).tree(directory), &mut |old, new| {
                key_changes((directory, space), old, new, visit);
            });
        }
    }
}

/// A version is never changed, so only which ones there are can differ.
fn key_changes(
    (directory, space): (bool, SpaceId),
    old: Option<&KeyEntry>,
    new: Option<&KeyEntry>,
    visit: &mut dyn FnMut(RecordChange),
) {
    let same = |(a, b): (&KeyEntry, &KeyEntry)| {
        Arc::ptr_eq(&a.newest, &b.newest) && a.older.same(&b.older)
    };
    if old.zip(new).is_some_and(same) {
        return;
    }
    // By revision: whether it was there, and what is there now.
    let mut versions: BTreeMap<Revision, (bool, Option<&Arc<KeyValue>>)> = BTreeMap::new();
    let none = Tree::default();
    let older_before = old.map_or(&none, |entry| &entry.older);
    let older_now = new.map_or(&none, |entry| &entry.older);
    diff(older_before, older_now, &mut |old, new| {
        if let Some(version) = old.or(new) {
            let revision = version.0.mod_revision;
            versions.insert(revision, (old.is_some(), new.map(|version| &version.0)));
        }
    });
    if let Some(before) = old.map(|entry| &entry.newest) {
        versions.entry(before.mod_revision).or_default().0 = true;
    }
    if let Some(now) = new.map(|entry| &entry.newest) {
        versions.entry(now.mod_revision).or_default().1 = Some(now);
    }
    let Some(name) = old.or(new).map(|entry| &entry.newest.key) else { return };
    for (revision, (before, now)) in versions {
        let key = key::version(directory, space, name, revision);
        match (before, now) {
            (false, Some(kv)) => visit(RecordChange::Put { key, value: encode_version(kv) }),
            (true, None) => visit(RecordChange::Remove { key }),
            (true, Some(_)) | (false, None) => {}
        }
    }
}

fn encode_header(state: &State) -> Bytes {
    let spaces = state.spaces.iter().map(|space| wire::Space {
        revision: space.revision,
        compact_revision: space.compact_revision,
        history_from: space.history_from,
    });
    let header = wire::Header {
        format: RECORD_FORMAT,
        applied_index: state.applied_index,
        applied_term: state.applied_term,
        cluster_major: state.cluster_version.major,
        cluster_minor: state.cluster_version.minor,
        spaces: spaces.collect(),
    };
    header.encode_to_vec().into()
}

fn encode_lease(lease: &Lease) -> Bytes {
    let lease = wire::Lease {
        ttl_seconds: lease.ttl_seconds,
        remaining_seconds: lease.remaining_seconds,
        minimum_exempt: lease.minimum_exempt,
        granted_at: lease.granted_at.0,
    };
    lease.encode_to_vec().into()
}

fn encode_version(kv: &KeyValue) -> Bytes {
    let version = wire::Version {
        value: kv.value.clone(),
        create_revision: kv.create_revision,
        version: kv.version,
        lease: kv.lease,
        sub_revision: kv.sub_revision,
        kind: number(&key::KINDS, kv.kind),
        action: number(&key::ACTIONS, kv.action),
        created_index: kv.created_index,
    };
    version.encode_to_vec().into()
}

/// Returns the number of a value: its place in the list, which has them all.
fn number<T: PartialEq>(values: &[T], value: T) -> u32 {
    values.iter().zip(0..).find(|(known, _)| **known == value).map_or(0, |(_, at)| at)
}
