//! A store of one that becomes one of three: members join as learners and then vote, as whoever
//! runs the store would have it, and things go wrong in the middle of it.

use argosy_consensus::{Input, MemberChange, MemberId, Membership, RequestId, Role};

use super::arrival::Arrival;
use super::{Event, World};
use crate::checkers::Violation;
use crate::queue::millis;
use crate::random::Random;

/// Entries that a learner may be behind when it is promoted, usually.
const LAG_MAX: u64 = 20;

/// Decides when members join and vote. It draws from a source of its own, so that stores that do
/// not grow play as they would without it.
pub(super) struct Growth {
    random: Random,
}

impl Growth {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(!seed) }
    }
}

impl World<'_> {
    pub(super) fn begin_to_grow(&mut self) {
        let delay = self.growth.random.between(millis(200), millis(2_500));
        self.queue.after(delay, Event::Grow);
    }

    /// Has the leader make the next change, if one is due.
    pub(super) fn grow(&mut self) -> Result<(), Violation> {
        let delay = self.growth.random.between(millis(20), millis(400));
        self.queue.after(delay, Event::Grow);
        let Some((at, membership, commit)) = self.leader() else { return Ok(()) };
        let Some(change) = self.next_change(&membership, commit) else { return Ok(()) };
        self.stats.changes += 1;
        if matches!(change, MemberChange::Promote(_)) {
            self.disturb_the_change(at);
        }
        let Some(process) = &mut self.members[at].process else { return Ok(()) };
        process.next_request += 1;
        // Nobody waits for the answer: what came of it, the next look tells.
        let request = RequestId(process.next_request);
        self.input(at, Arrival::Input(Input::ProposeMember { request, change }))
    }

    /// Returns a member that leads, what it goes by, and its commit index.
    fn leader(&mut self) -> Option<(usize, Membership, u64)> {
        let running = self.members.iter().enumerate().filter(|(_, m)| m.stopped.is_none());
        let statuses =
            running.filter_map(|(at, m)| Some((at, m.process.as_ref()?.replica.status())));
        let leading = statuses.filter(|(_, status)| status.role == Role::Leader);
        let (at, status) = leading.max_by_key(|(_, status)| status.term)?;
        Some((at, status.membership, status.commit))
    }

    fn next_change(&mut self, membership: &Membership, commit: u64) -> Option<MemberChange> {
        let all = self.members.iter().map(|member| member.id);
        if let Some(missing) = all.clone().find(|id| !membership.contains(*id)) {
            return Some(MemberChange::AddLearner(missing));
        }
        let learners: Vec<MemberId> = membership.learners.iter().copied().collect();
        if learners.is_empty() || membership.is_joint() {
            return None;
        }
        let behind = |id: &MemberId| {
            let member = self.members.iter().find(|member| member.id == *id);
            let process = member.and_then(|member| member.process.as_ref());
            process.is_none_or(|process| process.applied + LAG_MAX < commit)
        };
        // Now and then too early, or one by one: no order may be unsafe.
        if learners.iter().any(behind) && self.growth.random.below(20) > 0 {
            return None;
        }
        match self.growth.random.below(8) {
            0 => Some(MemberChange::promote(learners[0])),
            _ => Some(MemberChange::Promote(learners.into_iter().collect())),
        }
    }

    /// Breaks something that may hit the change before, while or after it is made.
    fn disturb_the_change(&mut self, leader: usize) {
        if self.healed_at.is_some() {
            return;
        }
        let any = self.growth.random.index(self.members.len());
        let delay = self.growth.random.below(millis(30));
        match self.growth.random.below(8) {
            0 | 1 => self.die_in_the_disk(leader),
            2 => self.die_in_the_disk(any),
            3 | 4 => self.queue.after(delay, Event::Strike { member: leader }),
            5 => self.queue.after(delay, Event::Strike { member: any }),
            6 => self.part(leader),
            _ => {}
        }
    }

    pub(super) fn strike(&mut self, member: usize) {
        if self.healed_at.is_none() {
            self.crash_for_a_while(member);
        }
    }
}
