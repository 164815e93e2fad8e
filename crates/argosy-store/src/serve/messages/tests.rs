//! Whose messages are believed.

use super::*;

const FROM: MemberId = MemberId(3);
const OWN: MemberId = MemberId(4);

fn bytes(kind: i32, from: MemberId, to: MemberId) -> Bytes {
    let message = PeerMessage { kind, from: from.0, to: to.0, term: 1, ..PeerMessage::default() };
    message.to_bytes()
}

#[test]
fn a_message_of_the_connections_member_to_this_one_is_taken() {
    let heartbeat = MessageKind::Heartbeat.into();
    let taken = message(bytes(heartbeat, FROM, OWN), FROM, OWN).unwrap().unwrap();
    assert_eq!((taken.kind(), taken.from, taken.to), (MessageKind::Heartbeat, FROM.0, OWN.0));
}

#[test]
fn no_member_speaks_for_another() {
    let heartbeat = MessageKind::Heartbeat.into();
    let forged = message(bytes(heartbeat, MemberId(5), OWN), FROM, OWN);
    assert!(matches!(forged, Err(ServeError::Unreadable { member: FROM, .. })), "{forged:?}");
    let astray = message(bytes(heartbeat, FROM, MemberId(5)), FROM, OWN);
    assert!(matches!(astray, Err(ServeError::Unreadable { member: FROM, .. })), "{astray:?}");
}

#[test]
fn a_snapshot_does_not_come_among_messages() {
    let snapshot = message(bytes(MessageKind::Snapshot.into(), FROM, OWN), FROM, OWN);
    assert!(matches!(snapshot, Err(ServeError::Unreadable { .. })), "{snapshot:?}");
}

#[test]
fn a_kind_of_a_newer_version_is_lost_and_damage_ends_the_connection() {
    assert_eq!(message(bytes(99, FROM, OWN), FROM, OWN).unwrap(), None);
    let damaged = message(Bytes::from_static(&[0xff; 9]), FROM, OWN);
    assert!(matches!(damaged, Err(ServeError::Unreadable { .. })), "{damaged:?}");
}
