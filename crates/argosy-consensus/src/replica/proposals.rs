//! Takes requests of the shell: proposals, membership changes, reads.

use std::time::Duration;

use argosy_kv::Command;

use super::config::{MAX_COMMAND_BYTES, MAX_PENDING_PROPOSALS, MAX_PENDING_READS};
use super::{Effect, Input, Replica, RequestId, WhyFailed};
use crate::entry::Origin;
use crate::membership::{MemberChange, MembershipStep};

impl Replica {
    pub(super) fn propose(&mut self, request: RequestId, command: &Command) {
        let data = command.encode();
        if data.len() > MAX_COMMAND_BYTES {
            let why = WhyFailed::TooLarge { size: data.len(), limit: MAX_COMMAND_BYTES };
            return self.fail(request, why);
        }
        let proposed =
            |replica: &mut Self, origin: Vec<u8>| replica.raw.propose(origin, Vec::from(data));
        self.submit(request, proposed);
    }

    pub(super) fn propose_member(&mut self, request: RequestId, change: MemberChange) {
        if self.is_leader() {
            // Told apart here, where the membership is up to date; the library would replace
            // the change by an empty entry, and nobody would ever hear of it.
            if self.membership.is_joint() {
                return self.fail(request, WhyFailed::Dropped);
            }
            if let Err(source) = self.membership.clone().apply(&change) {
                return self.fail(request, WhyFailed::MemberChange { source });
            }
            if self.raw.raft.has_pending_conf() {
                return self.fail(request, WhyFailed::Dropped);
            }
        }
        let step = MembershipStep::Change(change);
        self.submit(request, |replica, origin| match step.to_simple() {
            Some(simple) => replica.raw.propose_conf_change(origin, simple),
            None => replica.raw.propose_conf_change(origin, step.to_joint()),
        });
    }

    /// Gives a proposal to the library, which forwards it when another member leads.
    fn submit(
        &mut self,
        request: RequestId,
        propose: impl FnOnce(&mut Self, Vec<u8>) -> raft::Result<()>,
    ) {
        if self.proposals.len() >= MAX_PENDING_PROPOSALS {
            return self.fail(request, WhyFailed::TooMany { limit: MAX_PENDING_PROPOSALS });
        }
        let origin = Origin {
            member: self.config.member_id.0,
            incarnation: self.config.incarnation,
            request: request.0,
        };
        match propose(self, origin.encode().to_vec()) {
            Ok(()) => self.proposals.insert(request, self.now + self.config.request_deadline),
            Err(_) if self.is_leader() => self.fail(request, WhyFailed::Dropped),
            Err(_) => self.fail(request, WhyFailed::NotLeader { leader: self.leader() }),
        }
    }

    pub(super) fn read_index(&mut self, request: RequestId) {
        if self.planted.read_index_skipped() {
            let applied_index = self.state.applied_index();
            return self.effects.push(Effect::ReadReady { request, applied_index });
        }
        if self.reads.len() >= MAX_PENDING_READS {
            return self.fail(request, WhyFailed::TooMany { limit: MAX_PENDING_READS });
        }
        self.reads.insert(request, self.now + self.config.request_deadline);
    }

    pub(super) fn fail(&mut self, request: RequestId, why: WhyFailed) {
        self.effects.push(Effect::Failed { request, why });
    }

    /// Answers a request of a member that takes no part any more.
    pub(super) fn refuse(&mut self, input: &Input) {
        if let Input::Propose { request, .. }
        | Input::ReadIndex { request }
        | Input::ProposeMember { request, .. } = input
        {
            self.fail(*request, WhyFailed::NotLeader { leader: None });
        }
    }

    /// This member was removed: what still waits for an answer will not get one.
    pub(super) fn end(&mut self) {
        self.ended = true;
        let after = self.config.request_deadline;
        for request in self.proposals.take_all() {
            self.fail(request, WhyFailed::Timeout { after });
        }
        for request in self.reads.expired(Duration::MAX) {
            self.fail(request, WhyFailed::NotLeader { leader: None });
        }
    }
}
