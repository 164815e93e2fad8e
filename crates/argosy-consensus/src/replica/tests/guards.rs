//! The library's traps, each with the guard that keeps it shut.

use bytes::Bytes;

use super::*;
use crate::entry::{EntryKind, LogEntry};
use crate::message::{MessageKind, PeerMessage};

/// The timeout of the library is ours whatever happened.
fn assert_no_chance(cluster: &Cluster) {
    for (id, node) in &cluster.nodes {
        let raft = &node.replica.raw.raft;
        let ticks = timeouts::election_ticks(42, *id, raft.term, raft.state as u64);
        assert_eq!(raft.randomized_election_timeout(), ticks, "member {id} {:?}", raft.state);
    }
}

#[test]
fn no_timeout_of_the_librarys_own_choice_survives() {
    let mut cluster = Cluster::new(3);
    assert_no_chance(&cluster);
    for round in 0..300 {
        if round % 40 == 0 {
            cluster.cut_off = [round / 40 % 3 + 1].into();
        }
        if round % 90 == 0 {
            cluster.restart(2);
            assert_no_chance(&cluster);
        }
        cluster.tick();
        assert_no_chance(&cluster);
    }
}

#[test]
fn two_runs_elect_the_same_leaders() {
    let run = || {
        let mut cluster = Cluster::new(3);
        let mut history = Vec::new();
        for round in 0..100 {
            cluster.tick();
            if round % 30 == 29 {
                cluster.cut_off = cluster.leader().into_iter().collect();
            }
            history.push(cluster.leader());
        }
        history
    };
    assert_eq!(run(), run());
}

#[test]
fn pre_vote_and_quorum_check_are_on() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let term = cluster.node(leader).replica.status().term;
    let away = cluster.others(leader)[0];
    cluster.cut_off.insert(away);
    for _ in 0..100 {
        cluster.tick();
    }
    assert_eq!(cluster.node(away).replica.status().term, term, "no term without a pre-vote");
    cluster.cut_off = [leader].into();
    for _ in 0..40 {
        cluster.tick();
    }
    assert_ne!(cluster.node(leader).replica.status().role, Role::Leader, "stepped down alone");
}

#[test]
fn appends_carry_many_entries() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let away = cluster.others(leader)[0];
    cluster.cut_off.insert(away);
    for n in 0..50 {
        cluster.propose(leader, &format!("k{n}"), "v");
        cluster.settle();
    }
    cluster.cut_off.clear();
    cluster.node(leader).seen.clear();
    for _ in 0..10 {
        cluster.tick();
    }
    let largest = cluster.node(leader).seen.iter().filter_map(|effect| match effect {
        Effect::Send(m) if m.kind() == MessageKind::Append => Some(m.entries.len()),
        _ => None,
    });
    assert!(largest.max().unwrap() >= 50);
}

fn from(kind: MessageKind, from: u64, to: u64, term: u64) -> PeerMessage {
    PeerMessage { format: 1, kind: kind.into(), from, to, term, ..PeerMessage::default() }
}

#[test]
fn a_heartbeat_beyond_the_log_ends_the_member_with_a_clear_error() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    let status = cluster.node(follower).replica.status();
    let mut beat = from(MessageKind::Heartbeat, leader, follower, status.term);
    beat.commit = status.last_index + 3;
    cluster.input(follower, Input::Peer(beat));
    let error = FatalError::LogBehindCommit {
        from: MemberId(leader),
        commit: status.last_index + 3,
        last_index: status.last_index,
    };
    let last = cluster.node(follower).seen.last();
    assert!(matches!(last, Some(Effect::Fatal(found)) if *found == error), "{last:?}");
}

#[test]
fn another_entry_for_a_committed_index_ends_the_member_with_a_clear_error() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    cluster.propose(leader, "a", "1");
    cluster.settle();
    cluster.tick();
    let follower = cluster.others(leader)[0];
    let status = cluster.node(follower).replica.status();
    let mut append = from(MessageKind::Append, leader, follower, status.term + 1);
    append.index = status.commit - 1;
    append.log_term = status.term;
    append.entries = vec![LogEntry {
        index: status.commit,
        term: status.term + 1,
        kind: EntryKind::Empty.into(),
        data: Bytes::new(),
        origin: Bytes::new(),
    }];
    cluster.input(follower, Input::Peer(append));
    let last = cluster.node(follower).seen.last();
    assert!(matches!(last, Some(Effect::Fatal(FatalError::CommittedConflict { .. }))), "{last:?}");
}

#[test]
fn messages_that_make_the_library_panic_are_not_shown_to_it() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let term = cluster.node(leader).replica.status().term;
    let follower = cluster.others(leader)[0];
    let mut holes = from(MessageKind::Append, leader, follower, term);
    holes.entries = [7, 9]
        .map(|index| LogEntry { index, term, kind: 0, data: Bytes::new(), origin: Bytes::new() })
        .into();
    let mut beyond = from(MessageKind::AppendResponse, follower, leader, term);
    beyond.index = 1_000;
    let hostile = [
        from(MessageKind::Propose, follower, leader, 0),
        from(MessageKind::ReadIndex, follower, leader, 0),
        from(MessageKind::Vote, follower, leader, 0),
        from(MessageKind::Unspecified, follower, leader, term),
        from(MessageKind::Snapshot, leader, follower, term),
        from(MessageKind::Heartbeat, leader, leader, term),
        holes,
        beyond,
    ];
    for message in hostile {
        let to = message.to;
        cluster.input(to, Input::Peer(message));
    }
    let request = cluster.propose(leader, "a", "1");
    cluster.settle();
    assert!(cluster.done(leader, request));
}

#[test]
fn an_unreadable_forwarded_command_does_not_enter_the_log() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    let last = cluster.node(leader).replica.status().last_index;
    let mut propose = from(MessageKind::Propose, follower, leader, 0);
    propose.entries = vec![LogEntry {
        index: 0,
        term: 0,
        kind: EntryKind::Command.into(),
        data: Bytes::from_static(b"\xff\xff not a command"),
        origin: Bytes::new(),
    }];
    cluster.input(leader, Input::Peer(propose));
    assert_eq!(cluster.node(leader).replica.status().last_index, last);
}

#[test]
fn forwarded_requests_are_passed_on_only_once() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let others = cluster.others(leader);
    let mut propose = from(MessageKind::Propose, others[0], others[1], 0);
    propose.entries = vec![LogEntry {
        index: 0,
        term: 0,
        kind: EntryKind::Command.into(),
        data: put("a", "1").encode(),
        origin: Bytes::new(),
    }];
    cluster.input(others[1], Input::Peer(propose));
    assert!(cluster.wires.is_empty());
}

/// raft-rs 557: a late refusal must not make the leader probe below what the follower has.
#[test]
fn the_next_index_stays_above_the_match_index() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    for n in 0..10 {
        cluster.propose(leader, "a", &n.to_string());
        cluster.settle();
    }
    cluster.cut_off.insert(follower);
    cluster.propose(leader, "a", "more");
    cluster.settle();
    let peer = MemberId(follower);
    cluster.input(leader, Input::Unreachable { peer });
    let progress = |cluster: &mut Cluster| {
        let raft = &cluster.node(leader).replica.raw.raft;
        let progress = raft.prs().get(follower).unwrap();
        (progress.matched, progress.next_idx)
    };
    let (matched, next) = progress(&mut cluster);
    let term = cluster.node(leader).replica.status().term;
    for rejected in [next - 1, matched, matched.saturating_sub(1), next] {
        for hint in [1, 2, matched - 1] {
            let mut late = from(MessageKind::AppendResponse, follower, leader, term);
            late.reject = true;
            late.index = rejected;
            late.reject_hint = hint;
            late.log_term = 1;
            cluster.input(leader, Input::Peer(late));
            let (matched, next) = progress(&mut cluster);
            assert!(next > matched, "next {next}, match {matched}");
        }
    }
}

#[test]
fn a_snapshot_under_way_keeps_elections_away() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    cluster.slow_disks.insert(follower);
    let term = cluster.node(leader).replica.status().term;
    let mut state = cluster.node(leader).replica.state().clone();
    state.advance(500, term);
    let point = SnapshotPoint::new(500, term, &Membership::of_voters((1..=3).map(MemberId)));
    let mut message = from(MessageKind::Snapshot, leader, follower, term);
    message.snapshot = Some(point);
    cluster.input(follower, Input::SnapshotReceived { message, state });
    cluster.cut_off.insert(follower);
    for _ in 0..50 {
        cluster.tick();
    }
    let hurry = from(MessageKind::TimeoutNow, leader, follower, term);
    cluster.input(follower, Input::Peer(hurry));
    assert_eq!(cluster.node(follower).replica.status().role, Role::Follower);
    cluster.sync(follower);
    cluster.collect(follower);
    assert_eq!(cluster.node(follower).replica.status().applied, 500);
}

/// raft-rs 530: the scan before an election reads all that is committed and not applied.
#[test]
fn what_is_known_to_be_committed_is_applied_before_the_first_tick() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    for n in 0..20 {
        cluster.propose(leader, &format!("k{n}"), "v");
        cluster.settle();
    }
    let last = cluster.node(leader).replica.status().last_index;
    cluster.know_commit(leader, last);
    cluster.restart(leader);
    assert_eq!(cluster.node(leader).replica.status().applied, last);
}
