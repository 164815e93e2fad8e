//! Commands: what the replicated log carries.

mod convert;
mod wire;

use std::fmt;

use argosy_model::UnixMicros;
use bytes::Bytes;
use prost::Message;

use crate::{LeaseId, Revision, SpaceId, Txn, v2};

/// The format number of encoded commands.
pub const COMMAND_FORMAT: u32 = 1;

/// What every member of the cluster is known to understand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterVersion {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl fmt::Display for ClusterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// When it was proposed. For display only.
    pub proposed_at: UnixMicros,
    /// What to do.
    pub kind: CommandKind,
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandKind {
    /// A transaction; a put or delete is one of a single step.
    Txn(Txn),
    /// Forget what happened before `revision`.
    Compact {
        /// The space.
        space: SpaceId,
        /// The oldest revision that stays readable.
        revision: Revision,
    },
    /// A new lease.
    LeaseGrant {
        /// Its id; 0 has one chosen.
        id: LeaseId,
        /// The time to live asked for, in seconds.
        ttl_seconds: i64,
        /// Whether it may be shorter than [`crate::LEASE_TTL_MIN_SECONDS`] (v2 TTLs).
        minimum_exempt: bool,
    },
    /// The end of leases: each takes its keys along in one revision of its own.
    LeaseRevoke {
        /// The leases. When not expired, a missing one refuses the command.
        ids: Vec<LeaseId>,
        /// Whether they ran out (missing ones are then passed over).
        expired: bool,
    },
    /// What is left of a lease, so that a new leader does not give it its full time again.
    LeaseCheckpoint {
        /// The lease.
        id: LeaseId,
        /// What is left, in seconds; 0 means the full time.
        remaining_seconds: i64,
    },
    /// Raises the cluster version.
    SetClusterVersion(ClusterVersion),
    /// A write of the v2 API (and of v1).
    V2(v2::Write),
}

/// Bytes are not a command this version understands.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not the encoding at all.
    #[error("these bytes are not a command")]
    Malformed(#[source] prost::DecodeError),
    /// Written by a newer version.
    #[error("the command has format {format}; this version reads up to {COMMAND_FORMAT}")]
    UnknownFormat {
        /// The format number found.
        format: u32,
    },
    /// A field has a value that this version does not know, or lacks one.
    #[error("the command's {field} is missing or unknown")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// Transactions nested deeper than any client can send.
    #[error("the command nests transactions too deeply")]
    TooDeep,
}

impl Command {
    /// Encodes it for the log.
    pub fn encode(&self) -> Bytes {
        convert::command_to_wire(self).encode_to_vec().into()
    }

    /// Decodes what [`Command::encode`] made. Keys and values are copied out, so that they do
    /// not hold the log entry in memory.
    pub fn decode(bytes: &[u8]) -> Result<Command, DecodeError> {
        let wire = wire::Command::decode(bytes).map_err(DecodeError::Malformed)?;
        if wire.format != COMMAND_FORMAT {
            return Err(DecodeError::UnknownFormat { format: wire.format });
        }
        convert::command_from_wire(wire)
    }
}

#[cfg(test)]
mod tests;
