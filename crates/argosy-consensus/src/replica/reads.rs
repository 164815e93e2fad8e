//! Linearizable reads: barriers shared by all who wait.

use std::collections::VecDeque;
use std::time::Duration;

use raft::ReadState;

use super::{READ_RETRY, RequestId};
use crate::planted::Planted;

/// A read that waits for a barrier.
#[derive(Debug)]
struct Waiting {
    request: RequestId,
    /// The first barrier sent after the read came. Its answer, or that of any later one, is
    /// new enough; an earlier one's is not.
    since: u64,
    deadline: Duration,
}

/// A read whose barrier is answered, waiting for the state to get there.
#[derive(Debug)]
struct Cleared {
    request: RequestId,
    index: u64,
    deadline: Duration,
}

/// All reads of this run without an answer. One barrier at a time is under way; reads that
/// come meanwhile wait for the next one, together.
#[derive(Debug)]
pub(super) struct Reads {
    member: u64,
    incarnation: u64,
    /// In the order they came.
    waiting: VecDeque<Waiting>,
    cleared: Vec<Cleared>,
    /// The number of the last barrier sent. Each attempt has a number of its own: an answer
    /// to an earlier attempt must not pass for one to a later (etcd issue 20418).
    barrier: u64,
    /// When the barrier under way is to be sent anew.
    retry_at: Option<Duration>,
}

impl Reads {
    pub(super) fn new(member: u64, incarnation: u64) -> Self {
        Self {
            member,
            incarnation,
            waiting: VecDeque::new(),
            cleared: Vec::new(),
            barrier: 0,
            retry_at: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.cleared.len()
    }

    pub(super) fn insert(&mut self, request: RequestId, deadline: Duration) {
        self.waiting.push_back(Waiting { request, since: self.barrier + 1, deadline });
    }

    /// Returns the context of a barrier to send now, if one is due.
    pub(super) fn next_context(&mut self, now: Duration, planted: Planted) -> Option<Vec<u8>> {
        let under_way = self.retry_at.is_some_and(|at| now < at);
        if under_way || self.waiting.is_empty() {
            return None;
        }
        let again = self.retry_at.is_some();
        if planted.context_reused() && again {
            for waiting in &mut self.waiting {
                waiting.since = waiting.since.min(self.barrier);
            }
        } else {
            self.barrier += 1;
        }
        self.retry_at = Some(now + READ_RETRY);
        Some(self.context(self.barrier))
    }

    fn context(&self, barrier: u64) -> Vec<u8> {
        [self.member, self.incarnation, barrier].iter().flat_map(|p| p.to_le_bytes()).collect()
    }

    /// Has the barrier sent anew at once: there is a new leader, who does not know of it.
    pub(super) fn retry_now(&mut self, now: Duration) {
        if self.retry_at.is_some() {
            self.retry_at = Some(now);
        }
    }

    /// Takes the answer to a barrier.
    pub(super) fn answered(&mut self, answer: &ReadState) {
        let part = |at: usize| {
            let bytes = answer.request_ctx.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let (Some(member), Some(incarnation), Some(barrier)) = (part(0), part(8), part(16)) else {
            return;
        };
        if (member, incarnation) != (self.member, self.incarnation) {
            return;
        }
        while let Some(read) = self.waiting.pop_front_if(|read| read.since <= barrier) {
            let Waiting { request, deadline, .. } = read;
            self.cleared.push(Cleared { request, index: answer.index, deadline });
        }
        if barrier == self.barrier {
            self.retry_at = None;
        }
    }

    /// Takes out those that a state at `applied` answers.
    pub(super) fn ready(&mut self, applied: u64) -> Vec<RequestId> {
        if self.cleared.is_empty() {
            return Vec::new();
        }
        self.cleared.extract_if(.., |read| read.index <= applied).map(|read| read.request).collect()
    }

    /// Takes out those whose deadline has passed.
    pub(super) fn expired(&mut self, now: Duration) -> Vec<RequestId> {
        let mut expired = Vec::new();
        while let Some(read) = self.waiting.pop_front_if(|read| read.deadline <= now) {
            expired.push(read.request);
        }
        let cleared = self.cleared.extract_if(.., |read| read.deadline <= now);
        expired.extend(cleared.map(|read| read.request));
        if self.waiting.is_empty() {
            self.retry_at = None;
        }
        expired
    }
}
