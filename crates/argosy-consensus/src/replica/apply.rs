//! Applies committed entries and received snapshots, and keeps checkpoints going.

use argosy_kv::Command;
use raft::eraftpb::{ConfState, Entry, EntryType};

use super::config::KEEP_BYTES;
use super::log_store::entry_bytes;
use super::{Effect, FatalError, Replica, RequestId};
use crate::checkpoint::Checkpoint;
use crate::entry::Origin;
use crate::membership::MembershipStep;

impl Replica {
    /// Applies what is committed and on this member's own disk.
    pub(super) fn apply(&mut self, committed: Vec<Entry>) {
        for entry in &committed {
            let request = self.take_request(entry);
            match entry.get_entry_type() {
                EntryType::EntryNormal if entry.data.is_empty() => self.apply_empty(entry, request),
                EntryType::EntryNormal => self.apply_command(entry, request),
                EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                    self.apply_membership(entry, request);
                }
            }
            if self.ended {
                return;
            }
            self.raw.mut_store().set_applied(entry.index, entry.term);
            self.checkpoint.entries += 1;
            self.checkpoint.bytes += entry_bytes(entry);
        }
        if let Some(last) = committed.last() {
            self.raw.advance_apply_to(last.index);
            self.leave_joint();
            self.start_checkpoint_if_due();
        }
        let applied_index = self.state.applied_index();
        for request in self.reads.ready(applied_index) {
            self.effects.push(Effect::ReadReady { request, applied_index });
        }
    }

    /// Returns the request of this run that the entry answers.
    fn take_request(&mut self, entry: &Entry) -> Option<RequestId> {
        let origin = Origin::decode(&entry.context)?;
        let ours = origin.member == self.config.member_id.0
            && origin.incarnation == self.config.incarnation;
        let request = RequestId(origin.request);
        (ours && self.proposals.remove(request)).then_some(request)
    }

    fn apply_empty(&mut self, entry: &Entry, request: Option<RequestId>) {
        let Entry { index, term, .. } = *entry;
        self.state.advance(index, term);
        if self.is_leader() {
            // From now on this leader answers barriers; it ignored those that came before.
            self.reads.retry_now(self.now);
        }
        let events = Vec::new();
        self.effects.push(Effect::Applied { index, term, events, request, response: None });
    }

    fn apply_command(&mut self, entry: &Entry, request: Option<RequestId>) {
        let Entry { index, term, .. } = *entry;
        let command = match Command::decode(&entry.data) {
            Ok(command) => command,
            Err(error) => {
                let reason = error.to_string();
                return self.fatal(FatalError::UnreadableCommand { index, reason });
            }
        };
        let applied = self.state.apply(index, term, &command);
        let (events, response) = (applied.events, Some(applied.response));
        self.effects.push(Effect::Applied { index, term, events, request, response });
    }

    fn apply_membership(&mut self, entry: &Entry, request: Option<RequestId>) {
        let Entry { index, term, .. } = *entry;
        let step = match MembershipStep::decode(&entry.data) {
            Ok(step) => step,
            Err(error) => {
                let reason = error.to_string();
                return self.fatal(FatalError::MembershipBroken { index, reason });
            }
        };
        self.state.advance(index, term);
        let outcome = step.apply(&mut self.membership);
        if outcome.is_ok()
            && let Err(error) = self.go_by(&step)
        {
            let reason = error.to_string();
            return self.fatal(FatalError::MembershipBroken { index, reason });
        }
        let (events, response) = (Vec::new(), None);
        self.effects.push(Effect::Applied { index, term, events, request: None, response });
        match outcome {
            Ok(()) => {
                self.raw.mut_store().set_membership(&self.membership);
                let membership = self.membership.clone();
                self.effects.push(Effect::MembershipChanged { index, membership, request });
                if self.membership.removed.contains(&self.config.member_id) {
                    self.end();
                }
            }
            Err(source) => {
                if let Some(request) = request {
                    self.fail(request, super::WhyFailed::MemberChange { source });
                }
            }
        }
    }

    /// Has the library go by a step of the membership from now on.
    fn go_by(&mut self, step: &MembershipStep) -> raft::Result<ConfState> {
        let state = match step.to_simple() {
            Some(simple) => self.raw.apply_conf_change(&simple)?,
            None => self.raw.apply_conf_change(&step.to_joint())?,
        };
        if self.planted.joint_skipped() && self.membership.is_joint() {
            self.membership.leave_joint();
            return self.raw.apply_conf_change(&MembershipStep::LeaveJoint.to_joint());
        }
        Ok(state)
    }

    /// Ends a joint membership, if this member leads. Whoever leads does, however it came to lead
    /// and however it came to the joint membership: by the entry, a checkpoint or a snapshot.
    pub(super) fn leave_joint(&mut self) {
        // A change that is pending here can only be this one, or one that it will be refused for.
        if self.membership.is_joint() && self.is_leader() && !self.raw.raft.has_pending_conf() {
            let leave = MembershipStep::LeaveJoint.to_joint();
            // Dropped only while leadership is handed over: then the next leader does it, or this
            // one at a later tick.
            drop(self.raw.propose_conf_change(Vec::new(), leave));
        }
    }

    /// A received snapshot is durable and becomes the state.
    pub(super) fn installed(&mut self, checkpoint: Checkpoint) {
        let Checkpoint { applied, term, membership, state } = checkpoint;
        self.state = state;
        self.membership = membership;
        let store = self.raw.mut_store();
        store.set_applied(applied, term);
        store.set_membership(&self.membership);
        self.raw.advance_apply_to(applied);
        self.checkpoint.entries = 0;
        self.checkpoint.bytes = 0;
        self.effects.push(Effect::StateReplaced { index: applied });
        self.checkpoint_durable(applied);
        self.apply(Vec::new());
    }

    fn start_checkpoint_if_due(&mut self) {
        let due = self.checkpoint.entries >= self.config.checkpoint_entries
            || self.checkpoint.bytes >= self.config.checkpoint_bytes;
        if !due || self.checkpoint.under_way {
            return;
        }
        self.checkpoint.under_way = true;
        self.checkpoint.entries = 0;
        self.checkpoint.bytes = 0;
        let checkpoint = Box::new(Checkpoint {
            applied: self.state.applied_index(),
            term: self.state.applied_term(),
            membership: self.membership.clone(),
            state: self.state.clone(),
        });
        self.effects.push(Effect::StartCheckpoint(checkpoint));
    }

    /// The checkpoint given out last is durable.
    pub(super) fn checkpoint_written(&mut self, applied: u64) {
        self.checkpoint.under_way = false;
        self.checkpoint_durable(applied);
    }

    fn checkpoint_durable(&mut self, applied: u64) {
        if applied <= self.checkpoint.durable {
            return;
        }
        self.checkpoint.durable = applied;
        self.raw.mut_store().compact(applied, self.config.keep_entries, KEEP_BYTES);
        self.effects.push(Effect::ReleaseLog { applied });
    }
}
