//! Records survive a round trip; what a later version added survives this one.

use std::collections::BTreeSet;

use argosy_model::{
    Assignment, AssignmentEntry, Epoch, Generation, ImageEngine, Reason, ReasonKind, Term,
    UnitImage, Want,
};

use super::*;

fn unit() -> StoredUnit {
    StoredUnit {
        revision: UnitRevision(3),
        own_text: true,
        desired: Desired::Stop,
        restart: RestartCount(2),
        epoch: Epoch { incarnation: 1, counter: 7 },
        destroyed: false,
        home: Some(MachineId(5)),
        replicas: Some(0),
    }
}

fn entry(text: &str) -> AssignmentEntry {
    AssignmentEntry {
        unit: UnitName::new(text).unwrap(),
        revision: UnitRevision(1),
        epoch: Epoch { incarnation: 1, counter: 2 },
        restart: RestartCount(3),
        want: Want::Stop,
        ports: BTreeMap::from([("api".to_owned(), 20_001)]),
    }
}

fn assignment(names: &[&str]) -> Assignment {
    Assignment {
        machine: MachineId(9),
        generation: Generation(4),
        entries: names.iter().map(|name| entry(name)).collect(),
        standby: BTreeSet::new(),
    }
}

fn image(name: &str, engine: ImageEngine) -> UnitImage {
    UnitImage { name: name.to_owned(), engine }
}

#[track_caller]
fn survives<T: Record + PartialEq + std::fmt::Debug>(record: &T) {
    assert_eq!(&T::read(&record.write(&[])).unwrap(), record);
}

#[test]
fn every_record_reads_back() {
    survives(&unit());
    survives(&StoredUnit::default());
    survives(&StoredRevision {
        text: "[Service]\n".to_owned(),
        author: "root".to_owned(),
        at: UnixMicros(1),
    });
    let (id, secret_hash) = ("t1".to_owned(), [9; 32]);
    let (expires, used_by) = (UnixMicros(5), Some((MachineId(3), [4; 32])));
    survives(&StoredToken { id, secret_hash, expires, used_by });
    survives(&StoredAuthority { certificate: "C".into(), key: "K".into() });
    survives(&StoredMachine {
        id: MachineId(1),
        name: "m1".to_owned(),
        address: "192.0.2.1".to_owned(),
        metadata: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        cordoned: true,
        lost: false,
        long_grant: true,
        disk_full: true,
        port: 2380,
        member: 77,
    });
    survives(&assignment(&["a.service", "b.service"]));
    survives(&StoredEndpoint {
        unit: UnitName::new("a.service").unwrap(),
        machine: MachineId(1),
        epoch: Epoch { incarnation: 2, counter: 1 },
        key: "/a".to_owned(),
        value: "192.0.2.1:80".to_owned(),
        services: vec![StoredService {
            service: "api".to_owned(),
            protocol: EndpointProtocol::Http,
            address: "192.0.2.1:20001".parse().unwrap(),
            key: "/services/api/a".to_owned(),
            check: HealthCheck::Http("/up".to_owned()),
        }],
    });
    survives(&LeaderMark { term: Term(7), member: 3 });
}

#[test]
fn every_reason_kind_reads_back() {
    for kind in convert::REASON_KINDS {
        let candidates = vec!["m1: is lost".to_owned()];
        survives(&Reason { kind, sentence: "because".to_owned(), candidates });
    }
    assert!(convert::REASON_KINDS.contains(&ReasonKind::Unreadable));
}

/// Field 200, a string: nothing this version knows.
const FOREIGN: &[u8] = &[0xc2, 0x0c, 3, b'n', b'e', b'w'];

#[test]
fn unknown_fields_survive_read_modify_write() {
    let mut stored = unit().write(&[]);
    stored.extend_from_slice(FOREIGN);
    let mut read = StoredUnit::read(&stored).unwrap();
    read.desired = Desired::Run;
    let written = read.write(&stored);
    assert_eq!(StoredUnit::read(&written).unwrap(), read);
    assert!(written.ends_with(FOREIGN));
    // Once, however often it is written.
    assert_eq!(read.write(&written), written);
}

#[test]
fn a_full_disk_is_a_field_that_an_older_version_keeps_and_that_can_be_taken_back() {
    let mut machine = crate::testing::machine(1);
    let before = machine.write(&[]);
    machine.disk_full = true;
    let stored = machine.write(&before);
    // An older version knows the fields up to 10, and keeps what it does not know.
    let kept = unknown::keep_unknown(before.clone(), &stored, 10);
    assert!(StoredMachine::read(&kept).unwrap().disk_full);
    machine.disk_full = false;
    assert_eq!(machine.write(&stored), before);
}

#[test]
fn images_in_case_are_a_field_that_an_older_version_keeps_and_writes_none_of() {
    let before = assignment(&["a.service"]);
    let old = before.write(&[]);
    assert_eq!(Assignment::read(&old).unwrap().standby, BTreeSet::new());
    let mut told = before.clone();
    let images = [("web:1", ImageEngine::Argosy), ("web:1", ImageEngine::Docker)];
    told.standby = images.map(|(name, engine)| image(name, engine)).into();
    let stored = told.write(&old);
    assert_eq!(Assignment::read(&stored).unwrap(), told);
    // An older version knows the fields up to 4, and keeps what it does not know.
    let kept = unknown::keep_unknown(old.clone(), &stored, 4);
    assert_eq!(Assignment::read(&kept).unwrap(), told);
    assert_eq!(before.write(&stored), old);
}

#[test]
fn unknown_fields_of_an_entry_stay_with_their_unit() {
    let plain = assignment(&["a.service", "b.service"]);
    let mut message =
        <wire::AssignmentMessage as prost::Message>::decode(&*plain.write(&[])).unwrap();
    message.entries[1].extend_from_slice(FOREIGN);
    let stored = prost::Message::encode_to_vec(&message);
    let mut changed = Assignment::read(&stored).unwrap();
    changed.entries.remove(0);
    changed.entries.insert(0, entry("0.service"));
    let written = changed.write(&stored);
    let message = <wire::AssignmentMessage as prost::Message>::decode(&*written).unwrap();
    assert!(!message.entries[0].ends_with(FOREIGN));
    assert!(message.entries[1].ends_with(FOREIGN));
}

#[test]
fn what_cannot_be_understood_is_refused() {
    assert!(matches!(StoredUnit::read(b"\xff\xff"), Err(RecordError::Decode(_))));
    // Empty bytes are a valid message of no fields, and no record of ours.
    assert_eq!(StoredUnit::read(b""), Err(RecordError::Value { field: "format" }));
    let later = [8, 2];
    assert_eq!(StoredUnit::read(&later), Err(RecordError::Format { format: 2, known: 1 }));
    // An entry that lost its `want` is no order at all.
    let mut message = wire::AssignmentMessage {
        format: 1,
        machine: vec![0; 16],
        generation: 1,
        entries: vec![b"\x0a\x09a.service".to_vec()],
        ..Default::default()
    };
    let stored = prost::Message::encode_to_vec(&message);
    assert_eq!(Assignment::read(&stored), Err(RecordError::Value { field: "want" }));
    message.machine.clear();
    message.entries.clear();
    let stored = prost::Message::encode_to_vec(&message);
    assert_eq!(Assignment::read(&stored), Err(RecordError::Value { field: "machine" }));
}
