//! What a membership entry holds: a change, or the end of a joint one, in the library's form.
//!
//! A change of one member is the library's first form, as it always was. Only what goes through a
//! joint membership, and its end, is the second form. No bytes are both: the first form always has
//! a member as a number in field 3, where the second has a string, and a number or nothing in
//! field 2, where the second has messages. So a version that knows only the first form stops at
//! the entry that begins a joint membership, and never misreads it.

use protobuf::{Message as _, ProtobufError};
use raft::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2,
};

use super::{MemberChange, MemberChangeRefused, MemberId, Membership};

/// What one membership entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MembershipStep {
    /// Make this change, or enter the joint membership that leads to it.
    Change(MemberChange),
    /// Leave the joint membership.
    LeaveJoint,
}

/// The bytes of a membership entry mean nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MembershipStepError {
    /// They are of neither form.
    #[error("the change is damaged: {0}")]
    Damaged(#[source] ProtobufError),
    /// They ask for what this version never asks for.
    #[error("the change is of an unknown kind")]
    Unknown,
}

/// Tells whether the bytes of a membership entry are of the library's second form.
pub(crate) fn is_joint_form(data: &[u8]) -> bool {
    ConfChangeV2::parse_from_bytes(data).is_ok()
}

impl MembershipStep {
    /// Reads the bytes of a membership entry.
    pub(crate) fn decode(data: &[u8]) -> Result<Self, MembershipStepError> {
        if let Ok(joint) = ConfChangeV2::parse_from_bytes(data) {
            return Self::of_joint(&joint);
        }
        let change = ConfChange::parse_from_bytes(data).map_err(MembershipStepError::Damaged)?;
        let id = MemberId(change.node_id);
        Ok(Self::Change(match change.get_change_type() {
            ConfChangeType::AddLearnerNode => MemberChange::AddLearner(id),
            ConfChangeType::AddNode => MemberChange::promote(id),
            ConfChangeType::RemoveNode => MemberChange::Remove(id),
        }))
    }

    fn of_joint(joint: &ConfChangeV2) -> Result<Self, MembershipStepError> {
        if joint.leave_joint() {
            return Ok(Self::LeaveJoint);
        }
        let promotes =
            |single: &ConfChangeSingle| single.get_change_type() == ConfChangeType::AddNode;
        let explicit = joint.get_transition() == ConfChangeTransition::Explicit;
        if !explicit || joint.changes.len() < 2 || !joint.changes.iter().all(promotes) {
            return Err(MembershipStepError::Unknown);
        }
        let ids = joint.changes.iter().map(|single| MemberId(single.node_id)).collect();
        Ok(Self::Change(MemberChange::Promote(ids)))
    }

    /// Applies it to the membership it was decided for.
    pub(crate) fn apply(&self, membership: &mut Membership) -> Result<(), MemberChangeRefused> {
        match self {
            Self::Change(change) => membership.apply(change),
            Self::LeaveJoint => {
                membership.leave_joint();
                Ok(())
            }
        }
    }

    /// Returns it in the library's first form, if it has one.
    pub(crate) fn to_simple(&self) -> Option<ConfChange> {
        let (kind, id) = match self {
            Self::Change(MemberChange::AddLearner(id)) => (ConfChangeType::AddLearnerNode, id),
            Self::Change(MemberChange::Remove(id)) => (ConfChangeType::RemoveNode, id),
            Self::Change(MemberChange::Promote(ids)) if ids.len() == 1 => {
                (ConfChangeType::AddNode, ids.first()?)
            }
            Self::Change(MemberChange::Promote(_)) | Self::LeaveJoint => return None,
        };
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = id.0;
        Some(change)
    }

    /// Returns it in the library's second form.
    pub(crate) fn to_joint(&self) -> ConfChangeV2 {
        let mut joint = ConfChangeV2::default();
        if let Self::Change(MemberChange::Promote(ids)) = self {
            joint.set_transition(ConfChangeTransition::Explicit);
            let promote = |id: &MemberId| {
                let mut single = ConfChangeSingle { node_id: id.0, ..Default::default() };
                single.set_change_type(ConfChangeType::AddNode);
                single
            };
            joint.changes = ids.iter().map(promote).collect::<Vec<_>>().into();
        }
        joint
    }
}
