//! Doing v2 writes (etcd: server/etcdserver/api/v2store/store.go).

use argosy_model::UnixMicros;
use bytes::Bytes;

use super::error::Code;
use super::find::{self, Found};
use super::{Change, Error, Verb, Write, change, path};
use crate::state::{NewVersion, Writer};
use crate::{Action, KeyKind, LEASE_TTL_MAX_SECONDS, Lease, LeaseId, SpaceEvents, SpaceId, State};

const USER: SpaceId = SpaceId::User;

/// What a write did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) change: Change,
    pub(crate) events: Vec<SpaceEvents>,
    /// The lease that has its full time from now on, and that time in seconds.
    pub(crate) granted: Option<(LeaseId, i64)>,
    /// The leases that ended.
    pub(crate) ended: Vec<LeaseId>,
}

impl State {
    /// Checks and does a v2 write.
    pub(crate) fn apply_v2(&mut self, write: &Write, at: UnixMicros) -> Result<Done, Error> {
        let mut parts = path::parts(&write.path);
        let name = format!("{:020}", self.revision(USER) + 1);
        if write.verb == Verb::CreateInOrder {
            parts.push(&name);
        }
        if parts.len() > path::PATH_PARTS_MAX {
            let cause = format!("a path has at most {} parts", path::PATH_PARTS_MAX);
            return Err(Code::InvalidField.error(self, cause));
        }
        let comparing_delete = write.verb == Verb::CompareAndDelete;
        if parts.is_empty() && !comparing_delete {
            return Err(Code::RootReadOnly.error(self, "/"));
        }
        match write.verb {
            Verb::Set | Verb::Create | Verb::CreateInOrder => self.make(write, &parts, at),
            Verb::Update | Verb::CompareAndSwap => self.change(write, &parts, at),
            Verb::Delete | Verb::CompareAndDelete => self.take(write, &parts),
        }
    }

    /// Makes a key or directory.
    fn make(&mut self, write: &Write, parts: &[&str], at: UnixMicros) -> Result<Done, Error> {
        let mut missing: Vec<Bytes> = Vec::new();
        for count in 1..parts.len() {
            let above = joined(&parts[..count]);
            match find::at(self, &above) {
                Some(Found::Directory(_)) => {}
                Some(Found::File(_)) => return Err(Code::NotDirectory.error(self, above)),
                None => missing.push(above.into()),
            }
        }
        let path = joined(parts);
        let before = match find::at(self, &path) {
            Some(Found::Directory(_)) if write.verb == Verb::Set => {
                return Err(Code::NotFile.error(self, path));
            }
            Some(Found::File(kv)) if write.verb == Verb::Set => Some(kv.clone()),
            Some(_) => return Err(Code::NodeExists.error(self, path)),
            None => None,
        };
        let mut value = write.value.clone();
        if write.verb == Verb::Set && write.refresh {
            let Some(kv) = &before else { return Err(Code::KeyNotFound.error(self, path)) };
            if let Some(done) = self.refresh(Action::Set, write, &path, kv.lease, at) {
                return Ok(done);
            }
            value = kv.value.clone();
        }
        let action = if write.verb == Verb::Set { Action::Set } else { Action::Create };
        let granted = self.grant_own(write.ttl_seconds, at);
        let created_index = self.revision(USER) + 1;
        let new = |kind, value, lease| NewVersion { kind, value, lease, action, created_index };
        let lease = granted.map_or(0, |(id, _)| id);
        let mut writer = Writer::new(self);
        for path in &missing {
            writer.write(USER, path, new(KeyKind::Directory, Bytes::new(), 0));
        }
        if write.dir {
            if let Some(kv) = &before {
                writer.end(USER, kv, action);
            }
            writer.write(USER, &path.into(), new(KeyKind::Directory, Bytes::new(), lease));
        } else {
            writer.write(USER, &path.into(), new(KeyKind::Value, value, lease));
        }
        let events = writer.finish();
        self.done(events, granted)
    }

    /// Changes what is there: a key, or the time to live of a directory.
    fn change(&mut self, write: &Write, parts: &[&str], at: UnixMicros) -> Result<Done, Error> {
        let (path, found) = find::find(self, parts)?;
        let action = match write.verb {
            Verb::CompareAndSwap => Action::CompareAndSwap,
            _ => Action::Update,
        };
        let (kind, mut value, created_index, old_lease) = match found {
            Found::Directory(_) if action == Action::CompareAndSwap || !write.value.is_empty() => {
                return Err(Code::NotFile.error(self, path));
            }
            Found::Directory(own) => {
                (KeyKind::Directory, Bytes::new(), own.created_index, own.lease)
            }
            Found::File(kv) => {
                if action == Action::CompareAndSwap {
                    self.compare(write, kv)?;
                }
                let value = if write.refresh { &kv.value } else { &write.value };
                (KeyKind::Value, value.clone(), kv.created_index, kv.lease)
            }
        };
        if write.refresh
            && let Some(done) = self.refresh(action, write, &path, old_lease, at)
        {
            return Ok(done);
        }
        let granted = self.grant_own(write.ttl_seconds, at);
        let lease = granted.map_or(0, |(id, _)| id);
        let value = std::mem::take(&mut value);
        let mut writer = Writer::new(self);
        let new = NewVersion { kind, value, lease, action, created_index };
        writer.write(USER, &path.into(), new);
        let events = writer.finish();
        self.done(events, granted)
    }

    /// Deletes.
    fn take(&mut self, write: &Write, parts: &[&str]) -> Result<Done, Error> {
        let (path, found) = find::find(self, parts)?;
        let comparing = write.verb == Verb::CompareAndDelete;
        let events = match found {
            Found::File(kv) => {
                if comparing {
                    self.compare(write, kv)?;
                }
                let action = if comparing { Action::CompareAndDelete } else { Action::Delete };
                let kv = kv.clone();
                let mut writer = Writer::new(self);
                writer.end(USER, &kv, action);
                writer.finish()
            }
            Found::Directory(own) => {
                if comparing || !(write.dir || write.recursive) {
                    // etcd has no name for the root here.
                    let cause = if path == "/" { String::new() } else { path };
                    return Err(Code::NotFile.error(self, cause));
                }
                let empty = super::list::first_below(self, &format!("{path}/")).is_none();
                if !empty && !write.recursive {
                    return Err(Code::DirectoryNotEmpty.error(self, path));
                }
                let mut writer = Writer::new(self);
                writer.end_directory(USER, &path.into(), Action::Delete, own.created_index);
                writer.finish()
            }
        };
        self.done(events, None)
    }

    /// Tells whether a key is as expected. Error 101 shows what is not.
    fn compare(&self, write: &Write, kv: &crate::KeyValue) -> Result<(), Error> {
        let index = write.prev_index == 0 || write.prev_index == kv.mod_revision;
        let value = write.prev_value.is_empty() || write.prev_value == kv.value;
        if index && value {
            return Ok(());
        }
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let values = format!("[{} != {}]", text(&write.prev_value), text(&kv.value));
        let indexes = format!("[{} != {}]", write.prev_index, kv.mod_revision);
        let cause = match (index, value) {
            (true, _) => values,
            (false, true) => indexes,
            (false, false) => format!("{values} {indexes}"),
        };
        Err(Code::TestFailed.error(self, cause))
    }

    /// Gives the lease of what is at `path` its time anew: no revision, and nobody is told. Only a
    /// lease that is the time to live of this one thing can be changed so.
    fn refresh(
        &mut self,
        action: Action,
        write: &Write,
        path: &str,
        lease: LeaseId,
        at: UnixMicros,
    ) -> Option<Done> {
        let lease = self.leases.get(lease).filter(|lease| lease.minimum_exempt)?;
        if self.leases.keys(lease.id).len() + self.leases.directories(lease.id).len() != 1 {
            return None;
        }
        let ttl_seconds = own_ttl(write.ttl_seconds?);
        let lease = Lease { ttl_seconds, remaining_seconds: 0, granted_at: at, ..lease.clone() };
        let granted = Some((lease.id, ttl_seconds));
        self.leases.put(lease);
        let space = self.space(USER);
        let now = space.directory(path.as_bytes()).or_else(|| space.get(path.as_bytes()))?;
        let node = change::stored_node(now);
        let change = Change { action, prev: Some(node.clone()), node };
        Some(Done { change, events: Vec::new(), granted, ended: Vec::new() })
    }

    /// Makes the lease that is the time to live of one key or directory.
    fn grant_own(&mut self, ttl: Option<i64>, at: UnixMicros) -> Option<(LeaseId, i64)> {
        let ttl_seconds = own_ttl(ttl?);
        let id = self.free_lease_id(self.applied_index);
        let (remaining_seconds, minimum_exempt, granted_at) = (0, true, at);
        self.leases.put(Lease { id, ttl_seconds, remaining_seconds, minimum_exempt, granted_at });
        Some((id, ttl_seconds))
    }

    fn done(
        &self,
        events: Vec<SpaceEvents>,
        granted: Option<(LeaseId, i64)>,
    ) -> Result<Done, Error> {
        let all = events.iter().flat_map(|space| space.events.iter());
        let leases = all.filter_map(|event| event.prev.as_ref()).map(|kv| kv.lease);
        let mut ended: Vec<LeaseId> =
            leases.filter(|id| *id != 0 && self.lease(*id).is_none()).collect();
        ended.sort_unstable();
        ended.dedup();
        let changes = events.first().map(|space| change::changes(&space.events));
        let change = changes.and_then(|mut changes| changes.pop());
        let change = change.expect("a write changes something that v2 has a path for");
        Ok(Done { change, events, granted, ended })
    }
}

/// The shortest time to live is a second: what ended at once could not be told from what failed.
fn own_ttl(seconds: i64) -> i64 {
    seconds.clamp(1, LEASE_TTL_MAX_SECONDS)
}

fn joined(parts: &[&str]) -> String {
    parts.iter().flat_map(|part| ["/", part]).collect()
}
