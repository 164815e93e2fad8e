//! Who votes, who only learns, and who may never come back.

use std::collections::BTreeSet;
use std::fmt;

use raft::eraftpb;

/// A member of the store, for ever: the raft id. Never 0, never used again after removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    /// Sixteen hexadecimal digits without leading zeros, as etcd prints member ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The members as of one log index. Changes come one at a time (raft thesis 4.1), so there
/// is no joint configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Those whose votes and acknowledgements count.
    pub voters: BTreeSet<MemberId>,
    /// Those that receive the log and do not count.
    pub learners: BTreeSet<MemberId>,
    /// Those that were members once. Such an id is refused for ever: the library's progress
    /// of a re-added id goes wrong (raft-rs issue 571), and etcd forbids it as well.
    pub removed: BTreeSet<MemberId>,
}

/// One change of the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// Adds a member that does not vote yet.
    AddLearner(MemberId),
    /// Makes a learner a voter.
    Promote(MemberId),
    /// Removes a voter or learner for ever.
    Remove(MemberId),
}

/// Why a change cannot be applied to a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemberChangeRefused {
    /// The id was a member before.
    #[error("member {0} was removed, its id cannot be used again")]
    WasRemoved(MemberId),
    /// The id is a member already.
    #[error("member {0} exists already")]
    Exists(MemberId),
    /// There is no such learner.
    #[error("member {0} is not a learner")]
    NotLearner(MemberId),
    /// There is no such member.
    #[error("member {0} does not exist")]
    NotMember(MemberId),
    /// It is the only voter.
    #[error("member {0} is the last voter")]
    LastVoter(MemberId),
    /// 0 is no member id.
    #[error("0 is not a member id")]
    Zero,
}

impl MemberChange {
    /// Returns the member that changes.
    pub fn member(self) -> MemberId {
        match self {
            MemberChange::AddLearner(id) | MemberChange::Promote(id) | MemberChange::Remove(id) => {
                id
            }
        }
    }

    pub(crate) fn to_raft(self) -> eraftpb::ConfChange {
        let mut change = eraftpb::ConfChange::default();
        change.set_change_type(match self {
            MemberChange::AddLearner(_) => eraftpb::ConfChangeType::AddLearnerNode,
            MemberChange::Promote(_) => eraftpb::ConfChangeType::AddNode,
            MemberChange::Remove(_) => eraftpb::ConfChangeType::RemoveNode,
        });
        change.node_id = self.member().0;
        change
    }

    pub(crate) fn from_raft(change: &eraftpb::ConfChange) -> Self {
        let id = MemberId(change.node_id);
        match change.get_change_type() {
            eraftpb::ConfChangeType::AddLearnerNode => MemberChange::AddLearner(id),
            eraftpb::ConfChangeType::AddNode => MemberChange::Promote(id),
            eraftpb::ConfChangeType::RemoveNode => MemberChange::Remove(id),
        }
    }
}

impl Membership {
    /// Returns a membership of voters only.
    pub fn of_voters(voters: impl IntoIterator<Item = MemberId>) -> Self {
        Self { voters: voters.into_iter().collect(), ..Self::default() }
    }

    /// Applies a change.
    ///
    /// # Errors
    /// When the change does not fit; the membership is then unchanged. The answer depends on
    /// the membership alone, so every member gives the same one at the same index.
    pub fn apply(&mut self, change: MemberChange) -> Result<(), MemberChangeRefused> {
        let id = change.member();
        if id.0 == 0 {
            return Err(MemberChangeRefused::Zero);
        }
        match change {
            MemberChange::AddLearner(_) => {
                if self.removed.contains(&id) {
                    return Err(MemberChangeRefused::WasRemoved(id));
                }
                if self.voters.contains(&id) || self.learners.contains(&id) {
                    return Err(MemberChangeRefused::Exists(id));
                }
                self.learners.insert(id);
            }
            MemberChange::Promote(_) => {
                if !self.learners.remove(&id) {
                    return Err(MemberChangeRefused::NotLearner(id));
                }
                self.voters.insert(id);
            }
            MemberChange::Remove(_) => {
                if self.voters.contains(&id) && self.voters.len() == 1 {
                    return Err(MemberChangeRefused::LastVoter(id));
                }
                if !self.voters.remove(&id) && !self.learners.remove(&id) {
                    return Err(MemberChangeRefused::NotMember(id));
                }
                self.removed.insert(id);
            }
        }
        Ok(())
    }

    /// Returns whether the member votes or learns.
    pub fn contains(&self, id: MemberId) -> bool {
        self.voters.contains(&id) || self.learners.contains(&id)
    }

    pub(crate) fn to_raft(&self) -> eraftpb::ConfState {
        eraftpb::ConfState {
            voters: self.voters.iter().map(|id| id.0).collect(),
            learners: self.learners.iter().map(|id| id.0).collect(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests;
