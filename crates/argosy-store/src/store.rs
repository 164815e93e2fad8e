//! An open store: recovered, its threads running, until it is shut down.

mod threads;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use argosy_consensus::wal::{Identity, RecoverOptions, RecoveredLog, Writer, recover};
use argosy_consensus::{Checkpoint, Config, Membership, Recovered, Replica};
use argosy_kv::State;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::{Semaphore, watch};

use crate::checkpoint::{CheckpointFile, CheckpointFileError};
use crate::clock::boottime;
use crate::directory::Directory;
use crate::disk::RealDisk;
use crate::handle::{PENDING_REQUESTS_MAX, Shared};
use crate::links::Dial;
use crate::raft::{Outlets, RaftThread};
use crate::serve::INBOUND_BYTES_MAX;
use crate::spare::Spare;
use crate::status::{Counters, Leadership, RecoveryStatus};
use crate::watch::WatchThread;
use crate::{OpenError, StoreConfig, StoreHandle};

use threads::{LogParts, Threads};

/// A running member. [`Store::shutdown`] or dropping it ends its threads.
pub struct Store {
    handle: StoreHandle,
    /// Dropped first of the two, which ends them.
    _threads: Threads,
    /// Dropped last, so that the lock is held until every thread has ended.
    _directory: Directory,
}

/// What is on the disk, read and checked.
struct Opened {
    directory: Directory,
    counters: Arc<Counters>,
    file: CheckpointFile,
    checkpoint: Checkpoint,
    spare: Arc<Spare>,
    log: RecoveredLog<RealDisk>,
}

impl Store {
    /// Makes a new, empty store whose only voter is this member.
    ///
    /// # Errors
    /// When the directory holds a store already, is in use, or cannot be written. A failed
    /// attempt can be repeated.
    pub fn initialise(config: &StoreConfig) -> Result<(), OpenError> {
        Self::make(config, &Checkpoint::initial(Membership::of_voters([config.member_id])))
    }

    /// Makes the store of a member that joins a cluster. It knows nothing, not even that it
    /// is a member: opened with [`Store::open_with_peers`], it waits for the leader, who sends
    /// it the whole state once [`StoreHandle::add_learner`] was asked for.
    ///
    /// # Errors
    /// As [`Store::initialise`].
    pub fn join(config: &StoreConfig) -> Result<(), OpenError> {
        let (membership, state) = (Membership::default(), State::new());
        Self::make(config, &Checkpoint { applied: 0, term: 0, membership, state })
    }

    fn make(config: &StoreConfig, checkpoint: &Checkpoint) -> Result<(), OpenError> {
        let directory = Directory::create(&config.dir)?;
        let (folder, wal_path) = directory.begin_wal()?;
        let path = directory.checkpoint_path();
        CheckpointFile::create(&path, config.cluster_id, config.member_id, checkpoint)
            .map_err(|source| checkpoint_error("create", config, &directory, source))?;
        let disk = RealDisk::new(folder, wal_path.clone(), Arc::default());
        Writer::create(disk, identity(config), config.segment_bytes)
            .map_err(|source| OpenError::log(&wal_path, source))?;
        directory.finish_wal()
    }

    /// Opens the store of a member that is alone: loads the checkpoint, replays the log after
    /// it, starts the threads.
    ///
    /// # Errors
    /// Each [`OpenError`] says what is wrong with which file, and what to do next.
    pub fn open(config: StoreConfig) -> Result<Store, OpenError> {
        Self::open_store(config, None)
    }

    /// Opens a store as [`Store::open`] does, and connects to the other members through
    /// `dial`. The caller accepts their connections and hands them to
    /// [`StoreHandle::serve_raft`] and [`StoreHandle::serve_snapshot`].
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with_peers(config: StoreConfig, dial: Arc<dyn Dial>) -> Result<Store, OpenError> {
        Self::open_store(config, Some(dial))
    }

    fn open_store(config: StoreConfig, dial: Option<Arc<dyn Dial>>) -> Result<Store, OpenError> {
        let directory = Directory::open(&config.dir)?;
        let (folder, wal_path) = directory.wal()?;
        let counters = Arc::new(Counters::default());
        let path = directory.checkpoint_path();
        let failed = |source| checkpoint_error("read", &config, &directory, source);
        let (cluster, member) = (config.cluster_id, config.member_id);
        let mut file =
            CheckpointFile::open(&path, cluster, member, Arc::clone(&counters)).map_err(failed)?;
        let checkpoint = file.read().map_err(failed)?;

        let spare = Arc::new(Spare::new(directory.descriptor()?, config.segment_bytes));
        let disk = RealDisk::new(folder, wal_path.clone(), Arc::clone(&counters))
            .with_spare(Arc::clone(&spare));
        let options = RecoverOptions {
            identity: identity(&config),
            checkpoint_index: checkpoint.applied,
            checkpoint_term: checkpoint.term,
            segment_bytes: config.segment_bytes,
        };
        let log = recover(disk, &options).map_err(|source| OpenError::log(&wal_path, source))?;
        Self::start(&config, dial, Opened { directory, counters, file, checkpoint, spare, log })
    }

    fn start(
        config: &StoreConfig,
        dial: Option<Arc<dyn Dial>>,
        opened: Opened,
    ) -> Result<Store, OpenError> {
        let Opened { directory, counters, file, checkpoint, spare, log } = opened;
        let recovery = RecoveryStatus {
            checkpoint: checkpoint.applied,
            segments: log.segments_read as u64,
            bytes: log.bytes_read,
            entries: log.entries.len() as u64,
        };
        if log.torn_bytes > 0 {
            // Expected after a power cut: nobody was ever told that it was written.
            tracing::warn!(
                bytes = log.torn_bytes,
                "dropped an unfinished write from the log's end"
            );
        }
        tracing::info!(
            dir = %config.dir.display(), member = %config.member_id,
            checkpoint = recovery.checkpoint, entries = recovery.entries, "opened the store"
        );
        let RecoveredLog { hard_state, entries, writer, .. } = log;
        let state = checkpoint.state.clone();
        let recovered = Recovered { checkpoint, hard_state, entries };
        let replica = Replica::new(replica_config(config), recovered, boottime())
            .map_err(|source| OpenError::Recovered { path: config.dir.clone(), source })?;

        let mut threads = Threads::new(spare);
        let links = match dial {
            None => None,
            Some(dial) => Some(threads.prepare_links(config, dial)?),
        };
        let (leadership, leadership_seen) = watch::channel(Leadership::default());
        let (applied, applied_seen) = watch::channel(state.applied_index());
        let shared = Arc::new(Shared {
            cluster_id: config.cluster_id,
            member_id: config.member_id,
            requests: Arc::clone(&threads.requests),
            permits: Arc::new(Semaphore::new(PENDING_REQUESTS_MAX)),
            view: ArcSwap::from_pointee(state.clone()),
            replica: ArcSwap::from_pointee(replica.status()),
            term: AtomicU64::new(replica.term()),
            leadership: leadership_seen,
            applied: applied_seen,
            watches: Arc::clone(&threads.watches),
            counters: Arc::clone(&counters),
            recovery,
            tick: config.tick,
            links,
            inbound: Arc::new(Semaphore::new(INBOUND_BYTES_MAX)),
            snapshot_place: Semaphore::new(1),
            closed: threads.closed.subscribe(),
        });
        let outlets = Outlets {
            log: Arc::clone(&threads.log),
            checkpoints: Arc::clone(&threads.checkpoints),
            leadership,
            applied,
        };
        let raft = RaftThread::new(replica, Arc::clone(&shared), outlets, config.tick);
        let interval = config.watch_progress_interval;
        let watches = WatchThread::new(&state, Arc::clone(&threads.watches), interval);
        threads.start(raft, watches, LogParts { writer, file, counters })?;
        Ok(Store { handle: StoreHandle::new(shared), _threads: threads, _directory: directory })
    }

    /// Returns the store's face. It may be cloned and kept longer than the store.
    pub fn handle(&self) -> StoreHandle {
        self.handle.clone()
    }

    /// Ends the store: takes no more requests, tells those that wait
    /// [`crate::StoreError::Closed`], syncs what the log was given, and frees the directory.
    /// Blocks until that is done, which is at most a few syncs of the disk.
    pub fn shutdown(self) {
        drop(self);
    }
}

fn identity(config: &StoreConfig) -> Identity {
    Identity { cluster: config.cluster_id, member: config.member_id }
}

fn replica_config(config: &StoreConfig) -> Config {
    Config {
        checkpoint_entries: config.checkpoint_entries,
        keep_entries: config.keep_entries,
        // More than the address space holds is never reached anyway.
        checkpoint_bytes: usize::try_from(config.checkpoint_bytes).unwrap_or(usize::MAX),
        ..Config::new(config.member_id, random(), random())
    }
}

/// Returns a random number (getrandom(2)): no two runs of a member may share theirs.
fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .expect("up to 256 bytes never fail and never come short once the kernel has seeded");
    u64::from_le_bytes(bytes)
}

fn checkpoint_error(
    operation: &'static str,
    config: &StoreConfig,
    directory: &Directory,
    source: CheckpointFileError,
) -> OpenError {
    let path = directory.checkpoint_path();
    match source {
        CheckpointFileError::Foreign { cluster, .. } if cluster != config.cluster_id => {
            OpenError::ForeignCluster { path, found: cluster, expected: config.cluster_id }
        }
        CheckpointFileError::Foreign { member, .. } => {
            OpenError::ForeignMember { path, found: member, expected: config.member_id }
        }
        source => OpenError::Checkpoint { operation, path, source },
    }
}
