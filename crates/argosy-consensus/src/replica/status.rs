//! What a replica says about itself.

use crate::membership::{MemberId, Membership};

/// What a member is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// A replica at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Which member it is.
    pub member_id: MemberId,
    /// What it is.
    pub role: Role,
    /// The term.
    pub term: u64,
    /// Who leads, if known.
    pub leader: Option<MemberId>,
    /// The last index known to be committed.
    pub commit: u64,
    /// The last index applied to the state.
    pub applied: u64,
    /// The last index of the log.
    pub last_index: u64,
    /// The last index known to be on this member's disk.
    pub persisted: u64,
    /// The first index of the log that is still in memory.
    pub first_index: u64,
    /// The index of the last durable checkpoint.
    pub checkpoint: u64,
    /// The members.
    pub membership: Membership,
    /// Proposals of this run without an answer.
    pub pending_proposals: usize,
    /// Reads of this run without an answer.
    pub pending_reads: usize,
}
