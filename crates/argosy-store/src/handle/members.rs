//! Changes of the membership and of the leadership.

use std::collections::BTreeSet;
use std::time::Duration;

use argosy_consensus::{ELECTION_TICKS, MemberChange, MemberChangeRefused, Membership};
use tokio::time::{sleep, timeout};

use super::StoreHandle;
use crate::links::question::{Asked, Members, Nothing, Outcome};
use crate::raft::Request;
use crate::{MemberId, StoreError};

/// Entries that a learner may be behind when it is promoted: far less than a moment's writes
/// under load, so that the quorum it then counts for does not wait for it.
pub const PROMOTION_LAG_MAX: u64 = 1_000;

/// Longest wait for a member to say how far it is.
const ASKED_PATIENCE: Duration = Duration::from_millis(500);

/// Longest wait for a majority to hear of a change that is made. They do within a round trip,
/// or they are away.
const SETTLED_PATIENCE: Duration = Duration::from_secs(2);

/// Wait between two questions whether they have.
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

impl StoreHandle {
    /// Returns the members as this member has applied them: possibly behind the leader's.
    pub fn membership(&self) -> Membership {
        self.shared.replica.load().membership.clone()
    }

    /// Adds a member that receives the log and does not vote. Its store is made with
    /// [`crate::Store::join`]; the leader then sends it the state.
    ///
    /// Any member can be asked, here and in the other changes: it asks the leader, once.
    ///
    /// # Errors
    /// [`StoreError::Member`] says why the change does not fit; an id that was removed is
    /// refused for ever. [`StoreError::Dropped`] when another change is under way. After
    /// [`StoreError::Unknown`] it may have happened or may still: look at
    /// [`StoreHandle::membership`] after a [`StoreHandle::read_barrier`].
    pub async fn add_learner(&self, id: MemberId) -> Result<(), StoreError> {
        match self.other_leader() {
            None => self.add_learner_here(id).await,
            Some(leader) => self.ask_member(leader, Asked::AddLearner(id.0), done).await,
        }
    }

    /// Makes learners voters, several of them in one joint change: all or none. Nobody is promoted
    /// unless all of them are connected and nearly caught up. Those that vote already are passed
    /// over.
    ///
    /// # Errors
    /// [`StoreError::NotReady`] names the first learner that lags or does not answer. Else as
    /// [`StoreHandle::add_learner`].
    pub async fn promote(&self, ids: &[MemberId]) -> Result<(), StoreError> {
        match self.other_leader() {
            None => self.promote_here(ids).await,
            Some(leader) => {
                let ids = ids.iter().map(|id| id.0).collect();
                self.ask_member(leader, Asked::Promote(Members { ids }), done).await
            }
        }
    }

    /// Removes a voter or learner for ever. Removing the leader makes it step down.
    ///
    /// # Errors
    /// As [`StoreHandle::add_learner`].
    pub async fn remove(&self, id: MemberId) -> Result<(), StoreError> {
        match self.other_leader() {
            None => self.remove_here(id).await,
            Some(leader) => self.ask_member(leader, Asked::Remove(id.0), done).await,
        }
    }

    /// Hands leadership to a voter, and returns when this member knows that it leads.
    ///
    /// # Errors
    /// [`StoreError::NotVoter`], or [`StoreError::Dropped`] when another one leads after two
    /// election times.
    pub async fn transfer_leader(&self, to: MemberId) -> Result<(), StoreError> {
        match self.other_leader() {
            Some(leader) if leader == to => return Ok(()),
            Some(leader) => self.ask_member(leader, Asked::Transfer(to.0), done).await?,
            None => self.transfer_here(to).await?,
        }
        self.until_led_by(to).await
    }

    pub(super) async fn add_learner_here(&self, id: MemberId) -> Result<(), StoreError> {
        self.change(MemberChange::AddLearner(id)).await
    }

    pub(super) async fn promote_here(&self, ids: &[MemberId]) -> Result<(), StoreError> {
        let membership = self.membership();
        // Those that an earlier attempt has promoted.
        let left: BTreeSet<_> =
            ids.iter().filter(|id| !membership.voters.contains(id)).copied().collect();
        for id in &left {
            if !membership.learners.contains(id) {
                return Err(StoreError::Member(MemberChangeRefused::NotLearner(*id)));
            }
            self.check_ready(*id).await?;
        }
        match left.is_empty() {
            true => Ok(()),
            false => self.change(MemberChange::Promote(left)).await,
        }
    }

    pub(super) async fn remove_here(&self, id: MemberId) -> Result<(), StoreError> {
        self.change(MemberChange::Remove(id)).await
    }

    pub(super) async fn transfer_here(&self, to: MemberId) -> Result<(), StoreError> {
        self.ask(|answer| Request::Transfer { to, answer }).await?;
        self.until_led_by(to).await
    }

    async fn change(&self, change: MemberChange) -> Result<(), StoreError> {
        self.ask(|answer| Request::Change { change, answer }).await?;
        // It is made, whatever comes of this.
        drop(timeout(SETTLED_PATIENCE, self.settle()).await);
        Ok(())
    }

    /// Returns when the membership is not joint and a majority of the voters goes by it.
    ///
    /// A member goes by a change from when it knows that it is committed. If the leader were
    /// lost before it told anybody, the others could not elect one: they would still ask for
    /// the votes of the members before.
    async fn settle(&self) {
        while self.membership().is_joint() {
            sleep(SETTLE_INTERVAL).await;
        }
        let index = *self.shared.applied.borrow();
        let voters = self.membership().voters;
        let majority = voters.len() / 2 + 1;
        let mut knowing = BTreeSet::from([self.member_id()]);
        while knowing.intersection(&voters).count() < majority {
            for voter in &voters {
                if !knowing.contains(voter) && self.applied_by(*voter).await >= Some(index) {
                    knowing.insert(*voter);
                }
            }
            sleep(SETTLE_INTERVAL).await;
        }
    }

    /// Asks a member how far it has applied the log; `None` when it does not answer.
    async fn applied_by(&self, member: MemberId) -> Option<u64> {
        let links = self.shared.links.as_ref()?;
        let asked = links.ask(member, Asked::Applied(Nothing {}));
        let answer = timeout(ASKED_PATIENCE, asked).await.ok()?;
        Some(answer.ok()?.applied)
    }

    /// Asks a learner itself how far it is: that proves the way to it as well.
    async fn check_ready(&self, member: MemberId) -> Result<(), StoreError> {
        let commit = self.shared.replica.load().commit;
        match self.applied_by(member).await {
            Some(applied) if applied + PROMOTION_LAG_MAX >= commit => Ok(()),
            _ => Err(StoreError::NotReady { member }),
        }
    }

    async fn until_led_by(&self, to: MemberId) -> Result<(), StoreError> {
        let mut leadership = self.leadership();
        let led = leadership.wait_for(|leadership| leadership.leader == Some(to));
        let patience = self.shared.tick * 2 * ELECTION_TICKS as u32;
        match timeout(patience, led).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Dropped),
        }
    }
}

fn done(outcome: Outcome) -> Option<()> {
    matches!(outcome, Outcome::Done(Nothing {})).then_some(())
}
