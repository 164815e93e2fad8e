//! The checkpoint: the whole state at one log index, in a redb file, changed by deltas.

mod error;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once};

use argosy_consensus::{Checkpoint, CheckpointError, CheckpointStore, MemberId, Membership};
use argosy_kv::{RecordChange, State};
use argosy_model::ClusterId;
use bytes::Bytes;
use prost::Message as _;
use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};

pub use self::error::CheckpointFileError;
use crate::status::Counters;

/// The state's own records, as [`State::changes_since`] gives them.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// What the records belong to, under the one key [`HEADER`].
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const HEADER: &str = "header";

/// The highest format number of the file that this version reads. A file carries the lowest that
/// says all of it.
const FORMAT: u32 = 2;

/// The format of most files.
const FORMAT_PLAIN: u32 = 1;

/// The format of a file whose membership is joint: a version that knows only the first format
/// would take the new voters for all.
const FORMAT_JOINT: u32 = 2;

/// Memory that redb may keep pages in. A checkpoint is read once and then written in key
/// order, so there is little to gain from its default of 1 GiB.
const CACHE_BYTES: usize = 16 << 20;

thread_local! {
    /// Whether a panic of this thread is an answer, and not a fault of this program.
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic, and returns nothing if it does; nothing is printed then. Panics of other
/// threads are printed as ever.
fn quietly<T>(run: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_EXPECTED.get() {
                usual(info);
            }
        }));
    });
    IS_EXPECTED.set(true);
    let done = catch_unwind(AssertUnwindSafe(run)).ok();
    IS_EXPECTED.set(false);
    done
}

/// What the file's records belong to. Field numbers are frozen: they are on disk.
#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(bytes = "vec", tag = "2")]
    cluster: Vec<u8>,
    #[prost(uint64, tag = "3")]
    member: u64,
    #[prost(uint64, tag = "4")]
    applied: u64,
    #[prost(uint64, tag = "5")]
    term: u64,
    #[prost(uint64, repeated, tag = "6")]
    voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    learners: Vec<u64>,
    #[prost(uint64, repeated, tag = "8")]
    removed: Vec<u64>,
    #[prost(uint64, repeated, tag = "9")]
    outgoing: Vec<u64>,
}

/// An open checkpoint file, and the state it holds.
pub(crate) struct CheckpointFile {
    path: PathBuf,
    database: Database,
    cluster: ClusterId,
    member: MemberId,
    /// What the file holds, from which the next delta is taken. Its memory is shared with the
    /// live state.
    held: Option<Checkpoint>,
    counters: Arc<Counters>,
}

impl CheckpointFile {
    /// Makes the file of a new member.
    pub(crate) fn create(
        path: &Path,
        cluster: ClusterId,
        member: MemberId,
        checkpoint: &Checkpoint,
    ) -> Result<(), CheckpointFileError> {
        // As private as the log: it holds the same.
        fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        let path = path.to_owned();
        let mut file =
            Self { path, database, cluster, member, held: None, counters: Arc::default() };
        file.commit(checkpoint)
    }

    /// Opens the file, which must be there, and checks all of it: reads compare no checksums,
    /// so a flipped bit in a value would silently become another state than the other members'.
    pub(crate) fn open(
        path: &Path,
        cluster: ClusterId,
        member: MemberId,
        counters: Arc<Counters>,
    ) -> Result<Self, CheckpointFileError> {
        // redb panics about some damage of its page lists. What it leaves is dropped here.
        let database = quietly(|| open_checked(path)).ok_or(CheckpointFileError::Bookkeeping)??;
        Ok(Self { path: path.to_owned(), database, cluster, member, held: None, counters })
    }

    /// Reads the whole checkpoint, and remembers it as what the file holds.
    pub(crate) fn read(&mut self) -> Result<Checkpoint, CheckpointFileError> {
        let transaction = self.database.begin_read()?;
        let header = match transaction.open_table(META)?.get(HEADER)? {
            Some(bytes) => Header::decode(bytes.value()).map_err(CheckpointFileError::Header)?,
            None => return Err(CheckpointFileError::NoHeader),
        };
        self.check(&header)?;

        let mut failed = None;
        let records = transaction.open_table(RECORDS)?;
        let rows = records.iter()?.map_while(|row| match row {
            Ok((key, value)) => {
                let copy = Bytes::copy_from_slice;
                Some((copy(key.value()), copy(value.value())))
            }
            Err(source) => {
                failed = Some(source);
                None
            }
        });
        let state = State::from_records(rows);
        if let Some(source) = failed {
            return Err(source.into());
        }
        let state = state.map_err(CheckpointFileError::Records)?;
        if state.applied_index() != header.applied {
            return Err(CheckpointFileError::Torn {
                header: header.applied,
                records: state.applied_index(),
            });
        }
        let checkpoint = header.checkpoint(state);
        self.hold(&checkpoint, 0);
        Ok(checkpoint)
    }

    fn check(&self, header: &Header) -> Result<(), CheckpointFileError> {
        if header.format > FORMAT {
            return Err(CheckpointFileError::Format { found: header.format });
        }
        if header.cluster != self.cluster.0.to_be_bytes() || header.member != self.member.0 {
            let cluster = header.cluster.as_slice().try_into().map_or(0, u128::from_be_bytes);
            let member = MemberId(header.member);
            return Err(CheckpointFileError::Foreign { cluster: ClusterId(cluster), member });
        }
        Ok(())
    }

    /// Writes what differs from the held checkpoint, and the new header, in one transaction.
    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointFileError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let changes = self.write_delta(&transaction, checkpoint)?;
        let header = Header::new(self.cluster, self.member, checkpoint);
        transaction.open_table(META)?.insert(HEADER, header.encode_to_vec().as_slice())?;
        transaction.commit()?;
        self.hold(checkpoint, changes);
        tracing::debug!(applied = checkpoint.applied, changes, "wrote the checkpoint");
        self.counters.checkpoint_written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write_delta(
        &self,
        transaction: &WriteTransaction,
        checkpoint: &Checkpoint,
    ) -> Result<u64, CheckpointFileError> {
        let mut table = transaction.open_table(RECORDS)?;
        let mut changes = 0;
        let mut failed = None;
        let previous = self.held.as_ref().map(|held| &held.state);
        checkpoint.state.changes_since(previous, &mut |change| {
            if failed.is_some() {
                return;
            }
            let done = match &change {
                RecordChange::Put { key, value } => table.insert(&key[..], &value[..]).map(drop),
                RecordChange::Remove { key } => table.remove(&key[..]).map(drop),
            };
            changes += 1;
            failed = done.err();
        });
        match failed {
            Some(source) => Err(source.into()),
            None => Ok(changes),
        }
    }

    fn hold(&mut self, checkpoint: &Checkpoint, changes: u64) {
        self.held = Some(checkpoint.clone());
        let counters = &self.counters;
        counters.checkpoint_applied.store(checkpoint.applied, Ordering::Relaxed);
        counters.checkpoint_changes.store(changes, Ordering::Relaxed);
        // A size that cannot be read is a figure missing in the status, no reason to stop.
        let bytes = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        counters.checkpoint_bytes.store(bytes, Ordering::Relaxed);
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

fn open_checked(path: &Path) -> Result<Database, CheckpointFileError> {
    let mut database = Database::builder().set_cache_size(CACHE_BYTES).open(path)?;
    if !database.check_integrity()? {
        // Back to an earlier commit at worst; the log tells whether it reaches back that far.
        tracing::warn!(path = %path.display(), "repaired the checkpoint");
    }
    Ok(database)
}

impl CheckpointStore for CheckpointFile {
    fn load(&mut self) -> Result<Option<Checkpoint>, CheckpointError> {
        let read = self.read();
        read.map(Some).map_err(|source| CheckpointError::Load {
            place: self.place(),
            source: Box::new(source),
        })
    }

    fn write(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        // A received snapshot may overtake a checkpoint that was waiting to be written. What
        // the file holds then covers it, and going back would lose the snapshot.
        if self.held.as_ref().is_some_and(|held| held.applied >= checkpoint.applied) {
            return Ok(());
        }
        let committed = self.commit(checkpoint);
        committed.map_err(|source| CheckpointError::Write {
            place: self.place(),
            applied: checkpoint.applied,
            source: Box::new(source),
        })
    }
}

impl Header {
    fn new(cluster: ClusterId, member: MemberId, checkpoint: &Checkpoint) -> Self {
        let Membership { voters, outgoing, learners, removed } = &checkpoint.membership;
        Self {
            format: if checkpoint.membership.is_joint() { FORMAT_JOINT } else { FORMAT_PLAIN },
            cluster: cluster.0.to_be_bytes().to_vec(),
            member: member.0,
            applied: checkpoint.applied,
            term: checkpoint.term,
            voters: voters.iter().map(|id| id.0).collect(),
            learners: learners.iter().map(|id| id.0).collect(),
            removed: removed.iter().map(|id| id.0).collect(),
            outgoing: outgoing.iter().map(|id| id.0).collect(),
        }
    }

    fn checkpoint(&self, state: State) -> Checkpoint {
        let set = |ids: &[u64]| ids.iter().copied().map(MemberId).collect();
        Checkpoint {
            applied: self.applied,
            term: self.term,
            membership: Membership {
                voters: set(&self.voters),
                outgoing: set(&self.outgoing),
                learners: set(&self.learners),
                removed: set(&self.removed),
            },
            state,
        }
    }
}

#[cfg(test)]
mod tests;
