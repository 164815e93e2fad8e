//! Questions that only the leader answers, and who waits for the answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argosy_consensus::MemberChangeRefused;
use argosy_kv::LeaseId;
use tokio::sync::oneshot;

use crate::{MemberId, StoreError};

/// Questions to one member without an answer. Each client of the lease API has one under way.
const WAITING_MAX: usize = 4_096;

/// One question. Numbers are frozen: they are on the wire.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Question {
    /// Unique within a connection.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(oneof = "Asked", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    pub(crate) asked: Option<Asked>,
}

/// What is asked.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Asked {
    /// Give a lease its full time again.
    #[prost(sint64, tag = "2")]
    Renew(LeaseId),
    /// What is left of a lease.
    #[prost(sint64, tag = "3")]
    Remaining(LeaseId),
    /// All leases by their end.
    #[prost(message, tag = "4")]
    Leases(Nothing),
    /// How far this member has applied the log. Any member answers it.
    #[prost(message, tag = "5")]
    Applied(Nothing),
    /// Add a learner.
    #[prost(uint64, tag = "6")]
    AddLearner(u64),
    /// Make learners voters.
    #[prost(message, tag = "7")]
    Promote(Members),
    /// Remove a member for ever.
    #[prost(uint64, tag = "8")]
    Remove(u64),
    /// Hand leadership over.
    #[prost(uint64, tag = "9")]
    Transfer(u64),
}

/// No parameters.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Nothing {}

/// Several members.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Members {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) ids: Vec<u64>,
}

/// One answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answered {
    /// The question's.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    /// How far the answering member had applied the log: the asker shows it only when its own
    /// state is as new.
    #[prost(uint64, tag = "2")]
    pub(crate) applied: u64,
    #[prost(oneof = "Outcome", tags = "3, 4, 5, 6, 7")]
    pub(crate) outcome: Option<Outcome>,
}

/// What came of it.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Outcome {
    /// Done, or: no such lease.
    #[prost(message, tag = "3")]
    Done(Nothing),
    /// The lease's full time, in seconds.
    #[prost(sint64, tag = "4")]
    Renewed(i64),
    /// What is left of the lease, in nanoseconds.
    #[prost(uint64, tag = "5")]
    Remaining(u64),
    /// The leases.
    #[prost(message, tag = "6")]
    Leases(Leases),
    /// No.
    #[prost(message, tag = "7")]
    Refused(Refused),
}

/// Leases by their end.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Leases {
    #[prost(sint64, repeated, tag = "1")]
    pub(crate) ids: Vec<LeaseId>,
}

/// A [`StoreError`] on the wire.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Refused {
    #[prost(enumeration = "Why", tag = "1")]
    pub(crate) why: i32,
    /// The member it is about, if any.
    #[prost(uint64, tag = "2")]
    pub(crate) member: u64,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Why {
    Unknown = 0,
    NoLeader = 1,
    NotLeader = 2,
    Dropped = 3,
    TooMany = 4,
    NotReady = 5,
    NotVoter = 6,
    WasRemoved = 7,
    Exists = 8,
    NotLearner = 9,
    NotMember = 10,
    LastVoter = 11,
    ZeroMember = 12,
    Unreachable = 13,
}

impl Outcome {
    pub(crate) fn renewed(outcome: Result<Option<i64>, StoreError>) -> Self {
        Self::of(outcome, |time| time.map_or(Outcome::Done(Nothing {}), Outcome::Renewed))
    }

    pub(crate) fn remaining(outcome: Result<Option<Duration>, StoreError>) -> Self {
        let nanos = |left: Duration| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        Self::of(outcome, |left| {
            left.map_or(Outcome::Done(Nothing {}), |left| Outcome::Remaining(nanos(left)))
        })
    }

    pub(crate) fn leases(outcome: Result<Vec<LeaseId>, StoreError>) -> Self {
        Self::of(outcome, |ids| Outcome::Leases(Leases { ids }))
    }

    pub(crate) fn done(outcome: Result<(), StoreError>) -> Self {
        Self::of(outcome, |()| Outcome::Done(Nothing {}))
    }

    fn of<T>(outcome: Result<T, StoreError>, done: impl FnOnce(T) -> Self) -> Self {
        outcome.map_or_else(|error| Outcome::Refused(Refused::new(&error)), done)
    }
}

impl Refused {
    fn new(error: &StoreError) -> Self {
        let (why, member) = match error {
            StoreError::NoLeader => (Why::NoLeader, None),
            StoreError::NotLeader { leader } => (Why::NotLeader, Some(*leader)),
            StoreError::Dropped => (Why::Dropped, None),
            StoreError::TooMany => (Why::TooMany, None),
            StoreError::NotReady { member } => (Why::NotReady, Some(*member)),
            StoreError::NotVoter { member } => (Why::NotVoter, Some(*member)),
            StoreError::Unreachable { member } => (Why::Unreachable, Some(*member)),
            StoreError::Member(refused) => match refused {
                MemberChangeRefused::WasRemoved(id) => (Why::WasRemoved, Some(*id)),
                MemberChangeRefused::Exists(id) => (Why::Exists, Some(*id)),
                MemberChangeRefused::NotLearner(id) => (Why::NotLearner, Some(*id)),
                MemberChangeRefused::NotMember(id) => (Why::NotMember, Some(*id)),
                MemberChangeRefused::LastVoter(id) => (Why::LastVoter, Some(*id)),
                MemberChangeRefused::Zero => (Why::ZeroMember, None),
                MemberChangeRefused::UnderWay => (Why::Dropped, None),
            },
            // A leader that shuts down may have done it.
            StoreError::Unknown
            | StoreError::Closed
            | StoreError::Rejected(_)
            | StoreError::TooLarge { .. } => (Why::Unknown, None),
        };
        Self { why: why.into(), member: member.map_or(0, |member| member.0) }
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        let member = MemberId(refused.member);
        match refused.why() {
            Why::Unknown => StoreError::Unknown,
            Why::NoLeader => StoreError::NoLeader,
            Why::NotLeader => StoreError::NotLeader { leader: member },
            Why::Dropped => StoreError::Dropped,
            Why::TooMany => StoreError::TooMany,
            Why::NotReady => StoreError::NotReady { member },
            Why::NotVoter => StoreError::NotVoter { member },
            Why::Unreachable => StoreError::Unreachable { member },
            Why::WasRemoved => StoreError::Member(MemberChangeRefused::WasRemoved(member)),
            Why::Exists => StoreError::Member(MemberChangeRefused::Exists(member)),
            Why::NotLearner => StoreError::Member(MemberChangeRefused::NotLearner(member)),
            Why::NotMember => StoreError::Member(MemberChangeRefused::NotMember(member)),
            Why::LastVoter => StoreError::Member(MemberChangeRefused::LastVoter(member)),
            Why::ZeroMember => StoreError::Member(MemberChangeRefused::Zero),
        }
    }
}

/// The questions to one member that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    asked: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Answered>>,
}

impl Waiting {
    /// Returns a question to send and where its answer will be; `None` when too many wait.
    pub(crate) fn begin(&self, asked: Asked) -> Option<(Question, oneshot::Receiver<Answered>)> {
        let mut table = self.lock();
        if table.waiting.len() >= WAITING_MAX {
            // Askers that lost patience left their place behind.
            table.waiting.retain(|_, waiting| !waiting.is_closed());
            if table.waiting.len() >= WAITING_MAX {
                return None;
            }
        }
        table.last += 1;
        let number = table.last;
        let (sender, answer) = oneshot::channel();
        table.waiting.insert(number, sender);
        Some((Question { number, asked: Some(asked) }, answer))
    }

    /// Takes note of an answer. One that nobody waits for is passed over.
    pub(crate) fn answered(&self, answer: Answered) {
        if let Some(sender) = self.lock().waiting.remove(&answer.number) {
            drop(sender.send(answer));
        }
    }

    /// The connection is gone, and the answers with it.
    pub(crate) fn forget(&self) {
        self.lock().waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs under the lock.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
