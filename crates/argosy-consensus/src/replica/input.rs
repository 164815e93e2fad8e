//! What a replica is told.

use argosy_kv::{Command, State};

use crate::membership::{MemberChange, MemberId};
use crate::message::PeerMessage;

/// One request of the shell, unique within one run of a replica; the shell counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Everything that can happen to a replica. The enum is the whole list.
#[derive(Debug, Clone)]
pub enum Input {
    /// [`super::TICK`] has passed.
    Tick,
    /// A message of another member arrived. Snapshots arrive as [`Input::SnapshotReceived`].
    Peer(PeerMessage),
    /// Replicate a command. Answered by exactly one `Applied` or `Failed` with the request.
    Propose {
        /// The request.
        request: RequestId,
        /// What to do.
        command: Command,
    },
    /// Ask for a linearizable read. Answered by exactly one `ReadReady` or `Failed`.
    ReadIndex {
        /// The request.
        request: RequestId,
    },
    /// Change the membership. Answered by exactly one `MembershipChanged` or `Failed`.
    ProposeMember {
        /// The request.
        request: RequestId,
        /// The change.
        change: MemberChange,
    },
    /// Everything up to the `Persist` or `InstallSnapshot` of this number is on the disk.
    Persisted {
        /// The number of the effect.
        sequence: u64,
    },
    /// The checkpoint of this index is on the disk.
    CheckpointWritten {
        /// Its index.
        applied: u64,
    },
    /// A whole state arrived, with the message that announced it.
    SnapshotReceived {
        /// The message, of kind `Snapshot`.
        message: PeerMessage,
        /// The decoded state.
        state: State,
    },
    /// A message to this member could not be delivered.
    Unreachable {
        /// The member.
        peer: MemberId,
    },
    /// The transfer asked for by `SendSnapshot` has ended. Must follow each of them, or the
    /// peer receives nothing ever again.
    SnapshotSent {
        /// The receiver.
        peer: MemberId,
        /// Whether it has received all of it.
        ok: bool,
    },
    /// Hand leadership to this member, if this one leads.
    TransferLeader {
        /// The next leader.
        to: MemberId,
    },
}
