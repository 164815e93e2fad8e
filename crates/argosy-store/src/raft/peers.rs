//! What goes to other members and comes from them.

use std::time::Duration;

use argosy_consensus::{Input, PeerMessage, Role};
use argosy_kv::State;
use tokio::sync::oneshot;

use super::RaftThread;
use crate::answer::Answer;
use crate::{MemberId, StoreError};

/// A snapshot on its way into this member.
#[derive(Debug)]
pub(super) struct Arriving {
    /// The log index that it stands at.
    index: u64,
    /// Whether consensus has taken it.
    taken: bool,
    /// Told once the state is installed; dropped when it is not wanted.
    answer: oneshot::Sender<()>,
}

impl RaftThread {
    pub(super) fn send(&mut self, message: PeerMessage, now: Duration) {
        match &self.shared.links {
            Some(links) => links.send(message),
            // A lost message is a lawful event, and raft must hear of it.
            None => self.replica.handle(Input::Unreachable { peer: MemberId(message.to) }, now),
        }
    }

    pub(super) fn send_snapshot(&mut self, message: PeerMessage, state: State, now: Duration) {
        match &self.shared.links {
            Some(links) => links.send_snapshot(message, state),
            None => {
                let peer = MemberId(message.to);
                self.replica.handle(Input::SnapshotSent { peer, ok: false }, now);
            }
        }
    }

    /// Connects to who is a member now.
    pub(super) fn members_changed(&self) {
        if let Some(links) = &self.shared.links {
            links.set_members(&self.replica.status().membership);
        }
    }

    /// Offers a received state to consensus.
    pub(super) fn snapshot_arrived(
        &mut self,
        message: PeerMessage,
        state: State,
        answer: oneshot::Sender<()>,
        now: Duration,
    ) {
        let index = state.applied_index();
        self.arriving = Some(Arriving { index, taken: false, answer });
        self.replica.handle(Input::SnapshotReceived { message, state }, now);
        self.carry_out_effects(now);
        // Consensus decides at once. Not taken: an old leader's, or the log has all of it.
        self.arrived(self.replica.state().applied_index());
        self.arriving = self.arriving.take().filter(|arriving| arriving.taken);
    }

    /// Takes note that consensus has taken a snapshot.
    pub(super) fn installing(&mut self, index: u64) {
        if let Some(arriving) = self.arriving.as_mut().filter(|arriving| arriving.index == index) {
            arriving.taken = true;
        }
    }

    /// Tells the snapshot's sender when the state has reached it.
    pub(super) fn arrived(&mut self, applied: u64) {
        if let Some(arriving) = self.arriving.take_if(|arriving| arriving.index <= applied) {
            // The connection may have broken meanwhile; raft's own acknowledgement is on its
            // way all the same.
            let _ = arriving.answer.send(());
        }
    }

    /// Hands leadership over, if this member leads.
    pub(super) fn transfer(&mut self, to: MemberId, answer: Answer<()>, now: Duration) {
        let status = self.replica.status();
        answer.send(if status.role != Role::Leader {
            Err(self.not_leader())
        } else if !status.membership.voters.contains(&to) {
            Err(StoreError::NotVoter { member: to })
        } else {
            self.replica.handle(Input::TransferLeader { to }, now);
            Ok(())
        });
    }
}
