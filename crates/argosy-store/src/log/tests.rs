//! The log thread against disks that count and disks that fail.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argosy_consensus::wal::{Disk, DiskError, DiskOperation, HardState, Identity, Record, Writer};
use argosy_consensus::{
    Checkpoint, CheckpointError, CheckpointStore, EntryKind, LogEntry, MemberId,
};
use argosy_model::ClusterId;
use bytes::Bytes;

use super::{LogJob, LogThread, WAITING_GROUPS_MAX};
use crate::disk::RealDisk;
use crate::inbox::Inbox;
use crate::raft::Request;

const FAILING_DIR: &str = "ARGOSY_STORE_FAILING_DIR";

/// A real disk whose syncs are counted and fail from a given one on.
#[derive(Debug)]
struct CountingDisk {
    disk: RealDisk,
    syncs: Arc<AtomicU64>,
    fail_from: u64,
}

impl CountingDisk {
    fn new(path: &Path, syncs: &Arc<AtomicU64>, fail_from: u64) -> Self {
        let folder = File::open(path).unwrap().into();
        let disk = RealDisk::new(folder, path.to_owned(), Arc::default());
        Self { disk, syncs: Arc::clone(syncs), fail_from }
    }
}

impl Disk for CountingDisk {
    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.disk.list()
    }
    fn read(&self, name: &str) -> Result<Bytes, DiskError> {
        self.disk.read(name)
    }
    fn create(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        self.disk.create(name, length)
    }
    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.disk.write_at(name, offset, data)
    }
    fn sync_data(&mut self, name: &str) -> Result<(), DiskError> {
        if self.syncs.fetch_add(1, Ordering::SeqCst) >= self.fail_from {
            let source = std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());
            return Err(DiskError {
                operation: DiskOperation::Sync,
                name: name.to_owned(),
                source,
            });
        }
        self.disk.sync_data(name)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }
    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.disk.remove(name)
    }
    fn sync_dir(&mut self) -> Result<(), DiskError> {
        self.disk.sync_dir()
    }
}

/// Remembers at which count of syncs it was written.
struct Witness {
    syncs: Arc<AtomicU64>,
    written_at: Option<u64>,
}

impl CheckpointStore for Witness {
    fn load(&mut self) -> Result<Option<Checkpoint>, CheckpointError> {
        Ok(None)
    }
    fn write(&mut self, _: &Checkpoint) -> Result<(), CheckpointError> {
        self.written_at = Some(self.syncs.load(Ordering::SeqCst));
        Ok(())
    }
}

fn entry(index: u64) -> Record {
    Record::Entry(LogEntry {
        index,
        term: 1,
        kind: EntryKind::Command.into(),
        data: Bytes::from_static(b"command"),
        origin: Bytes::new(),
    })
}

struct Bench {
    thread: LogThread<CountingDisk, Witness>,
    jobs: Arc<Inbox<LogJob>>,
    reports: Arc<Inbox<Request>>,
    syncs: Arc<AtomicU64>,
}

fn bench(path: &Path, fail_after: u64) -> Bench {
    let syncs = Arc::new(AtomicU64::new(0));
    let identity = Identity { cluster: ClusterId(1), member: MemberId(1) };
    let disk = CountingDisk::new(path, &syncs, u64::MAX);
    drop(Writer::create(disk, identity, 1 << 20).unwrap());
    let begun = syncs.load(Ordering::SeqCst);
    let disk = CountingDisk::new(path, &syncs, begun.saturating_add(fail_after));
    let options = argosy_consensus::wal::RecoverOptions {
        identity,
        checkpoint_index: 1,
        checkpoint_term: 1,
        segment_bytes: 1 << 20,
    };
    let writer = argosy_consensus::wal::recover(disk, &options).unwrap().writer;
    let (jobs, reports) =
        (Arc::new(Inbox::new(WAITING_GROUPS_MAX)), Arc::new(Inbox::new(usize::MAX)));
    let witness = Witness { syncs: Arc::clone(&syncs), written_at: None };
    let thread = LogThread {
        writer,
        checkpoint: Arc::new(Mutex::new(witness)),
        jobs: Arc::clone(&jobs),
        raft: Arc::clone(&reports),
        counters: Arc::default(),
    };
    Bench { thread, jobs, reports, syncs }
}

fn persisted(reports: &Inbox<Request>) -> Vec<u64> {
    let mut batch = Vec::new();
    reports.drain(&mut batch, Duration::ZERO);
    let sequence = |request| match request {
        Request::Persisted { sequence } => sequence,
        other => panic!("{other:?}"),
    };
    batch.into_iter().map(sequence).collect()
}

#[test]
fn everything_that_waits_shares_one_sync() {
    let home = tempfile::tempdir().unwrap();
    let Bench { thread, jobs, reports, syncs } = bench(home.path(), u64::MAX);
    let before = syncs.load(Ordering::SeqCst);
    for sequence in 1..=100 {
        jobs.send(LogJob::Write { sequence, records: vec![entry(sequence + 1)] }).unwrap();
    }
    jobs.close();
    thread.run();
    assert_eq!(syncs.load(Ordering::SeqCst) - before, 1);
    assert_eq!(persisted(&reports), [100]);
}

#[test]
fn a_received_snapshot_is_durable_after_earlier_groups_and_before_its_records() {
    let home = tempfile::tempdir().unwrap();
    let Bench { thread, jobs, reports, syncs } = bench(home.path(), u64::MAX);
    let before = syncs.load(Ordering::SeqCst);
    let checkpoint = Box::new(Checkpoint::initial(argosy_consensus::Membership::default()));
    let records = vec![Record::HardState(HardState { term: 2, vote: 0, commit: 0 })];
    jobs.send(LogJob::Write { sequence: 1, records: vec![entry(2)] }).unwrap();
    jobs.send(LogJob::Install { sequence: 2, checkpoint, records }).unwrap();
    jobs.close();
    let witness = Arc::clone(&thread.checkpoint);
    thread.run();
    assert_eq!(witness.lock().unwrap().written_at, Some(before + 1));
    assert_eq!(syncs.load(Ordering::SeqCst), before + 2);
    assert_eq!(persisted(&reports), [1, 2]);
}

/// The process that must die.
#[test]
#[ignore = "runs only as the child of the test below"]
fn log_on_a_failing_disk() {
    let Some(dir) = std::env::var_os(FAILING_DIR) else { return };
    let Bench { thread, jobs, reports, .. } = bench(Path::new(&dir), 1);
    jobs.send(LogJob::Write { sequence: 1, records: vec![entry(2)] }).unwrap();
    let running = std::thread::spawn(move || thread.run());
    let mut batch = Vec::new();
    assert!(reports.wait(&mut batch));
    println!("first group reported");
    jobs.send(LogJob::Write { sequence: 2, records: vec![entry(3)] }).unwrap();
    jobs.close();
    running.join().unwrap();
    println!("survived");
}

#[test]
fn a_failed_sync_ends_the_process_with_one_line_and_is_never_reported() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::tests::log_on_a_failing_disk", "--ignored", "--nocapture"])
        .env(FAILING_DIR, home.path())
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("first group reported"), "{out}{err}");
    assert!(!out.contains("survived"), "{out}{err}");
    assert_eq!(output.status.signal(), Some(rustix::process::Signal::ABORT.as_raw()), "{err}");
    let lines: Vec<_> = err.lines().filter(|line| line.starts_with("argosy: fatal: ")).collect();
    assert_eq!(lines.len(), 1, "{err}");
    assert!(lines[0].contains("the log cannot be synced"), "{err}");
    assert!(lines[0].contains("Input/output error"), "{err}");
}
