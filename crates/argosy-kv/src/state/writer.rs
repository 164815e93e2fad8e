//! Changing keys: all changes of one revision, in both spaces.

use std::sync::Arc;

use bytes::Bytes;

use super::State;
use crate::keyspace::{KeyEntry, tombstone};
use crate::{
    Action, DeleteRequest, DeleteResponse, Event, KeyKind, KeyValue, LeaseId, PutRequest,
    PutResponse, Revisions, SpaceEvents, SpaceId,
};

/// Changes under way. Reads of the state see them at once; [`Writer::finish`] makes them a
/// revision of each space they touched.
pub(crate) struct Writer<'a> {
    pub(crate) state: &'a mut State,
    events: [Vec<Event>; 2],
}

impl<'a> Writer<'a> {
    pub(crate) fn new(state: &'a mut State) -> Writer<'a> {
        Writer { state, events: [Vec::new(), Vec::new()] }
    }

    /// Puts a key. The request has been checked: its lease is there, its flags make sense.
    pub(crate) fn put(&mut self, space: SpaceId, request: &PutRequest) -> PutResponse {
        let keyspace = self.state.space(space);
        let revision = keyspace.revision + 1;
        let entry = keyspace.keys.get(&request.key).cloned();
        let before = entry.as_ref().map(|entry| &entry.newest).filter(|kv| kv.is_live()).cloned();
        let keep_value = before.as_ref().filter(|_| request.ignore_value);
        let keep_lease = before.as_ref().filter(|_| request.ignore_lease);
        let kv = KeyValue {
            // The key that is stored already, so that its versions share one allocation.
            key: before.as_ref().map_or_else(|| request.key.clone(), |kv| kv.key.clone()),
            value: keep_value.map_or_else(|| request.value.clone(), |kv| kv.value.clone()),
            create_revision: before.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: before.as_ref().map_or(0, |kv| kv.version) + 1,
            lease: keep_lease.map_or(request.lease, |kv| kv.lease),
            sub_revision: self.next_sub_revision(space),
            kind: KeyKind::Value,
            action: Action::Set,
            created_index: revision,
        };
        let old_lease = before.as_ref().map_or(0, |kv| kv.lease);
        self.state.leases.move_key(space, &kv.key, old_lease, kv.lease);
        self.push(space, entry, kv.into());
        PutResponse { prev_kv: before.filter(|_| request.prev_kv) }
    }

    /// Deletes a key or range.
    pub(crate) fn delete(&mut self, space: SpaceId, request: &DeleteRequest) -> DeleteResponse {
        let there: Vec<_> = self.state.space(space).live(&request.range).cloned().collect();
        for kv in &there {
            self.end(space, kv, Action::Delete);
        }
        DeleteResponse {
            deleted: i64::try_from(there.len()).unwrap_or(i64::MAX),
            prev_kvs: if request.prev_kv { there } else { Vec::new() },
        }
    }

    /// Deletes the keys attached to a lease, in order, and the lease.
    pub(crate) fn revoke(&mut self, id: LeaseId, action: Action) {
        for (space, key) in self.state.leases.keys(id) {
            if let Some(kv) = self.state.space(space).get(&key).cloned() {
                self.end(space, &kv, action);
            }
        }
        self.state.leases.remove(id);
    }

    /// Returns what the revisions will be once this is finished.
    pub(crate) fn revisions(&self) -> Revisions {
        let after = |space: SpaceId| {
            let changed = !self.events[space.index()].is_empty();
            self.state.space(space).revision + i64::from(changed)
        };
        Revisions { user: after(SpaceId::User), registry: after(SpaceId::Registry) }
    }

    /// Makes the changes revisions.
    pub(crate) fn finish(self) -> Vec<SpaceEvents> {
        let mut changed = Vec::new();
        for (space, events) in SpaceId::ALL.into_iter().zip(self.events) {
            if events.is_empty() {
                continue;
            }
            let events: Arc<[Event]> = events.into();
            let revision = self.state.space_mut(space).commit(Arc::clone(&events));
            changed.push(SpaceEvents { space, revision, events });
        }
        changed
    }

    fn end(&mut self, space: SpaceId, before: &KeyValue, action: Action) {
        let key: Bytes = before.key.clone();
        self.state.leases.move_key(space, &key, before.lease, 0);
        let keyspace = self.state.space(space);
        let (revision, entry) = (keyspace.revision + 1, keyspace.keys.get(&key).cloned());
        let sub = self.next_sub_revision(space);
        self.push(space, entry, tombstone(key, revision, sub, action, before.created_index));
    }

    fn next_sub_revision(&self, space: SpaceId) -> u32 {
        u32::try_from(self.events[space.index()].len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, space: SpaceId, entry: Option<KeyEntry>, kv: Arc<KeyValue>) {
        let prev = self.state.space_mut(space).push(entry, Arc::clone(&kv));
        self.events[space.index()].push(Event { kv, prev });
    }
}
