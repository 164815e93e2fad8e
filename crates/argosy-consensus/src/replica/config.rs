//! How a replica is set up, and the limits it keeps.

use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::entry::LogEntry;
use crate::membership::MemberId;
use crate::wal::HardState;

/// How often the shell sends `Tick`: etcd's default heartbeat interval.
pub const TICK: Duration = Duration::from_millis(100);

/// Ticks between two heartbeats of a leader.
pub const HEARTBEAT_TICKS: usize = 1;

/// Ticks without a leader before an election, at least; at most one less than twice this.
/// With [`TICK`] it is etcd's default of one second.
pub const ELECTION_TICKS: usize = 10;

/// How long a read waits before it is asked anew under a new context, as etcd does.
pub const READ_RETRY: Duration = Duration::from_millis(500);

/// The largest encoded command. etcd's default request limit is 1.5 MiB; internal
/// transactions over both spaces may be larger.
pub const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024;

/// The largest append message: big enough to fill a fast link at LAN round trips, small
/// enough that a lost one is cheap. (0 would mean one entry a message.)
pub(crate) const MAX_APPEND_BYTES: u64 = 1024 * 1024;

/// Append messages on their way to one follower: with the size above, at most 64 MiB.
pub(crate) const MAX_APPENDS_IN_FLIGHT: usize = 64;

/// Bytes of entries a leader holds without a quorum before it refuses proposals.
pub(crate) const MAX_UNCOMMITTED_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of committed entries applied in one round, so that a restart with a long log
/// (or the library's scan of it before an election) never holds all of it at once.
pub(crate) const MAX_COMMITTED_BYTES_PER_ROUND: u64 = 8 * 1024 * 1024;

/// Proposals of this member without an answer; etcd refuses at a gap of 5,000 between
/// commit and apply for the same reason: past it, waiting longer only adds latency.
pub(crate) const MAX_PENDING_PROPOSALS: usize = 5_000;

/// Reads of this member without an answer. They share barriers, so many more than proposals.
pub(crate) const MAX_PENDING_READS: usize = 100_000;

/// Bytes kept in memory below the last checkpoint, however few entries they are.
pub(crate) const KEEP_BYTES: usize = 32 * 1024 * 1024;

/// How a replica is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which member this is. Never 0.
    pub member_id: MemberId,
    /// Sets the election timeouts, together with member, term and role.
    pub seed: u64,
    /// The number of this run: differs from all earlier ones of this member (random, or
    /// counted). Read contexts and proposals carry it.
    pub incarnation: u64,
    /// When a request without an answer fails; etcd: 5 s and two election timeouts.
    pub request_deadline: Duration,
    /// Entries applied after a checkpoint before the next one starts.
    pub checkpoint_entries: u64,
    /// Bytes of entries applied after a checkpoint before the next one starts.
    pub checkpoint_bytes: usize,
    /// Entries kept in memory below the last checkpoint, so that a follower that was away for
    /// a moment catches up from the log instead of a snapshot.
    pub keep_entries: u64,
}

impl Config {
    /// Returns the default for a member in its given run.
    pub fn new(member_id: MemberId, seed: u64, incarnation: u64) -> Self {
        Self {
            member_id,
            seed,
            incarnation,
            request_deadline: Duration::from_secs(7),
            // Replaying this many small entries takes well under a second.
            checkpoint_entries: 50_000,
            checkpoint_bytes: 64 * 1024 * 1024,
            // As many as etcd (`SnapshotCatchUpEntries`).
            keep_entries: 5_000,
        }
    }
}

/// What is left on the disk of the earlier run: the checkpoint and the log after it.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The last durable checkpoint.
    pub checkpoint: Checkpoint,
    /// The last durable vote.
    pub hard_state: HardState,
    /// The entries after the checkpoint, without gaps.
    pub entries: Vec<LogEntry>,
}

/// A replica cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The library refuses.
    #[error("the consensus library refuses member {member}")]
    Library {
        /// The member.
        member: MemberId,
        /// Why.
        #[source]
        source: raft::Error,
    },
    /// What was recovered does not fit together.
    #[error("member {member} recovered a commit index {commit} outside its log, {first} to {last}")]
    CommitOutsideLog {
        /// The member.
        member: MemberId,
        /// The commit index.
        commit: u64,
        /// The index of the checkpoint.
        first: u64,
        /// The last index of the log.
        last: u64,
    },
}

impl Config {
    /// Returns the library's settings. Its defaults are those of a toy: no pre-vote, no
    /// quorum check, one entry a message, no limit to what is not committed.
    pub(super) fn library(&self, applied: u64) -> raft::Config {
        raft::Config {
            id: self.member_id.0,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: MAX_APPEND_BYTES,
            max_inflight_msgs: MAX_APPENDS_IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            read_only_option: raft::ReadOnlyOption::Safe,
            skip_bcast_commit: false,
            batch_append: true,
            max_uncommitted_size: MAX_UNCOMMITTED_BYTES,
            max_committed_size_per_ready: MAX_COMMITTED_BYTES_PER_ROUND,
            ..raft::Config::default()
        }
    }
}
