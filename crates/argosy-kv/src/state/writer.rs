//! Changing keys: all changes of one revision, in both spaces.

use std::sync::Arc;

use bytes::Bytes;

use super::State;
use crate::keyspace::{KeyEntry, tombstone};
use crate::{
    Action, DeleteRequest, DeleteResponse, Event, KeyKind, KeyValue, LeaseId, PutRequest,
    PutResponse, Revision, Revisions, SpaceEvents, SpaceId,
};

/// Changes under way. Reads of the state see them at once; [`Writer::finish`] makes them a
/// revision of each space they touched.
pub(crate) struct Writer<'a> {
    pub(crate) state: &'a mut State,
    events: [Vec<Event>; 2],
}

/// What a new version has that does not follow from the one before.
pub(crate) struct NewVersion {
    pub(crate) kind: KeyKind,
    pub(crate) value: Bytes,
    pub(crate) lease: LeaseId,
    pub(crate) action: Action,
    pub(crate) created_index: Revision,
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
        let new = NewVersion {
            kind: KeyKind::Value,
            value: keep_value.map_or_else(|| request.value.clone(), |kv| kv.value.clone()),
            lease: keep_lease.map_or(request.lease, |kv| kv.lease),
            action: Action::Set,
            created_index: revision,
        };
        self.write_on(space, &request.key, entry, new);
        PutResponse { prev_kv: before.filter(|_| request.prev_kv) }
    }

    /// Writes a version of a key or directory.
    pub(crate) fn write(&mut self, space: SpaceId, key: &Bytes, new: NewVersion) {
        let directory = new.kind == KeyKind::Directory;
        let entry = self.state.space(space).tree(directory).get(key).cloned();
        self.write_on(space, key, entry, new);
    }

    fn write_on(&mut self, space: SpaceId, key: &Bytes, entry: Option<KeyEntry>, new: NewVersion) {
        let revision = self.state.space(space).revision + 1;
        let before = entry.as_ref().map(|entry| &entry.newest).filter(|kv| kv.is_live());
        let kv = KeyValue {
            // The key that is stored already, so that its versions share one allocation.
            key: before.map_or_else(|| key.clone(), |kv| kv.key.clone()),
            value: new.value,
            create_revision: before.map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: before.map_or(0, |kv| kv.version) + 1,
            lease: new.lease,
            sub_revision: self.next_sub_revision(space),
            kind: new.kind,
            action: new.action,
            created_index: new.created_index,
        };
        let old_lease = before.map_or(0, |kv| kv.lease);
        let place = (kv.is_directory(), &kv.key);
        self.state.leases.move_key(space, place, old_lease, kv.lease);
        self.push(space, entry, kv.into());
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

    /// Deletes the keys attached to a lease, in order, its directories with all that is in them,
    /// and the lease.
    pub(crate) fn revoke(&mut self, id: LeaseId, action: Action) {
        for (space, path) in self.state.leases.directories(id) {
            if let Some(marker) = self.state.space(space).directory(&path).cloned() {
                self.end_directory(space, &path, action, marker.created_index);
            }
        }
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

    /// Makes the changes revisions. The lease of a v2 time to live ends with the last that was
    /// attached to it: only now, because a step may attach to a lease that an earlier one freed.
    pub(crate) fn finish(self) -> Vec<SpaceEvents> {
        for event in self.events.iter().flatten() {
            if let Some(prev) = event.prev.as_ref().filter(|prev| prev.lease != event.kv.lease) {
                self.state.leases.end_if_unused(prev.lease);
            }
        }
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

    /// Ends a directory of v2, marked or not, and everything in it that v2 can name. First of
    /// all itself: that one event is what v2 shows.
    pub(crate) fn end_directory(
        &mut self,
        space: SpaceId,
        path: &Bytes,
        action: Action,
        created_index: Revision,
    ) {
        let keyspace = self.state.space(space);
        let prefix = [path, b"/".as_slice()].concat();
        let mut inside: Vec<Arc<KeyValue>> = Vec::new();
        for directories in [false, true] {
            let below = keyspace.live_from(directories, &prefix);
            let below = below.take_while(|kv| kv.key.starts_with(&prefix));
            inside.extend(below.filter(|kv| crate::v2::names(&kv.key)).cloned());
        }
        // A key of the same name was hidden, and goes with what hid it.
        inside.extend(keyspace.get(path).cloned());
        let lease = keyspace.directory(path).map_or(0, |marker| marker.lease);
        self.end_as(space, KeyKind::DirectoryEnd, (path.clone(), lease), action, created_index);
        for kv in inside {
            self.end(space, &kv, action);
        }
    }

    /// Ends a key or a directory by itself.
    pub(crate) fn end(&mut self, space: SpaceId, before: &KeyValue, action: Action) {
        let kind = match before.kind {
            KeyKind::Directory | KeyKind::DirectoryEnd => KeyKind::DirectoryEnd,
            KeyKind::Value | KeyKind::Tombstone => KeyKind::Tombstone,
        };
        let place = (before.key.clone(), before.lease);
        self.end_as(space, kind, place, action, before.created_index);
    }

    fn end_as(
        &mut self,
        space: SpaceId,
        kind: KeyKind,
        (key, lease): (Bytes, LeaseId),
        action: Action,
        created_index: Revision,
    ) {
        let directory = kind == KeyKind::DirectoryEnd;
        self.state.leases.move_key(space, (directory, &key), lease, 0);
        let keyspace = self.state.space(space);
        let entry = keyspace.tree(directory).get(&key).cloned();
        let (revision, sub) = (keyspace.revision + 1, self.next_sub_revision(space));
        self.push(space, entry, tombstone(kind, key, revision, sub, action, created_index));
    }

    fn next_sub_revision(&self, space: SpaceId) -> u32 {
        u32::try_from(self.events[space.index()].len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, space: SpaceId, entry: Option<KeyEntry>, kv: Arc<KeyValue>) {
        let prev = self.state.space_mut(space).push(entry, Arc::clone(&kv));
        self.events[space.index()].push(Event { kv, prev });
    }
}
