//! What waits, what overtakes, what is dropped.

use argosy_consensus::{EntryKind, LogEntry, MessageKind, PeerMessage};
use bytes::Bytes;

use super::*;

fn message(kind: MessageKind, index: u64) -> PeerMessage {
    PeerMessage { kind: kind.into(), index, term: 3, commit: 7, ..PeerMessage::default() }
}

/// An append after `index` of as many entries as there are sizes.
fn append(index: u64, sizes: &[usize]) -> PeerMessage {
    let entry = |(number, size): (u64, &usize)| LogEntry {
        index: number,
        term: 2,
        kind: EntryKind::Command.into(),
        data: Bytes::from(vec![7; *size]),
        origin: Bytes::new(),
    };
    let mut append = message(MessageKind::Append, index);
    append.log_term = 1;
    append.entries = (index + 1..).zip(sizes).map(entry).collect();
    append
}

fn open() -> Outbox {
    let outbox = Outbox::default();
    outbox.open();
    outbox
}

fn taken(outbox: &Outbox, bytes_max: usize) -> Vec<PeerMessage> {
    outbox.take(bytes_max).messages
}

#[test]
fn what_is_urgent_overtakes_appends_and_each_lane_keeps_its_order() {
    let outbox = open();
    assert!(outbox.send(append(1, &[10])));
    assert!(outbox.send(message(MessageKind::Heartbeat, 0)));
    assert!(outbox.send(append(2, &[])));
    assert!(outbox.send(message(MessageKind::AppendResponse, 9)));
    let kinds: Vec<_> = taken(&outbox, usize::MAX).iter().map(|m| (m.kind(), m.index)).collect();
    let expected = [
        (MessageKind::Heartbeat, 0),
        (MessageKind::AppendResponse, 9),
        (MessageKind::Append, 1),
        (MessageKind::Append, 2),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(outbox.waiting(), (0, 0));
}

#[test]
fn a_large_append_is_cut_into_appends_that_follow_each_other() {
    let outbox = open();
    let sizes = [PART_BYTES / 3; 7];
    let whole = append(10, &sizes);
    assert!(outbox.send(whole.clone()));
    let parts = taken(&outbox, usize::MAX);
    assert!(parts.len() >= 3, "{} parts", parts.len());
    let (mut index, mut log_term) = (10, 1);
    for part in &parts {
        assert_eq!((part.index, part.log_term), (index, log_term), "a part follows the one before");
        assert_eq!((part.term, part.commit), (whole.term, whole.commit));
        assert!(weight(part) <= PART_BYTES, "{} bytes", weight(part));
        let last = part.entries.last().unwrap();
        (index, log_term) = (last.index, last.term);
    }
    let entries: Vec<_> = parts.into_iter().flat_map(|part| part.entries).collect();
    assert_eq!(entries, whole.entries);
}

#[test]
fn an_entry_larger_than_a_part_travels_alone() {
    let outbox = open();
    assert!(outbox.send(append(1, &[10, 3 * PART_BYTES, 10])));
    let lengths: Vec<_> = taken(&outbox, usize::MAX).iter().map(|m| m.entries.len()).collect();
    assert_eq!(lengths, [1, 1, 1]);
}

#[test]
fn one_batch_is_bounded_and_the_rest_waits() {
    let outbox = open();
    for index in 0..4 {
        assert!(outbox.send(append(index, &[1000])));
    }
    assert_eq!(taken(&outbox, 1500).len(), 2);
    assert_eq!(outbox.waiting().0, 2);
    assert_eq!(taken(&outbox, 1).len(), 1, "at least one");
}

#[test]
fn a_full_queue_drops_what_comes_and_takes_again_once_it_is_read() {
    let outbox = open();
    let large = append(1, &[PART_BYTES - 1000]);
    let sent = (0..1000).take_while(|_| outbox.send(large.clone())).count();
    assert!(sent * PART_BYTES <= WAITING_BYTES_MAX + PART_BYTES, "{sent} messages of 1 MiB");
    assert!(sent >= 60, "only {sent} messages of 1 MiB");
    assert!(!outbox.send(large.clone()));
    taken(&outbox, 2 * PART_BYTES);
    assert!(outbox.send(large));

    let outbox = open();
    let small = message(MessageKind::Heartbeat, 0);
    let sent = (0..=WAITING_MESSAGES_MAX).take_while(|_| outbox.send(small.clone())).count();
    assert_eq!(sent, WAITING_MESSAGES_MAX);
}

#[test]
fn a_closed_queue_holds_nothing_and_takes_nothing() {
    let outbox = open();
    assert!(outbox.send(append(1, &[10])));
    outbox.close();
    assert_eq!(outbox.waiting(), (0, 0));
    assert!(!outbox.send(append(1, &[10])));
    outbox.open();
    assert!(outbox.send(append(1, &[10])));
    assert_eq!(outbox.waiting().0, 1);
}
