//! What comes from other members, checked before the library sees it.
//!
//! The library panics on messages that a healthy member never sends, and some of its fixes
//! are not in the released version; both are dealt with here, from the outside.

use argosy_kv::{Command, State};

use super::{FatalError, Replica};
use crate::entry::{EntryKind, LogEntry};
use crate::membership::{MemberId, MembershipStep};
use crate::message::{MessageKind, PeerMessage};

impl Replica {
    pub(super) fn peer(&mut self, message: PeerMessage) {
        self.pump();
        // A snapshot without its state is of no use.
        if message.kind() != MessageKind::Snapshot {
            self.step(message);
        }
    }

    /// A snapshot arrived whole.
    pub(super) fn snapshot_received(&mut self, message: PeerMessage, state: State) {
        self.pump();
        let installing = self.rounds.iter().any(|round| round.install.is_some());
        let Some(point) = message.snapshot.clone() else { return };
        let fits = point.index == state.applied_index() && point.index > 0;
        if message.kind() != MessageKind::Snapshot || !fits || installing {
            return;
        }
        self.offered = Some((point, state));
        self.step(message);
        self.offered = None;
    }

    fn step(&mut self, mut message: PeerMessage) {
        match self.admit(&mut message) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.fatal(error),
        }
        if let Some(message) = message.to_raft() {
            // The only errors are dropped proposals, whose deadline runs at their member, and
            // answers of members that are no longer known.
            drop(self.raw.step(message));
            self.set_timeout();
        }
        // At once: what was promised as a follower and what is sent as a leader must not come
        // out of the library in one round, whose messages all wait for the disk or all do not.
        self.pump();
    }

    /// Tells whether the library may see the message.
    fn admit(&self, message: &mut PeerMessage) -> Result<bool, FatalError> {
        let from = MemberId(message.from);
        let known = message.to == self.config.member_id.0
            && message.from != 0
            && message.from != message.to
            && !self.membership.removed.contains(&from);
        let forwarded = matches!(message.kind(), MessageKind::Propose | MessageKind::ReadIndex);
        // The library takes a message without a term for one of its own.
        if !known || (message.term == 0) != forwarded {
            return Ok(false);
        }
        let current = message.term >= self.raw.raft.term;
        match message.kind() {
            MessageKind::Unspecified => Ok(false),
            // Passed on once only: two members that take each other for the leader would
            // pass it to and fro.
            MessageKind::Propose => Ok(self.is_leader() && well_formed(&message.entries)),
            MessageKind::ReadIndex => Ok(self.is_leader() && message.entries.len() == 1),
            MessageKind::TransferLeader => Ok(self.is_leader()),
            MessageKind::Append if current => self.admit_append(message),
            MessageKind::Heartbeat if current => self.admit_heartbeat(message),
            MessageKind::AppendResponse => Ok(self.admit_append_response(message)),
            // Campaigning at once is not possible while a snapshot is being installed.
            MessageKind::TimeoutNow => Ok(self.rounds.iter().all(|round| round.install.is_none())),
            _ => Ok(true),
        }
    }

    /// A leader's log has every committed entry: one that differs from ours means that a
    /// member lost part of its log and went on.
    fn admit_append(&self, message: &PeerMessage) -> Result<bool, FatalError> {
        let committed = self.raw.raft.raft_log.committed;
        let mut expected = message.index;
        for entry in &message.entries {
            expected += 1;
            if entry.index != expected || entry.term > message.term {
                return Ok(false);
            }
            let ours = self.raw.store().known_term(entry.index);
            if let Some(ours) = ours.filter(|ours| *ours != entry.term)
                && entry.index <= committed
            {
                return Err(FatalError::CommittedConflict {
                    from: MemberId(message.from),
                    index: entry.index,
                    ours,
                    theirs: entry.term,
                });
            }
        }
        Ok(true)
    }

    /// A leader sends a commit index no higher than what this member acknowledged to it.
    fn admit_heartbeat(&self, message: &PeerMessage) -> Result<bool, FatalError> {
        let last_index = self.raw.raft.raft_log.last_index();
        if message.commit <= last_index {
            return Ok(true);
        }
        let (from, commit) = (MemberId(message.from), message.commit);
        Err(FatalError::LogBehindCommit { from, commit, last_index })
    }

    /// Keeps `next > match` for the sender: a late refusal would make the library probe below
    /// what the sender is known to have (raft-rs 557, after 0.7.0).
    fn admit_append_response(&self, message: &mut PeerMessage) -> bool {
        let raft = &self.raw.raft;
        let Some(progress) = raft.prs().get(message.from) else { return true };
        if !self.is_leader() || message.term != raft.term {
            return true;
        }
        if !message.reject {
            return message.index <= raft.raft_log.last_index();
        }
        let matched = progress.matched;
        if message.request_snapshot != 0 || matched == 0 {
            return true;
        }
        if message.index <= matched {
            return false;
        }
        // As the library computes it.
        let probe = match message.log_term {
            0 => message.reject_hint,
            term => raft.raft_log.find_conflict_by_term(message.reject_hint, term).0,
        };
        if probe < matched {
            message.reject_hint = matched;
            message.log_term = raft.raft_log.term(matched).unwrap_or(0);
        }
        true
    }
}

/// A forwarded proposal must be readable here: once in the log, an unreadable command would
/// end every member that applies it.
fn well_formed(entries: &[LogEntry]) -> bool {
    !entries.is_empty()
        && entries.iter().all(|entry| match entry.kind() {
            EntryKind::Empty => false,
            EntryKind::Command => Command::decode(&entry.data).is_ok(),
            EntryKind::Membership => {
                matches!(MembershipStep::decode(&entry.data), Ok(MembershipStep::Change(_)))
            }
        })
}
