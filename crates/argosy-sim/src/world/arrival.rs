//! What can reach a member.

use argosy_consensus::{Input, PeerMessage};
use bytes::Bytes;

/// What can reach a member.
#[derive(Debug, Clone)]
pub(super) enum Arrival {
    /// For the replica as it is.
    Input(Input),
    /// A snapshot as it travels.
    Snapshot { message: PeerMessage, state: Bytes },
    /// A client's request.
    Request(usize),
    /// Its own disk's report, held back while it was stopped.
    DiskDone,
}
