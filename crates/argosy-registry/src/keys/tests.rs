//! Keys survive a round trip, and foreign keys are left alone.

use super::*;

#[test]
fn every_key_reads_back() {
    let unit = UnitName::new("web@3.service").unwrap();
    for key in [
        Key::Unit(unit.clone()),
        Key::Revision(unit.clone(), UnitRevision(12)),
        Key::Machine(MachineId(7)),
        Key::Assignment(MachineId(7)),
        Key::Reason(unit.clone()),
        Key::Endpoint(unit.clone(), None),
        Key::Endpoint(unit, Some(MachineId(9))),
        Key::Leader,
    ] {
        assert_eq!(Key::parse(&key.to_bytes()), Some(key));
    }
}

#[test]
fn revisions_sort_by_number() {
    let unit = UnitName::new("a.service").unwrap();
    let nine = Key::Revision(unit.clone(), UnitRevision(9)).to_bytes();
    let ten = Key::Revision(unit, UnitRevision(10)).to_bytes();
    assert!(nine < ten);
}

#[test]
fn foreign_keys_are_not_ours() {
    for text in ["secrets/a", "units/no-suffix", "machines/xyz", "endpoints/a/b.service", ""] {
        assert_eq!(Key::parse(text.as_bytes()), None, "{text}");
    }
}
