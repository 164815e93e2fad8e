//! The thread that writes the log: one sync for everything that waits.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use argosy_consensus::wal::{Disk, Record, WalError, Writer};
use argosy_consensus::{Checkpoint, CheckpointStore};

use crate::fatal;
use crate::inbox::Inbox;
use crate::raft::Request;
use crate::status::Counters;

/// Groups that may wait for the disk. The raft thread waits past it: a disk that is this far
/// behind would only pile up latency.
pub(crate) const WAITING_GROUPS_MAX: usize = 1_024;

/// Bytes after which a group is synced although more is waiting, so that the first writers
/// of a flood are not held back by all of it. Half a second of a slow disk.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// What the log thread is asked to do, strictly in order.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// Write the records and sync them, then report the sequence.
    Write { sequence: u64, records: Vec<Record> },
    /// The same, after the checkpoint of a received snapshot is durable.
    Install { sequence: u64, checkpoint: Box<Checkpoint>, records: Vec<Record> },
    /// Remove segments that hold nothing above this index.
    Release { applied: u64 },
}

/// Writes the log of one member.
pub(crate) struct LogThread<D, C> {
    pub(crate) writer: Writer<D>,
    pub(crate) checkpoint: Arc<Mutex<C>>,
    pub(crate) jobs: Arc<Inbox<LogJob>>,
    pub(crate) raft: Arc<Inbox<Request>>,
    pub(crate) counters: Arc<Counters>,
}

impl<D: Disk, C: CheckpointStore> LogThread<D, C> {
    /// Runs until the queue of jobs is closed and empty.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::new();
        while self.jobs.wait(&mut batch) {
            let mut written = None;
            for job in batch.drain(..) {
                self.carry_out(job, &mut written);
            }
            self.flush(&mut written);
        }
    }

    /// `written` is the last sequence in the group that is not yet synced.
    fn carry_out(&mut self, job: LogJob, written: &mut Option<u64>) {
        match job {
            LogJob::Write { sequence, records } => {
                self.append(sequence, &records, written);
                if self.writer.group_bytes() >= GROUP_BYTES_MAX {
                    self.flush(written);
                }
            }
            LogJob::Install { sequence, checkpoint, records } => {
                self.flush(written);
                let mut file = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = file.write(&checkpoint) {
                    fatal::abort("a received snapshot cannot be stored", &error);
                }
                drop(file);
                self.append(sequence, &records, written);
            }
            LogJob::Release { applied } => {
                self.flush(written);
                let released = self.writer.release(applied);
                or_abort(released, "old log segments cannot be removed");
            }
        }
    }

    fn append(&mut self, sequence: u64, records: &[Record], written: &mut Option<u64>) {
        self.writer.append(records);
        *written = Some(sequence);
        let entries = records.iter().filter(|record| matches!(record, Record::Entry(_))).count();
        self.counters.wal_entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    fn flush(&mut self, written: &mut Option<u64>) {
        let Some(sequence) = written.take() else { return };
        or_abort(self.writer.write(), "the log cannot be written");
        or_abort(self.writer.sync(), "the log cannot be synced");
        self.counters.wal_groups.fetch_add(1, Ordering::Relaxed);
        // One report for each group, and groups wait in a bounded queue. A closed inbox means
        // that the raft thread has ended and nobody waits for the report.
        let _ = self.raft.send_reserved(Request::Persisted { sequence });
    }
}

fn or_abort<T>(result: Result<T, WalError>, what: &str) -> T {
    result.unwrap_or_else(|error| fatal::abort(what, &error))
}

#[cfg(test)]
mod tests;
