//! Building a state from records.

use std::sync::Arc;

use argosy_model::UnixMicros;
use bytes::Bytes;
use prost::Message;

use super::key::{self, RecordKey};
use super::{RECORD_FORMAT, RecordError, wire};
use crate::keyspace::{KeyEntry, Keyspace};
use crate::lease::LeaseTable;
use crate::{ClusterVersion, KeyValue, Lease, LeaseId, Revision, SpaceId, State};

impl State {
    /// Builds a state from a checkpoint's records, ascending by key.
    pub fn from_records(
        records: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Result<State, RecordError> {
        let mut loader = Loader::default();
        let mut last: Option<Bytes> = None;
        for (key, value) in records {
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(RecordError::Unordered { key });
            }
            loader.add(&key, &value)?;
            last = Some(key);
        }
        loader.finish()
    }
}

#[derive(Default)]
struct Loader {
    header: Option<wire::Header>,
    leases: LeaseTable,
    /// Of each space: keys, and directories.
    entries: [[Vec<KeyEntry>; 2]; 2],
}

impl Loader {
    fn add(&mut self, key: &Bytes, value: &Bytes) -> Result<(), RecordError> {
        let malformed = |what| RecordError::Malformed { key: key.clone(), what };
        match key::parse(key).ok_or_else(|| malformed("unknown kind of record"))? {
            RecordKey::Header => {
                let header =
                    wire::Header::decode(&value[..]).map_err(|_| malformed("no header"))?;
                if header.format != RECORD_FORMAT {
                    return Err(RecordError::UnknownFormat { format: header.format });
                }
                if header.spaces.len() != SpaceId::ALL.len() {
                    return Err(malformed("another number of spaces"));
                }
                self.header = Some(header);
            }
            RecordKey::Lease(id) => {
                let lease = decode_lease(id, value).ok_or_else(|| malformed("no lease"))?;
                self.leases.put(lease);
            }
            RecordKey::Version { directory, space, key: name, revision } => {
                let entries = &mut self.entries[space.index()][usize::from(directory)];
                let same = entries.last_mut().filter(|entry| entry.newest.key == name);
                // One allocation for the key of all its versions.
                let name = same.as_ref().map_or(name, |entry| entry.newest.key.clone());
                let version = decode_version(name, revision, value);
                let version = version.filter(|version| version.is_directory() == directory);
                let version = Arc::new(version.ok_or_else(|| malformed("no version"))?);
                match same {
                    Some(entry) => entry.push(version),
                    None => entries.push(KeyEntry::new(version)),
                }
            }
        }
        // The header sorts first; without it the meaning of the others is not known.
        if self.header.is_none() { Err(RecordError::NoHeader) } else { Ok(()) }
    }

    fn finish(self) -> Result<State, RecordError> {
        let Loader { header, mut leases, entries } = self;
        let header = header.ok_or(RecordError::NoHeader)?;
        for (space, entries) in SpaceId::ALL.into_iter().zip(&entries) {
            let newest = entries.iter().flatten().map(|entry| &entry.newest);
            for kv in newest.filter(|kv| kv.lease != 0) {
                leases.move_key(space, (kv.is_directory(), &kv.key), 0, kv.lease);
            }
        }
        let mut spaces = header.spaces.iter().zip(entries).map(|(space, entries)| {
            Keyspace::rebuild(space.revision, space.compact_revision, space.history_from, entries)
        });
        let (Some(user), Some(registry)) = (spaces.next(), spaces.next()) else {
            return Err(RecordError::NoHeader);
        };
        Ok(State {
            spaces: [user, registry],
            leases,
            applied_index: header.applied_index,
            applied_term: header.applied_term,
            cluster_version: ClusterVersion {
                major: header.cluster_major,
                minor: header.cluster_minor,
            },
        })
    }
}

fn decode_lease(id: LeaseId, value: &[u8]) -> Option<Lease> {
    let lease = wire::Lease::decode(value).ok()?;
    Some(Lease {
        id,
        ttl_seconds: lease.ttl_seconds,
        remaining_seconds: lease.remaining_seconds,
        minimum_exempt: lease.minimum_exempt,
        granted_at: UnixMicros(lease.granted_at),
    })
}

fn decode_version(key: Bytes, revision: Revision, value: &[u8]) -> Option<KeyValue> {
    let version = wire::Version::decode(value).ok()?;
    Some(KeyValue {
        key,
        value: version.value,
        create_revision: version.create_revision,
        mod_revision: revision,
        version: version.version,
        lease: version.lease,
        sub_revision: version.sub_revision,
        kind: *key::KINDS.get(usize::try_from(version.kind).ok()?)?,
        action: *key::ACTIONS.get(usize::try_from(version.action).ok()?)?,
        created_index: version.created_index,
    })
}
