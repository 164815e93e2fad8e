//! Executes consensus on real disks and threads, and hands out the store.
//!
//! A [`Store`] runs five threads: one steps raft, one writes and syncs the log, one writes
//! checkpoints, one tells watchers, one prepares log segments. A member that is not alone has
//! a sixth, for the links to the others. Everybody else holds a [`StoreHandle`].
//!
//! Each member connects to each other one through a [`Dial`] that its owner gives; the owner
//! also accepts connections and hands them to [`StoreHandle::serve_raft`] and
//! [`StoreHandle::serve_snapshot`].

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
mod links;
mod log;
mod raft;
mod serve;
mod spare;
mod status;
mod store;
mod watch;

pub use argosy_consensus::{MemberChangeRefused, MemberId, Membership, ReplicaStatus, Role};
pub use checkpoint::CheckpointFileError;
pub use config::{
    CHECKPOINT_BYTES, CHECKPOINT_ENTRIES, KEEP_ENTRIES, SEGMENT_BYTES, StoreConfig, TICK,
    WATCH_PROGRESS_INTERVAL,
};
pub use error::{OpenError, StoreError, WatchCreateError};
pub use fatal::leave_last_words;
pub use handle::{COMMAND_BYTES_MAX, PENDING_REQUESTS_MAX, PROMOTION_LAG_MAX, StoreHandle};
pub use links::{
    Dial, Dialing, LinkRefusal, LinkState, LinkStatus, PeerIo, PeerStream, Purpose,
    SnapshotProgress,
};
pub use serve::ServeError;
pub use status::{CheckpointStatus, Leadership, RecoveryStatus, StoreStatus, WalStatus};
pub use store::Store;
pub use watch::{WATCH_DELIVERIES_MAX, WATCH_REVISIONS_MAX, WatchDelivery, WatchStream};
