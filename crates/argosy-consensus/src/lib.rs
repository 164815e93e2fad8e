//! Raft stepped by hand: log, write-ahead log, recovery, snapshots, membership.
//!
//! [`Replica`] is the whole replicated store of one member as a synchronous machine: inputs go
//! in through [`Replica::handle`], effects come out of [`Replica::take_effects`] and must be
//! carried out in their order. No threads, no clocks, no files: disk and time are ports.

mod checkpoint;
mod entry;
mod membership;
mod message;
mod planted;
mod replica;
pub mod wal;

pub use checkpoint::{Checkpoint, CheckpointError, CheckpointStore};
pub use entry::{EntryKind, LogEntry, Origin};
pub use membership::{MemberChange, MemberChangeRefused, MemberId, Membership};
pub use message::{MessageKind, PeerMessage, PeerMessageError, SnapshotPoint};
pub use replica::{
    Config, ConfigError, ELECTION_TICKS, Effect, FatalError, HEARTBEAT_TICKS, Input,
    MAX_COMMAND_BYTES, READ_RETRY, Recovered, Replica, ReplicaStatus, RequestId, Role, TICK,
    WhyFailed,
};
