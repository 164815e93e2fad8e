//! Executes consensus on real disks and threads, and hands out the store.
//!
//! A [`Store`] runs five threads: one steps raft, one writes and syncs the log, one writes
//! checkpoints, one tells watchers, one prepares log segments. Everybody else holds a
//! [`StoreHandle`].

mod answer;
mod checkpoint;
mod clock;
mod config;
mod directory;
mod disk;
mod error;
mod fatal;
mod handle;
mod inbox;
mod log;
mod raft;
mod spare;
mod status;
mod store;
mod watch;

pub use argosy_consensus::{MemberId, Membership, ReplicaStatus, Role};
pub use checkpoint::CheckpointFileError;
pub use config::{
    CHECKPOINT_BYTES, CHECKPOINT_ENTRIES, SEGMENT_BYTES, StoreConfig, TICK, WATCH_PROGRESS_INTERVAL,
};
pub use error::{OpenError, StoreError, WatchCreateError};
pub use handle::{COMMAND_BYTES_MAX, PENDING_REQUESTS_MAX, StoreHandle};
pub use status::{CheckpointStatus, Leadership, RecoveryStatus, StoreStatus, WalStatus};
pub use store::Store;
pub use watch::{WATCH_DELIVERIES_MAX, WATCH_REVISIONS_MAX, WatchDelivery, WatchStream};
