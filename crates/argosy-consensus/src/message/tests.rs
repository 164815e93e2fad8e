//! Tests of messages.

use super::*;
use protobuf::Message as _;

use crate::entry::EntryKind;
use crate::membership::{MemberChange, MembershipStep};

fn append() -> PeerMessage {
    let entry = |index, kind: EntryKind, data: &'static [u8]| LogEntry {
        index,
        term: 3,
        kind: kind.into(),
        data: Bytes::from_static(data),
        origin: Bytes::from_static(b"who"),
    };
    PeerMessage {
        format: 1,
        kind: MessageKind::Append.into(),
        to: 2,
        from: 1,
        term: 3,
        log_term: 2,
        index: 8,
        entries: vec![
            entry(9, EntryKind::Empty, b""),
            entry(10, EntryKind::Command, b"command"),
            entry(11, EntryKind::Membership, b"change"),
        ],
        commit: 7,
        ..PeerMessage::default()
    }
}

fn snapshot() -> PeerMessage {
    let mut membership = Membership::of_voters([MemberId(1), MemberId(2)]);
    membership.learners.insert(MemberId(3));
    membership.removed.insert(MemberId(4));
    PeerMessage {
        format: 1,
        kind: MessageKind::Snapshot.into(),
        to: 2,
        from: 1,
        term: 3,
        snapshot: Some(SnapshotPoint::new(40, 3, &membership)),
        ..PeerMessage::default()
    }
}

#[test]
fn survives_the_wire_and_the_library() {
    for message in [append(), snapshot()] {
        assert_eq!(PeerMessage::from_bytes(message.to_bytes()).unwrap(), message);
        assert_eq!(PeerMessage::from_raft(&message.to_raft().unwrap()).unwrap(), message);
    }
}

#[test]
fn only_what_is_about_a_joint_membership_has_the_newer_format() {
    let both: MemberChange = MemberChange::Promote([MemberId(3), MemberId(5)].into());
    let mut membership = Membership::of_voters([MemberId(1), MemberId(2)]);
    membership.learners = [MemberId(3), MemberId(5)].into();
    membership.apply(&both).unwrap();
    let joint = PeerMessage {
        format: 2,
        snapshot: Some(SnapshotPoint::new(40, 3, &membership)),
        ..snapshot()
    };
    let mut begins = append();
    let data = MembershipStep::Change(both).to_joint().write_to_bytes().unwrap();
    begins.entries[2].data = data.into();
    let mut ends = append();
    ends.entries[2].data = Bytes::new();
    for message in [joint, PeerMessage { format: 2, ..begins }, PeerMessage { format: 2, ..ends }] {
        assert_eq!(PeerMessage::from_bytes(message.to_bytes()).unwrap(), message);
        assert_eq!(PeerMessage::from_raft(&message.to_raft().unwrap()).unwrap(), message);
    }
}

#[test]
fn refuses_what_it_cannot_read() {
    let newer = PeerMessage { format: PEER_FORMAT + 1, ..append() };
    let error = PeerMessage::from_bytes(newer.to_bytes()).unwrap_err();
    assert_eq!(error, PeerMessageError::Newer { found: PEER_FORMAT + 1 });
    let unknown = PeerMessage { kind: 77, ..append() };
    let error = PeerMessage::from_bytes(unknown.to_bytes()).unwrap_err();
    assert_eq!(error, PeerMessageError::UnknownKind { kind: 77 });
    let damaged = PeerMessage::from_bytes(Bytes::from_static(&[0xff; 9])).unwrap_err();
    assert!(matches!(damaged, PeerMessageError::Damaged { .. }));
}

#[test]
fn local_kinds_of_the_library_cannot_come_from_outside() {
    use raft::eraftpb::MessageType;
    for local in [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
    ] {
        let mut message = raft::eraftpb::Message::default();
        message.set_msg_type(local);
        assert_eq!(PeerMessage::from_raft(&message), None);
    }
    assert_eq!(PeerMessage::default().to_raft(), None);
}
