//! Tests of the log, with a disk in memory.

mod cuts;
mod memory_disk;
mod recovery;
mod writing;

use argosy_model::ClusterId;
use bytes::Bytes;

use self::memory_disk::MemoryDisk;
use super::*;
use crate::entry::{EntryKind, LogEntry};
use crate::membership::MemberId;

const IDENTITY: Identity = Identity { cluster: ClusterId(7), member: MemberId(1) };

/// Small, so that a few entries fill a segment.
const SMALL: u64 = 512;

fn entry(index: u64, term: u64) -> Record {
    Record::Entry(LogEntry {
        index,
        term,
        kind: EntryKind::Command.into(),
        data: Bytes::from(format!("data of {index} in term {term}")),
        origin: Bytes::new(),
    })
}

fn vote(term: u64, commit: u64) -> Record {
    Record::HardState(HardState { term, vote: 1, commit })
}

fn create() -> Writer<MemoryDisk> {
    Writer::create(MemoryDisk::default(), IDENTITY, SMALL).unwrap()
}

fn group(writer: &mut Writer<MemoryDisk>, records: &[Record]) {
    writer.append(records);
    writer.write().unwrap();
    writer.sync().unwrap();
}

/// The checkpoint of a new store.
fn options() -> RecoverOptions {
    options_at(1, 1)
}

fn options_at(checkpoint_index: u64, checkpoint_term: u64) -> RecoverOptions {
    RecoverOptions {
        identity: IDENTITY,
        checkpoint_index,
        checkpoint_term,
        segment_bytes: SMALL,
        #[cfg(feature = "planted-bugs")]
        planted: None,
    }
}

fn indices(log: &RecoveredLog<MemoryDisk>) -> Vec<u64> {
    log.entries.iter().map(|entry| entry.index).collect()
}
