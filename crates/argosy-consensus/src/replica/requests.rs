//! The proposals of this run that wait for their entry.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::RequestId;

/// Requests without an answer, with their deadlines.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: BTreeSet<RequestId>,
    /// In the order they came, which is the order of their deadlines. An answered request
    /// stays until its deadline passes, so this is bounded by the rate of requests times it.
    deadlines: VecDeque<(Duration, RequestId)>,
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn insert(&mut self, request: RequestId, deadline: Duration) {
        self.waiting.insert(request);
        self.deadlines.push_back((deadline, request));
    }

    /// Takes a request out; false when it does not wait (any more).
    pub(super) fn remove(&mut self, request: RequestId) -> bool {
        self.waiting.remove(&request)
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> Vec<RequestId> {
        self.deadlines.clear();
        std::mem::take(&mut self.waiting).into_iter().collect()
    }

    /// Takes out those whose deadline has passed.
    pub(super) fn expired(&mut self, now: Duration) -> Vec<RequestId> {
        let mut expired = Vec::new();
        while let Some((_, request)) = self.deadlines.pop_front_if(|(at, _)| *at <= now) {
            if self.waiting.remove(&request) {
                expired.push(request);
            }
        }
        expired
    }
}
