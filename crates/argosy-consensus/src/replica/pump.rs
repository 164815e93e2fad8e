//! Takes from the library what is to be sent, written and applied.

use raft::eraftpb::{Entry, Message, Snapshot};
use raft::{Ready, StateRole};

use super::{Effect, Replica};
use crate::checkpoint::Checkpoint;
use crate::entry::{EntryKind, LogEntry};
use crate::wal::{HardState, Record, SnapshotMark};

/// One `Ready` of the library whose consequences wait for the disk.
pub(super) struct Round {
    /// The library's number of it, which is also the sequence of its group.
    number: u64,
    /// Whether a group was given out for it.
    writes: bool,
    /// To be sent when this round and all before it are durable.
    messages: Vec<Message>,
    /// A received snapshot, to become the state when it is durable.
    pub(super) install: Option<Box<Checkpoint>>,
}

impl Replica {
    /// Takes all there is.
    pub(super) fn pump(&mut self) {
        while !self.ended {
            if let Some(context) = self.reads.next_context(self.now, self.planted) {
                self.raw.read_index(context);
            }
            if !self.raw.has_ready() {
                break;
            }
            let ready = self.raw.ready();
            self.round(ready);
        }
    }

    fn round(&mut self, mut ready: Ready) {
        let number = ready.number();
        // A leader's messages may leave before its own disk has the entries: it counts itself
        // only once it does (raft thesis 10.2.1). What others promise must be durable first.
        for message in ready.take_messages() {
            self.send(&message);
        }
        for answer in ready.take_read_states() {
            self.reads.answered(&answer);
        }
        let mut records = Vec::new();
        let install = self.take_snapshot(ready.snapshot());
        if let Some(checkpoint) = &install {
            let Checkpoint { applied: index, term, .. } = **checkpoint;
            records.push(Record::Snapshot(SnapshotMark { index, term }));
        }
        self.raw.mut_store().append(ready.entries());
        self.add_entries(&mut records, ready.entries());
        self.add_hard_state(&mut records, ready.must_sync());
        let writes = !records.is_empty();
        if let Some(checkpoint) = install.clone() {
            self.effects.push(Effect::InstallSnapshot { sequence: number, checkpoint, records });
        } else if writes {
            self.effects.push(Effect::Persist { sequence: number, records });
        }
        let messages = ready.take_persisted_messages();
        self.rounds.push_back(Round { number, writes, messages, install });
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        self.tell_leadership();
        self.apply(committed);
        if self.planted.early_acknowledge() && self.raw.raft.state == StateRole::Leader {
            self.raw.on_persist_ready(number);
        }
        self.finish_rounds(0);
    }

    /// Adds entries. Before each change of the membership goes what is committed before it, so
    /// that no crash leaves the change on the disk without that.
    ///
    /// A member goes by the last change that it knows to be committed. One that began again with
    /// a membership two changes old could win an election, or elect itself, beside a majority of
    /// the newest: only neighbours are sure to have a voter in common.
    fn add_entries(&mut self, records: &mut Vec<Record>, entries: &[Entry]) {
        for entry in entries.iter().map(LogEntry::from_raft) {
            if entry.kind() == EntryKind::Membership {
                let commit = self.raw.raft.raft_log.committed.min(entry.index - 1);
                if commit > self.written.commit {
                    let (term, vote) = (self.raw.raft.term, self.raw.raft.vote);
                    self.written = HardState { term, vote, commit };
                    records.push(Record::HardState(self.written));
                }
            }
            records.push(Record::Entry(entry));
        }
    }

    /// Adds the vote, entries first: its commit index may rest on them. A mere change of the
    /// commit index waits for the next group, as it may be lost.
    fn add_hard_state(&mut self, records: &mut Vec<Record>, must_sync: bool) {
        let raft = &self.raw.raft;
        let (term, vote) = (raft.term, raft.vote);
        let state = HardState { term, vote, commit: raft.raft_log.committed };
        let worth_it = must_sync || !records.is_empty();
        if worth_it && state != self.written {
            self.written = state;
            records.push(Record::HardState(state));
        }
    }

    /// Takes the snapshot that the library accepted, with the state that came beside it.
    fn take_snapshot(&mut self, snapshot: &Snapshot) -> Option<Box<Checkpoint>> {
        let (point, state) = self.offered.take()?;
        if snapshot.is_empty() {
            // Not accepted: the log has all of it already.
            return None;
        }
        self.raw.mut_store().install(&point);
        let membership = point.membership();
        Some(Box::new(Checkpoint { applied: point.index, term: point.term, membership, state }))
    }

    /// Everything up to this round is durable.
    pub(super) fn persisted(&mut self, sequence: u64) {
        self.finish_rounds(sequence);
    }

    /// Ends the rounds that are durable or have nothing to write, in order.
    fn finish_rounds(&mut self, sequence: u64) {
        let mut last = None;
        while let Some(round) =
            self.rounds.pop_front_if(|round| round.number <= sequence || !round.writes)
        {
            for message in round.messages {
                self.send(&message);
            }
            last = Some(round.number);
            if let Some(checkpoint) = round.install {
                self.raw.on_persist_ready(round.number);
                self.installed(*checkpoint);
            }
        }
        if let Some(number) = last {
            self.raw.on_persist_ready(number);
        }
    }

    fn tell_leadership(&mut self) {
        let is_leader = self.is_leader();
        let now = (self.raw.raft.term, self.raw.raft.leader_id, is_leader);
        if now == self.told {
            return;
        }
        self.told = now;
        self.reads.retry_now(self.now);
        let (term, leader) = (self.raw.raft.term, self.leader());
        self.effects.push(Effect::LeadershipChanged { term, leader, is_leader });
    }
}
