//! Replicas, their disks and the wires between them, all moved by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::entry::LogEntry;
use crate::message::{MessageKind, PeerMessage};
use crate::wal::Record;

/// One member with what its disk would hold.
pub(super) struct Node {
    pub(super) replica: Replica,
    /// Everything it asked for, for tests to look at.
    pub(super) seen: Vec<Effect>,
    /// Groups given out and not yet synced.
    pub(super) unsynced: VecDeque<Effect>,
    checkpoint: Checkpoint,
    log: Vec<LogEntry>,
    hard_state: HardState,
    pub(super) checkpoint_due: Option<Checkpoint>,
}

/// What a crash leaves.
pub(super) struct Disk {
    checkpoint: Checkpoint,
    log: Vec<LogEntry>,
    hard_state: HardState,
}

pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) wires: VecDeque<(PeerMessage, Option<State>)>,
    /// Members whose disks do not sync by themselves.
    pub(super) slow_disks: BTreeSet<u64>,
    /// Members that nothing reaches or leaves.
    pub(super) cut_off: BTreeSet<u64>,
    /// Kinds that are lost.
    pub(super) lost: Vec<MessageKind>,
    pub(super) now: Duration,
    requests: u64,
    incarnation: u64,
    pub(super) keep_entries: u64,
    pub(super) checkpoint_entries: u64,
}

impl Node {
    /// Takes records over to the disk.
    fn keep(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            match record {
                Record::Entry(entry) => {
                    self.log.retain(|e| e.index < entry.index);
                    self.log.push(entry);
                }
                Record::HardState(state) => self.hard_state = state,
                Record::Snapshot(_) => self.log.clear(),
            }
        }
    }
}

impl Cluster {
    pub(super) fn new(members: u64) -> Self {
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            wires: VecDeque::new(),
            slow_disks: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            lost: Vec::new(),
            now: Duration::ZERO,
            requests: 0,
            incarnation: 0,
            keep_entries: 1000,
            checkpoint_entries: 1000,
        };
        let membership = Membership::of_voters((1..=members).map(MemberId));
        for id in 1..=members {
            cluster.start(
                id,
                Checkpoint::initial(membership.clone()),
                Vec::new(),
                HardState { term: 1, vote: 0, commit: 1 },
            );
        }
        cluster
    }

    /// A cluster that has elected a leader; returns it too.
    pub(super) fn with_leader(members: u64) -> (Self, u64) {
        let mut cluster = Self::new(members);
        let leader = cluster.elect();
        (cluster, leader)
    }

    pub(super) fn start(
        &mut self,
        id: u64,
        checkpoint: Checkpoint,
        log: Vec<LogEntry>,
        hard_state: HardState,
    ) {
        self.incarnation += 1;
        let mut config = Config::new(MemberId(id), 42, self.incarnation);
        config.keep_entries = self.keep_entries;
        config.checkpoint_entries = self.checkpoint_entries;
        let entries: Vec<_> =
            log.iter().filter(|e| e.index > checkpoint.applied).cloned().collect();
        let commit = hard_state.commit.max(checkpoint.applied);
        let recovered = Recovered {
            checkpoint: checkpoint.clone(),
            hard_state: HardState { commit, ..hard_state },
            entries,
        };
        let replica = Replica::new(config, recovered, self.now).unwrap();
        let node = Node {
            replica,
            seen: Vec::new(),
            unsynced: VecDeque::new(),
            checkpoint,
            log,
            hard_state,
            checkpoint_due: None,
        };
        self.nodes.insert(id, node);
    }

    /// Starts a member that knows nobody, not even itself.
    pub(super) fn start_blank(&mut self, id: u64) {
        let (membership, state) = (Membership::default(), State::new());
        let blank = Checkpoint { applied: 0, term: 0, membership, state };
        self.start(id, blank, Vec::new(), HardState::default());
    }

    /// Crashes a member and starts it from what was synced.
    pub(super) fn restart(&mut self, id: u64) {
        let disk = self.crash(id, 0);
        self.revive(id, disk);
    }

    /// Crashes a member; returns what was synced, and the first `kept` records of the group that
    /// was being written.
    pub(super) fn crash(&mut self, id: u64, kept: usize) -> Disk {
        let mut node = self.nodes.remove(&id).unwrap();
        if let Some(Effect::Persist { records, .. }) = node.unsynced.pop_front() {
            node.keep(records.into_iter().take(kept));
        }
        // As recovery does: no vote was given in a term whose record is not there.
        let last_term = node.log.last().map_or(0, |entry| entry.term);
        if node.hard_state.term < last_term {
            node.hard_state.term = last_term;
            node.hard_state.vote = 0;
        }
        Disk { checkpoint: node.checkpoint, log: node.log, hard_state: node.hard_state }
    }

    /// Starts a crashed member.
    pub(super) fn revive(&mut self, id: u64, disk: Disk) {
        self.start(id, disk.checkpoint, disk.log, disk.hard_state);
        self.collect(id);
    }

    /// Has the disk of a member know a commit index.
    pub(super) fn know_commit(&mut self, id: u64, commit: u64) {
        self.node(id).hard_state.commit = commit;
    }

    pub(super) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub(super) fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    pub(super) fn input(&mut self, id: u64, input: Input) {
        let now = self.now;
        self.node(id).replica.handle(input, now);
        self.collect(id);
    }

    /// Carries out what a member asks for.
    pub(super) fn collect(&mut self, id: u64) {
        loop {
            let effects = self.node(id).replica.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.carry_out(id, effect);
            }
            if !self.slow_disks.contains(&id) {
                self.sync(id);
            }
        }
    }

    fn carry_out(&mut self, id: u64, effect: Effect) {
        match &effect {
            Effect::Send(message) => self.wires.push_back((PeerMessage::clone(message), None)),
            Effect::SendSnapshot { message, state } => {
                let (message, state) = (PeerMessage::clone(message), State::clone(state));
                self.wires.push_back((message, Some(state)));
            }
            Effect::Persist { .. } | Effect::InstallSnapshot { .. } => {
                self.node(id).unsynced.push_back(effect.clone());
            }
            Effect::StartCheckpoint(checkpoint) => {
                self.node(id).checkpoint_due = Some(Checkpoint::clone(checkpoint));
            }
            _ => {}
        }
        self.node(id).seen.push(effect);
    }

    /// Syncs all that a member has written.
    pub(super) fn sync(&mut self, id: u64) {
        while self.sync_one(id) {}
    }

    /// Syncs the next group that a member has written; false when there is none.
    pub(super) fn sync_one(&mut self, id: u64) -> bool {
        let now = self.now;
        let node = self.node(id);
        let Some(group) = node.unsynced.pop_front() else { return false };
        let (sequence, records) = match group {
            Effect::Persist { sequence, records } => (sequence, records),
            Effect::InstallSnapshot { sequence, checkpoint, records } => {
                node.checkpoint = *checkpoint;
                (sequence, records)
            }
            other => panic!("{other:?} is not a group"),
        };
        node.keep(records);
        node.replica.handle(Input::Persisted { sequence }, now);
        true
    }

    /// Writes the checkpoint a member asked for.
    pub(super) fn write_checkpoint(&mut self, id: u64) -> u64 {
        let checkpoint = self.node(id).checkpoint_due.take().unwrap();
        let applied = checkpoint.applied;
        self.node(id).checkpoint = checkpoint;
        self.input(id, Input::CheckpointWritten { applied });
        applied
    }

    /// Delivers everything on the wires, and what comes of it.
    pub(super) fn settle(&mut self) {
        while self.deliver_one() {}
    }

    /// Delivers the next message on the wires; false when there is none.
    pub(super) fn deliver_one(&mut self) -> bool {
        let Some((message, state)) = self.wires.pop_front() else { return false };
        let (from, to) = (message.from, message.to);
        let lost = self.cut_off.contains(&from)
            || self.cut_off.contains(&to)
            || self.lost.contains(&message.kind());
        let peer = MemberId(to);
        let arrived = !lost && self.nodes.contains_key(&to);
        let snapshot = state.is_some();
        if arrived {
            match state {
                Some(state) => self.input(to, Input::SnapshotReceived { message, state }),
                None => self.input(to, Input::Peer(message)),
            }
        }
        if snapshot {
            self.input(from, Input::SnapshotSent { peer, ok: arrived });
        }
        true
    }

    /// Lets one tick pass everywhere.
    pub(super) fn tick(&mut self) {
        self.now += TICK;
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        for id in ids {
            self.input(id, Input::Tick);
            self.settle();
        }
    }

    /// Lets time pass until somebody leads and has committed in its term; returns who.
    pub(super) fn elect(&mut self) -> u64 {
        for _ in 0..100 {
            self.tick();
            if let Some(leader) = self.leader() {
                return leader;
            }
        }
        panic!("nobody leads after ten seconds");
    }

    pub(super) fn leader(&self) -> Option<u64> {
        let leads = |node: &Node| {
            let status = node.replica.status();
            status.role == Role::Leader && status.applied == status.last_index
        };
        let reachable = |id: &u64| !self.cut_off.contains(id);
        self.nodes.iter().find(|(id, node)| reachable(id) && leads(node)).map(|(id, _)| *id)
    }

    pub(super) fn others(&self, id: u64) -> Vec<u64> {
        self.nodes.keys().copied().filter(|other| *other != id).collect()
    }

    pub(super) fn propose(&mut self, id: u64, key: &str, value: &str) -> RequestId {
        let request = self.request();
        self.input(id, Input::Propose { request, command: put(key, value) });
        request
    }

    pub(super) fn read(&mut self, id: u64) -> RequestId {
        let request = self.request();
        self.input(id, Input::ReadIndex { request });
        request
    }

    pub(super) fn done(&mut self, id: u64, request: RequestId) -> bool {
        self.node(id).seen.iter().any(|effect| is_done(effect, request))
    }

    pub(super) fn ready(&mut self, id: u64, request: RequestId) -> bool {
        self.node(id).seen.iter().any(|effect| is_ready(effect, request))
    }
}
