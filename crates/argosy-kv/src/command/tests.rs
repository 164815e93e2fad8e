//! Encoding commands and reading them back.

use argosy_model::UnixMicros;
use proptest::prelude::*;

use super::*;
use crate::state::tests::random_txn;
use crate::{KeyRange, Op, RangeRequest};

fn check(kind: CommandKind) {
    let command = Command { proposed_at: UnixMicros(17), kind };
    assert_eq!(Command::decode(&command.encode()), Ok(command));
}

proptest! {
    #[test]
    fn a_transaction_comes_back_as_it_was(txn in random_txn()) {
        check(CommandKind::Txn(txn));
    }
}

#[test]
fn every_other_command_comes_back_as_it_was() {
    check(CommandKind::Compact { space: SpaceId::Registry, revision: 9 });
    check(CommandKind::LeaseGrant { id: -3, ttl_seconds: 60, minimum_exempt: true });
    check(CommandKind::LeaseRevoke { ids: vec![1, 2, 3], expired: true });
    check(CommandKind::LeaseCheckpoint { id: 4, remaining_seconds: 5 });
    check(CommandKind::SetClusterVersion(ClusterVersion { major: 1, minor: 2 }));
    check(CommandKind::V2(v2_write()));
    check(CommandKind::V2(v2::Write { ttl_seconds: Some(0), ..v2_write() }));
}

#[test]
fn the_deepest_transaction_that_is_accepted_can_be_read_back() {
    let mut txn = Txn::default();
    while Txn::unconditional(vec![Op::Txn(txn.clone())]).check(usize::MAX).is_ok() {
        txn = Txn::unconditional(vec![Op::Txn(txn)]);
    }
    check(CommandKind::Txn(txn.clone()));
    let deeper = CommandKind::Txn(Txn::unconditional(vec![Op::Txn(txn)]));
    let command = Command { proposed_at: UnixMicros(0), kind: deeper };
    assert_eq!(Command::decode(&command.encode()), Err(DecodeError::TooDeep));
}

#[test]
fn what_is_not_understood_is_named() {
    assert!(matches!(Command::decode(b"\xff\xff"), Err(DecodeError::Malformed(_))));
    assert_eq!(Command::decode(b""), Err(DecodeError::UnknownFormat { format: 0 }));
    let newer = wire::Command { format: COMMAND_FORMAT + 1, ..wire::Command::default() };
    assert_eq!(
        Command::decode(&newer.encode_to_vec()),
        Err(DecodeError::UnknownFormat { format: COMMAND_FORMAT + 1 })
    );
    let empty = wire::Command { format: COMMAND_FORMAT, ..wire::Command::default() };
    assert_eq!(Command::decode(&empty.encode_to_vec()), Err(DecodeError::Field { field: "kind" }));
    let unknown_space = wire::Compact { space: 7, revision: 1 };
    let strange = wire::Command { kind: Some(wire::Kind::Compact(unknown_space)), ..empty };
    assert_eq!(
        Command::decode(&strange.encode_to_vec()),
        Err(DecodeError::Field { field: "space" })
    );
}

fn v2_write() -> v2::Write {
    v2::Write {
        verb: v2::Verb::CompareAndDelete,
        path: "/a".to_owned(),
        value: "v".into(),
        dir: true,
        recursive: true,
        ttl_seconds: None,
        refresh: true,
        prev_value: "p".into(),
        prev_index: 7,
    }
}

/// The encoding is stored: this very form must stay readable.
#[test]
fn the_encoding_of_format_1_is_frozen() {
    let range = RangeRequest::new(KeyRange::key("k"));
    let put = crate::PutRequest { lease: 5, ..crate::PutRequest::new("k", "v") };
    let steps = vec![Op::Put(SpaceId::Registry, put), Op::Range(SpaceId::User, range)];
    let kind = CommandKind::Txn(Txn::unconditional(steps));
    let command = Command { proposed_at: UnixMicros(1), kind };
    let hex: String = command.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    expect_test::expect!["080110011a17120c08011a080a016b1201761805120712050a030a016b"]
        .assert_eq(&hex);
    let command = Command { proposed_at: UnixMicros(1), kind: CommandKind::V2(v2_write()) };
    let hex: String = command.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    expect_test::expect!["080110014a14080612022f611a01762001280138014201704807"].assert_eq(&hex);
}
