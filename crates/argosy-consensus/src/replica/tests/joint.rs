//! Several learners become voters together, through a joint membership.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Disk;
use super::membership::{change, changed};
use super::*;
use crate::message::MessageKind;
use crate::wal::Record;

fn members(ids: impl IntoIterator<Item = u64>) -> BTreeSet<MemberId> {
    ids.into_iter().map(MemberId).collect()
}

fn three() -> Membership {
    Membership::of_voters(members(1..=3))
}

fn joint() -> Membership {
    Membership { outgoing: members([1]), ..three() }
}

/// Lets learners join the cluster and catch up.
fn add_learners(cluster: &mut Cluster, leader: u64, ids: &[u64]) {
    for id in ids {
        change(cluster, leader, MemberChange::AddLearner(MemberId(*id)));
        cluster.start_blank(*id);
        for _ in 0..10 {
            cluster.tick();
        }
    }
}

/// One voter with two learners, as before the third machine votes.
fn grown(tune: fn(&mut Cluster)) -> Cluster {
    let mut cluster = Cluster::new(1);
    tune(&mut cluster);
    cluster.restart(1);
    assert_eq!(cluster.elect(), 1);
    add_learners(&mut cluster, 1, &[2, 3]);
    cluster
}

fn promote(cluster: &mut Cluster) -> RequestId {
    change(cluster, 1, MemberChange::Promote(members([2, 3])))
}

fn membership(cluster: &mut Cluster, id: u64) -> Membership {
    cluster.node(id).replica.status().membership
}

fn all_are(cluster: &mut Cluster, wanted: &Membership) -> bool {
    let ids: Vec<u64> = cluster.nodes.keys().copied().collect();
    ids.into_iter().all(|id| membership(cluster, id) == *wanted)
}

#[track_caller]
fn until_all_are(cluster: &mut Cluster, wanted: &Membership) {
    for _ in 0..100 {
        if all_are(cluster, wanted) {
            return;
        }
        cluster.tick();
    }
    panic!("not all members come to {wanted:?}");
}

#[test]
fn one_voter_becomes_three_and_never_two() {
    let mut cluster = grown(|_| {});
    let request = promote(&mut cluster);
    assert!(changed(&mut cluster, 1, request));
    assert_eq!(membership(&mut cluster, 1), three(), "left without waiting for a tick");
    until_all_are(&mut cluster, &three());
    for id in 1..=3 {
        let gone_by = cluster.node(id).seen.iter().filter_map(|effect| match effect {
            Effect::MembershipChanged { membership, .. } => Some(membership.clone()),
            _ => None,
        });
        let gone_by: Vec<_> = gone_by.filter(|m| m.learners.is_empty()).collect();
        assert_eq!(gone_by, [joint(), three()], "member {id}");
    }
    cluster.cut_off.insert(1);
    let next = cluster.elect();
    let request = cluster.propose(next, "a", "1");
    cluster.settle();
    assert!(cluster.done(next, request), "any one of the three may be lost");
}

#[test]
fn one_learner_needs_no_joint_step() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    add_learners(&mut cluster, leader, &[4]);
    change(&mut cluster, leader, MemberChange::promote(MemberId(4)));
    until_all_are(&mut cluster, &Membership::of_voters(members(1..=4)));
    let was_joint = |effect: &Effect| matches!(effect, Effect::MembershipChanged { membership, .. } if membership.is_joint());
    assert!(!cluster.node(leader).seen.iter().any(was_joint));
}

#[test]
fn another_change_waits_until_the_joint_one_is_over() {
    let mut cluster = grown(|_| {});
    cluster.cut_off.extend([2, 3]);
    promote(&mut cluster);
    assert_eq!(membership(&mut cluster, 1), joint());
    let refused = change(&mut cluster, 1, MemberChange::AddLearner(MemberId(4)));
    assert_eq!(failure(&cluster.node(1).seen, refused), Some(&WhyFailed::Dropped));
    cluster.cut_off.clear();
    until_all_are(&mut cluster, &three());
    let leader = cluster.elect();
    change(&mut cluster, leader, MemberChange::AddLearner(MemberId(4)));
    assert!(membership(&mut cluster, leader).learners.contains(&MemberId(4)));
}

/// A cluster in which all three go by the joint membership, and cannot leave it.
fn held_in_joint(tune: fn(&mut Cluster)) -> Cluster {
    let mut cluster = grown(tune);
    cluster.lost.push(MessageKind::AppendResponse);
    promote(&mut cluster);
    cluster.tick();
    for id in 1..=3 {
        assert_eq!(membership(&mut cluster, id), joint(), "member {id}");
    }
    cluster
}

#[test]
fn the_new_majority_decides_nothing_without_the_old_one() {
    let mut cluster = held_in_joint(|_| {});
    cluster.cut_off.insert(1);
    cluster.lost.clear();
    for _ in 0..100 {
        cluster.tick();
        assert_eq!(cluster.leader(), None, "the first voter must agree");
    }
    let request = cluster.propose(1, "alone", "1");
    cluster.settle();
    assert!(!cluster.done(1, request), "and cannot go on alone either");
    cluster.cut_off.clear();
    until_all_are(&mut cluster, &three());
    cluster.cut_off.insert(1);
    let next = cluster.elect();
    assert_ne!(next, 1, "the new majority is enough from now on");
}

#[test]
fn whoever_leads_next_leaves_the_joint_membership() {
    let five = Membership::of_voters(members(1..=5));
    for lost in [false, true] {
        let (mut cluster, leader) = Cluster::with_leader(3);
        add_learners(&mut cluster, leader, &[4, 5]);
        let (request, change) = (cluster.request(), MemberChange::Promote(members([4, 5])));
        cluster.input(leader, Input::ProposeMember { request, change });
        while !membership(&mut cluster, leader).is_joint() {
            assert!(cluster.deliver_one(), "it is entered");
        }
        // The leader is gone at the moment it goes by the joint membership.
        if lost {
            drop(cluster.crash(leader, 0));
        }
        cluster.cut_off.insert(leader);
        let next = cluster.elect();
        assert_ne!(next, leader);
        for _ in 0..5 {
            cluster.tick();
        }
        assert_eq!(membership(&mut cluster, next), five);
        let request = cluster.propose(next, "a", "1");
        cluster.settle();
        assert!(cluster.done(next, request));
        cluster.cut_off.clear();
        until_all_are(&mut cluster, &five);
    }
}

/// Writes the checkpoint of each entry at once.
fn eager_checkpoints(cluster: &mut Cluster) {
    cluster.keep_entries = 1;
    cluster.checkpoint_entries = 1;
}

fn write_checkpoints(cluster: &mut Cluster, id: u64) {
    while cluster.node(id).checkpoint_due.is_some() {
        cluster.write_checkpoint(id);
    }
}

#[test]
fn a_joint_membership_survives_in_a_checkpoint() {
    let mut cluster = grown(eager_checkpoints);
    write_checkpoints(&mut cluster, 1);
    cluster.cut_off.extend([2, 3]);
    promote(&mut cluster);
    write_checkpoints(&mut cluster, 1);
    let applied = cluster.node(1).replica.status().applied;
    assert_eq!(cluster.node(1).replica.status().checkpoint, applied);
    cluster.restart(1);
    assert_eq!(membership(&mut cluster, 1), joint(), "from the checkpoint, without the log");
    for _ in 0..50 {
        cluster.tick();
        assert_ne!(cluster.node(1).replica.status().role, Role::Leader, "two must agree");
    }
    cluster.cut_off.clear();
    until_all_are(&mut cluster, &three());
}

#[test]
fn a_joint_membership_travels_in_a_snapshot() {
    let mut cluster = grown(eager_checkpoints);
    cluster.cut_off.extend([2, 3]);
    for n in 0..20 {
        cluster.propose(1, &format!("k{n}"), "v");
    }
    write_checkpoints(&mut cluster, 1);
    promote(&mut cluster);
    write_checkpoints(&mut cluster, 1);
    cluster.cut_off.remove(&3);
    cluster.node(3).seen.clear();
    let mut heartbeats = 0;
    while membership(&mut cluster, 3) != joint() {
        // Nothing else is on the way: the next heartbeat finds out how far it is behind.
        if !cluster.deliver_one() {
            heartbeats += 1;
            assert!(heartbeats < 100, "no state comes");
            cluster.now += TICK;
            cluster.input(1, Input::Tick);
        }
    }
    let replaced = |effect: &Effect| matches!(effect, Effect::StateReplaced { .. });
    assert!(cluster.node(3).seen.iter().any(replaced), "it came with the state");
    cluster.wires.clear();
    cluster.restart(3);
    assert_eq!(membership(&mut cluster, 3), joint());
    cluster.cut_off.clear();
    until_all_are(&mut cluster, &three());
}

/// Returns the records a member was given to write, in order.
fn records(cluster: &mut Cluster, id: u64) -> Vec<Record> {
    let written = cluster.node(id).seen.iter().filter_map(|effect| match effect {
        Effect::Persist { records, .. } => Some(records.clone()),
        _ => None,
    });
    written.flatten().collect()
}

#[test]
fn no_disk_has_the_end_of_a_joint_membership_without_its_beginning_being_committed() {
    let mut cluster = grown(|_| {});
    // The third hears of both at once, later.
    cluster.cut_off.insert(3);
    promote(&mut cluster);
    cluster.tick();
    cluster.cut_off.clear();
    until_all_are(&mut cluster, &three());
    for id in 1..=3 {
        let (mut commit, mut entered, mut ends) = (0, None, 0);
        for record in records(&mut cluster, id) {
            match record {
                Record::HardState(state) => commit = state.commit,
                Record::Entry(entry) if entry.is_joint() && entry.data.is_empty() => {
                    assert!(entered.is_some_and(|entered| commit >= entered), "member {id}");
                    ends += 1;
                }
                Record::Entry(entry) if entry.is_joint() => entered = Some(entry.index),
                Record::Entry(_) | Record::Snapshot(_) => {}
            }
        }
        assert_eq!(ends, 1, "member {id}");
    }
}

/// A promotion that is played step by step: a step delivers a message or syncs a group.
struct Steps {
    cluster: Cluster,
    turn: u64,
    /// Who led each term.
    leaders: BTreeMap<u64, u64>,
    acknowledged: RequestId,
}

impl Steps {
    fn begin() -> Self {
        let mut cluster = grown(|_| {});
        cluster.slow_disks = (1..=3).collect();
        let acknowledged = cluster.propose(1, "written", "before");
        let (request, change) = (cluster.request(), MemberChange::Promote(members([2, 3])));
        cluster.input(1, Input::ProposeMember { request, change });
        Self { cluster, turn: 0, leaders: BTreeMap::new(), acknowledged }
    }

    /// Takes one step; false when nothing is left to be done.
    fn step(&mut self) -> bool {
        for _ in 0..4 {
            self.turn += 1;
            let done = match self.turn % 4 {
                0 => self.cluster.deliver_one(),
                id => self.cluster.sync_one(id),
            };
            if done {
                for id in 1..=3 {
                    self.cluster.collect(id);
                }
                return true;
            }
        }
        false
    }

    /// No two members ever lead in one term.
    fn look_at_leaders(&mut self) {
        for (id, node) in &self.cluster.nodes {
            for effect in &node.seen {
                if let Effect::LeadershipChanged { term, is_leader: true, .. } = effect {
                    assert_eq!(self.leaders.entry(*term).or_insert(*id), id, "term {term}");
                }
            }
        }
    }

    fn tick(&mut self, count: u32) {
        for _ in 0..count {
            self.cluster.tick();
            self.look_at_leaders();
        }
    }

    /// Crashes members, and lets the rest go on without them for a while.
    fn crash(&mut self, victims: &[u64], kept: usize, away: u32) {
        self.look_at_leaders();
        let done = self.cluster.done(1, self.acknowledged);
        let crashed: Vec<(u64, Disk)> =
            victims.iter().map(|id| (*id, self.cluster.crash(*id, kept))).collect();
        self.cluster.slow_disks.clear();
        let left: Vec<u64> = self.cluster.nodes.keys().copied().collect();
        for id in left {
            self.cluster.sync(id);
            self.cluster.collect(id);
        }
        self.tick(away);
        for (id, disk) in crashed {
            self.cluster.revive(id, disk);
        }
        self.tick(60);
        if done {
            for id in 1..=3 {
                let found = get(&self.cluster.node(id).replica, "written");
                assert_eq!(found.as_deref(), Some("before"), "member {id}");
            }
        }
    }

    /// Everybody has come to the same end: three voters, or one if nobody kept the change.
    fn judge(mut self) {
        let before =
            Membership { learners: members([2, 3]), ..Membership::of_voters(members([1])) };
        let leader = self.cluster.elect();
        if all_are(&mut self.cluster, &before) {
            promote(&mut self.cluster);
        }
        until_all_are(&mut self.cluster, &three());
        self.cluster.propose(leader, "after", "1");
        self.tick(20);
        let hash = |id| argosy_kv::invariants::hash(self.cluster.nodes[&id].replica.state());
        assert_eq!([hash(1), hash(2)], [hash(2), hash(3)]);
    }
}

#[test]
fn a_torn_group_leaves_nobody_two_memberships_behind() {
    for kept in 0..4 {
        let mut cluster = grown(|_| {});
        let acknowledged = cluster.propose(1, "written", "before");
        cluster.settle();
        // The first voter alone has made it joint, and dies while it writes the end of that.
        cluster.cut_off.extend([2, 3]);
        cluster.slow_disks.insert(1);
        let (request, change) = (cluster.request(), MemberChange::Promote(members([2, 3])));
        cluster.input(1, Input::ProposeMember { request, change });
        assert!(cluster.sync_one(1), "the beginning");
        cluster.collect(1);
        assert_eq!(membership(&mut cluster, 1), joint());
        let disk = cluster.crash(1, kept);
        cluster.slow_disks.clear();
        cluster.cut_off.clear();
        cluster.wires.clear();
        // It comes back, tells the others, and is gone again before it writes anything else.
        cluster.revive(1, disk);
        cluster.settle();
        let mut steps = Steps { cluster, turn: 0, leaders: BTreeMap::new(), acknowledged };
        steps.tick(3);
        steps.crash(&[1], 0, 40);
        steps.judge();
    }
}

#[test]
fn a_crash_at_any_step_comes_to_the_same_end() {
    let victims: [&[u64]; 5] = [&[1], &[2], &[3], &[1, 2], &[1, 2, 3]];
    let mut played = 0;
    for victims in victims {
        for (kept, away) in [(0, 0), (1, 40), (2, 40), (3, 0)] {
            for crash_at in 0.. {
                let mut steps = Steps::begin();
                let all_taken = (0..crash_at).all(|_| steps.step());
                if !all_taken {
                    break;
                }
                steps.crash(victims, kept, away);
                steps.judge();
                played += 1;
            }
        }
    }
    assert!(played > 300, "{played} crashes are few");
}
