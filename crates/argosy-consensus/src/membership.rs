//! Who votes, who only learns, and who may never come back.

mod step;

use std::collections::BTreeSet;
use std::fmt;

use raft::eraftpb;

pub(crate) use self::step::{MembershipStep, is_joint_form};

/// A member of the store, for ever: the raft id. Never 0, never used again after removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    /// Sixteen hexadecimal digits without leading zeros, as etcd prints member ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The members as of one log index. A change of one voter is made in one step (raft thesis
/// 4.1); one of several goes through a joint membership (4.3), in which a majority of the voters
/// before and one of the voters after must agree to everything. Whoever leads ends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Those whose votes and acknowledgements count.
    pub voters: BTreeSet<MemberId>,
    /// While the membership is joint, the voters before it: a majority of them counts as well.
    /// Else empty.
    pub outgoing: BTreeSet<MemberId>,
    /// Those that receive the log and do not count.
    pub learners: BTreeSet<MemberId>,
    /// Those that were members once. Such an id is refused for ever: the library's progress
    /// of a re-added id goes wrong (raft-rs issue 571), and etcd forbids it as well.
    pub removed: BTreeSet<MemberId>,
}

/// One change of the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// Adds a member that does not vote yet.
    AddLearner(MemberId),
    /// Makes learners voters: several together, through a joint membership, so that at no
    /// moment an even number of them votes.
    Promote(BTreeSet<MemberId>),
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
    /// 0 is no member id, and an empty list names nobody.
    #[error("no member is named; 0 is not a member id")]
    Zero,
    /// An earlier change has not come to its end.
    #[error("an earlier change of the voters is under way")]
    UnderWay,
}

impl MemberChange {
    /// Returns the promotion of one learner.
    pub fn promote(learner: MemberId) -> Self {
        MemberChange::Promote([learner].into())
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
    pub fn apply(&mut self, change: &MemberChange) -> Result<(), MemberChangeRefused> {
        if self.is_joint() {
            return Err(MemberChangeRefused::UnderWay);
        }
        match change {
            MemberChange::AddLearner(id) => self.add_learner(*id),
            MemberChange::Promote(ids) => self.promote(ids),
            MemberChange::Remove(id) => self.remove(*id),
        }
    }

    fn add_learner(&mut self, id: MemberId) -> Result<(), MemberChangeRefused> {
        if id.0 == 0 {
            return Err(MemberChangeRefused::Zero);
        }
        if self.removed.contains(&id) {
            return Err(MemberChangeRefused::WasRemoved(id));
        }
        if self.contains(id) {
            return Err(MemberChangeRefused::Exists(id));
        }
        self.learners.insert(id);
        Ok(())
    }

    fn promote(&mut self, ids: &BTreeSet<MemberId>) -> Result<(), MemberChangeRefused> {
        if ids.is_empty() || ids.contains(&MemberId(0)) {
            return Err(MemberChangeRefused::Zero);
        }
        if let Some(id) = ids.difference(&self.learners).next() {
            return Err(MemberChangeRefused::NotLearner(*id));
        }
        if ids.len() > 1 {
            self.outgoing.clone_from(&self.voters);
        }
        self.learners.retain(|id| !ids.contains(id));
        self.voters.extend(ids);
        Ok(())
    }

    fn remove(&mut self, id: MemberId) -> Result<(), MemberChangeRefused> {
        if id.0 == 0 {
            return Err(MemberChangeRefused::Zero);
        }
        if self.voters.contains(&id) && self.voters.len() == 1 {
            return Err(MemberChangeRefused::LastVoter(id));
        }
        if !self.voters.remove(&id) && !self.learners.remove(&id) {
            return Err(MemberChangeRefused::NotMember(id));
        }
        self.removed.insert(id);
        Ok(())
    }

    /// Ends a joint membership: from now on the new voters decide alone.
    pub(crate) fn leave_joint(&mut self) {
        self.outgoing.clear();
    }

    /// Tells whether the voters before a change count beside those after it.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Returns everybody who votes; while joint, those before and those after the change.
    pub fn all_voters(&self) -> BTreeSet<MemberId> {
        self.voters.union(&self.outgoing).copied().collect()
    }

    /// Returns whether the member votes or learns.
    pub fn contains(&self, id: MemberId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id) || self.learners.contains(&id)
    }

    pub(crate) fn to_raft(&self) -> eraftpb::ConfState {
        eraftpb::ConfState {
            voters: self.voters.iter().map(|id| id.0).collect(),
            voters_outgoing: self.outgoing.iter().map(|id| id.0).collect(),
            learners: self.learners.iter().map(|id| id.0).collect(),
            // Left by an entry of ours, see `Replica::leave_joint`.
            auto_leave: false,
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests;
