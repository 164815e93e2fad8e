//! A segment file: its name and its header.

use argosy_model::ClusterId;

use super::{HardState, WalError};
use crate::membership::MemberId;

/// The format number of segments and frames.
pub const FORMAT: u32 = 1;

/// The size of a segment: large enough that a new one (two directory syncs) is rare, small
/// enough that space comes back soon after a checkpoint.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Whose log it is. Written into each segment, so that a file of another member is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member.
    pub member: MemberId,
}
