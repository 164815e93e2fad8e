//! What only the leader can answer: asked here, or of whoever leads.

use std::time::Duration;

use argosy_kv::LeaseId;
use tokio::time::{Instant, timeout_at};

use super::StoreHandle;
use crate::links::question::{Answered, Asked, Members, Nothing, Outcome, Question};
use crate::raft::Request;
use crate::{MemberId, StoreError};

/// How long a question to the leader is asked again while leaders change: as long as
/// consensus waits for its own requests.
const PATIENCE: Duration = Duration::from_secs(7);

/// Wait before the same leader is asked again. A change of leadership ends it early.
const RETRY: Duration = Duration::from_millis(50);

impl StoreHandle {
    /// Gives a lease its full time again and returns that time, in seconds; `None` if there
    /// is no such lease. Waits for the outcome if the lease is just running out.
    ///
    /// Any member can be asked: the leader, who alone keeps the clock, answers after it has
    /// proved its leadership, and asking goes on while leaders change.
    ///
    /// # Errors
    /// When no leader answers in time, or the store is shut down.
    pub async fn lease_renew(&self, id: LeaseId) -> Result<Option<i64>, StoreError> {
        let here = |store: StoreHandle| async move { store.lease_renew_here(id).await };
        self.of_leader(Asked::Renew(id), here, |outcome| match outcome {
            Outcome::Done(Nothing {}) => Some(None),
            Outcome::Renewed(seconds) => Some(Some(seconds)),
            _ => None,
        })
        .await
    }

    /// Returns what is left of a lease by the leader's clock; `None` if there is no such lease.
    ///
    /// # Errors
    /// As [`StoreHandle::lease_renew`].
    pub async fn lease_remaining(&self, id: LeaseId) -> Result<Option<Duration>, StoreError> {
        let here = |store: StoreHandle| async move { store.lease_remaining_here(id).await };
        self.of_leader(Asked::Remaining(id), here, |outcome| match outcome {
            Outcome::Done(Nothing {}) => Some(None),
            Outcome::Remaining(nanos) => Some(Some(Duration::from_nanos(nanos))),
            _ => None,
        })
        .await
    }

    /// Returns every lease, the one that ends first in front.
    ///
    /// # Errors
    /// As [`StoreHandle::lease_renew`].
    pub async fn lease_list(&self) -> Result<Vec<LeaseId>, StoreError> {
        let here = |store: StoreHandle| async move { store.lease_list_here().await };
        self.of_leader(Asked::Leases(Nothing {}), here, |outcome| match outcome {
            Outcome::Leases(leases) => Some(leases.ids),
            _ => None,
        })
        .await
    }

    async fn lease_renew_here(&self, id: LeaseId) -> Result<Option<i64>, StoreError> {
        self.ask(|answer| Request::Renew { id, answer }).await
    }

    async fn lease_remaining_here(&self, id: LeaseId) -> Result<Option<Duration>, StoreError> {
        self.ask(|answer| Request::Remaining { id, answer }).await
    }

    async fn lease_list_here(&self) -> Result<Vec<LeaseId>, StoreError> {
        self.ask(|answer| Request::Leases { answer }).await
    }

    /// Asks the leader something that may be asked twice, until one answers.
    async fn of_leader<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        asked: Asked,
        here: impl Fn(StoreHandle) -> F,
        read: fn(Outcome) -> Option<T>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut leadership = self.leadership();
        loop {
            leadership.mark_unchanged();
            let outcome = match self.other_leader() {
                None => here(self.clone()).await,
                Some(leader) => self.ask_member(leader, asked.clone(), read).await,
            };
            let again = match &outcome {
                Ok(_) => false,
                Err(error) => passing(error),
            };
            if !again || Instant::now() + RETRY >= deadline {
                return outcome;
            }
            let changed = timeout_at(Instant::now() + RETRY, leadership.changed()).await;
            if let Ok(Err(_)) = changed {
                return Err(StoreError::Closed);
            }
        }
    }

    /// Asks a member once, and waits until this one has applied what the answer rests on.
    pub(super) async fn ask_member<T>(
        &self,
        member: MemberId,
        asked: Asked,
        read: fn(Outcome) -> Option<T>,
    ) -> Result<T, StoreError> {
        let links = self.shared.links.as_ref().ok_or(StoreError::Unreachable { member })?;
        let Answered { applied, outcome, .. } = links.ask(member, asked).await?;
        let answer = match outcome {
            Some(Outcome::Refused(refused)) => return Err(refused.into()),
            // A newer version may say something else.
            outcome => outcome.and_then(read).ok_or(StoreError::Unknown)?,
        };
        let mut here = self.applied();
        let caught_up = here.wait_for(|here| *here >= applied);
        match timeout_at(Instant::now() + PATIENCE, caught_up).await {
            Ok(Ok(_)) => Ok(answer),
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Unknown),
        }
    }

    /// Returns the leader if it is another member.
    pub(super) fn other_leader(&self) -> Option<MemberId> {
        self.shared.leadership.borrow().leader.filter(|leader| *leader != self.member_id())
    }

    /// Answers a question of another member. Nothing is passed on: two members that take each
    /// other for the leader would pass it to and fro.
    pub(crate) async fn answer(&self, question: Question) -> Answered {
        let Question { number, asked } = question;
        let outcome = match asked {
            Some(Asked::Renew(id)) => Outcome::renewed(self.lease_renew_here(id).await),
            Some(Asked::Remaining(id)) => Outcome::remaining(self.lease_remaining_here(id).await),
            Some(Asked::Leases(Nothing {})) => Outcome::leases(self.lease_list_here().await),
            Some(Asked::Applied(Nothing {})) => Outcome::done(Ok(())),
            Some(Asked::AddLearner(id)) => Outcome::done(self.add_learner_here(MemberId(id)).await),
            Some(Asked::Promote(Members { ids })) => {
                let ids: Vec<_> = ids.into_iter().map(MemberId).collect();
                Outcome::done(self.promote_here(&ids).await)
            }
            Some(Asked::Remove(id)) => Outcome::done(self.remove_here(MemberId(id)).await),
            Some(Asked::Transfer(to)) => Outcome::done(self.transfer_here(MemberId(to)).await),
            // Of a newer version: certainly not done.
            None => Outcome::done(Err(StoreError::Dropped)),
        };
        let applied = *self.shared.applied.borrow();
        Answered { number, applied, outcome: Some(outcome) }
    }
}

/// Tells whether another attempt, perhaps with another leader, may succeed.
fn passing(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NoLeader
            | StoreError::NotLeader { .. }
            | StoreError::Dropped
            | StoreError::Unknown
            | StoreError::Unreachable { .. }
    )
}
