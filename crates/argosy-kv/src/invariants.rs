//! What is true of every state: for the simulator, tests and assertions.

use std::collections::BTreeSet;

use crate::keyspace::{KeyEntry, Keyspace};
use crate::{KeyKind, KeyValue, SpaceId, State};

/// A state breaks a rule that no state may break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// Where, and how.
    pub detail: String,
}

type Check = Result<(), Violation>;

fn ensure(holds: bool, rule: &'static str, detail: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation { rule, detail: detail() }) }
}

/// Checks every rule. Takes time in proportion to the whole state.
pub fn check(state: &State) -> Check {
    for space in SpaceId::ALL {
        let keyspace = state.space(space);
        check_counters(keyspace)?;
        check_history(keyspace)?;
        for entry in keyspace.keys.iter().chain(keyspace.directories.iter()) {
            check_versions(keyspace, entry)?;
        }
    }
    check_leases(state)
}

fn check_counters(keyspace: &Keyspace) -> Check {
    let Keyspace { revision, compact_revision, history_from, .. } = keyspace;
    ensure(
        *revision >= 1 && compact_revision <= revision && history_from <= revision,
        "compact revision and history never pass the revision",
        || format!("revision {revision}, compact {compact_revision}, history {history_from}"),
    )
}

/// Each revision kept has events, in order, of which each is a version of its key.
fn check_history(keyspace: &Keyspace) -> Check {
    let mut next = None;
    for entry in keyspace.history.iter() {
        let revision = entry.revision;
        ensure(
            revision >= keyspace.history_from && revision <= keyspace.revision,
            "history is within its bounds",
            || format!("revision {revision}, history from {}", keyspace.history_from),
        )?;
        if revision < keyspace.compact_revision {
            // Compacted and not freed yet: nobody can read it, and a snapshot taken now leaves
            // out what the sweep has reached.
            continue;
        }
        // Every revision is some events, so none can be missing between two.
        ensure(next.is_none_or(|next| next == revision), "history has no gap", || {
            format!("revision {revision} follows {:?}", next.map(|next| next - 1))
        })?;
        next = Some(revision + 1);
        let mut keys = BTreeSet::new();
        for (event, sub) in entry.events.iter().zip(0..) {
            let kv = &event.kv;
            let placed = kv.mod_revision == revision && kv.sub_revision == sub;
            ensure(placed, "an event names its own place", || format!("{kv:?} in {revision}"))?;
            ensure(
                keys.insert((kv.is_directory(), &kv.key)),
                "a key changes once in a revision",
                || format!("{:?} in {revision}", kv.key),
            )?;
        }
        ensure(!entry.events.is_empty(), "a revision has events", || revision.to_string())?;
    }
    ensure(
        next.is_none_or(|next| next == keyspace.revision + 1),
        "history reaches to the present",
        || format!("it ends before {next:?}, the revision is {}", keyspace.revision),
    )
}

/// Versions ascend, count their puts, and keep their creation until the key ends. A directory
/// that nobody made, and so without a marker, may end all the same.
fn check_versions(keyspace: &Keyspace, entry: &KeyEntry) -> Check {
    let mut before: Option<&KeyValue> = None;
    for kv in entry.versions() {
        let follows = match before {
            Some(before) if before.is_live() && kv.is_live() => {
                kv.mod_revision > before.mod_revision
                    && kv.version == before.version + 1
                    && kv.create_revision == before.create_revision
            }
            Some(before) => {
                let ends = kv.kind == KeyKind::DirectoryEnd;
                kv.mod_revision > before.mod_revision && (ends || kv.is_live() != before.is_live())
            }
            None => true,
        };
        let fits = follows
            && kv.key == entry.newest.key
            && kv.is_directory() == entry.newest.is_directory()
            && kv.mod_revision <= keyspace.revision
            && kv.create_revision <= kv.mod_revision
            && kv.is_live() == (kv.version > 0);
        ensure(fits, "versions follow one another", || format!("{kv:?} after {before:?}"))?;
        before = Some(kv);
    }
    Ok(())
}

/// A key that has a lease is attached to it, and nothing else is.
fn check_leases(state: &State) -> Check {
    let mut attached = BTreeSet::new();
    for lease in state.leases() {
        for (space, key) in state.lease_keys(lease.id) {
            let holds = state.get(space, &key).is_some_and(|kv| kv.lease == lease.id);
            ensure(holds, "an attached key has the lease", || format!("{key:?}, {}", lease.id))?;
            attached.insert((space, false, key));
        }
        for (space, path) in state.leases.directories(lease.id) {
            let marker = state.space(space).directory(&path);
            let holds = marker.is_some_and(|kv| kv.lease == lease.id);
            ensure(holds, "an attached directory has the lease", || format!("{path:?}"))?;
            attached.insert((space, true, path));
        }
    }
    for space in SpaceId::ALL {
        let keyspace = state.space(space);
        let entries = keyspace.keys.iter().chain(keyspace.directories.iter());
        for kv in entries.map(|entry| &entry.newest) {
            let place = (space, kv.is_directory(), kv.key.clone());
            let holds = kv.lease == 0 || attached.contains(&place);
            ensure(holds, "a key with a lease is attached", || format!("{kv:?}"))?;
        }
    }
    Ok(())
}

/// Returns a hash of all that a client can see: equal on all replicas at the same index,
/// however far each has freed what was compacted. Takes time in proportion to the whole state.
pub fn hash(state: &State) -> u64 {
    let mut hasher = Words::default();
    hasher.number(state.applied_index);
    hasher.number(state.applied_term);
    hasher.number(u64::from(state.cluster_version.major));
    hasher.number(u64::from(state.cluster_version.minor));
    for lease in state.leases() {
        for number in [lease.id, lease.ttl_seconds, lease.remaining_seconds] {
            hasher.number(number.cast_unsigned());
        }
        hasher.number(u64::from(lease.minimum_exempt));
        hasher.number(lease.granted_at.0);
    }
    for keyspace in &state.spaces {
        hasher.number(keyspace.revision.cast_unsigned());
        hasher.number(keyspace.compact_revision.cast_unsigned());
        for entry in keyspace.keys.iter().chain(keyspace.directories.iter()) {
            for kv in entry.visible(keyspace.compact_revision) {
                hasher.version(kv);
            }
        }
    }
    hasher.0
}

/// A word at a time, each folded in by a multiplication: the same on every machine.
struct Words(u64);

impl Default for Words {
    fn default() -> Words {
        Words(0xcbf2_9ce4_8422_2325)
    }
}

impl Words {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    fn number(&mut self, number: u64) {
        // Both halves of the product, so that the high bits of a word count as much as its low.
        let (low, high) = (self.0 ^ number).carrying_mul(0x9e37_79b9_7f4a_7c15, 0);
        self.0 = low ^ high;
    }

    fn version(&mut self, kv: &KeyValue) {
        self.bytes(&kv.key);
        self.bytes(&kv.value);
        for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease, kv.created_index]
        {
            self.number(number.cast_unsigned());
        }
        self.number(u64::from(kv.sub_revision));
        self.number(u64::from(kv.is_live()) + 2 * u64::from(kv.is_directory()));
    }
}
