//! What a crash may leave, and what recovery refuses.

use proptest::prelude::*;

use super::*;

const FIRST: &str = "0000000000000001.wal";

fn refusal(disk: MemoryDisk, options: &RecoverOptions) -> WalError {
    match recover(disk, options) {
        Ok(log) => panic!("recovered {:?}", indices(&log)),
        Err(error) => error,
    }
}

/// A log of three synced groups in one segment, and the offsets where each ends.
fn three_groups() -> (MemoryDisk, Vec<usize>) {
    let mut writer = Writer::create(MemoryDisk::default(), IDENTITY, 4096).unwrap();
    let mut ends = Vec::new();
    for index in 2..5 {
        let before = writer.disk().files[FIRST].clone();
        group(
            &mut writer,
            &[entry(index, 1), entry(index + 10, 1)].map(|r| match r {
                Record::Entry(e) if e.index > 10 => vote(1, index),
                other => other,
            }),
        );
        let after = &writer.disk().files[FIRST];
        let last = (0..after.len()).rev().find(|at| after[*at] != before[*at]).unwrap();
        ends.push((last + 1).next_multiple_of(8));
    }
    (writer.into_disk(), ends)
}

#[test]
fn a_torn_last_group_is_dropped_and_the_log_goes_on() {
    let (disk, ends) = three_groups();
    for cut in ends[1] + 1..ends[2] {
        let mut torn = disk.clone();
        torn.files.get_mut(FIRST).unwrap()[cut..].fill(0);
        let log = recover(torn, &options()).unwrap();
        assert_eq!(indices(&log)[..2], [2, 3], "cut at {cut}");
        let next = log.entries.len() as u64 + 2;
        let mut writer = log.writer;
        group(&mut writer, &[entry(next, 2)]);
        let again = recover(writer.into_disk(), &options()).unwrap();
        assert_eq!(indices(&again), (2..=next).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn a_torn_group_whose_later_half_arrived_is_dropped_too() {
    let (disk, ends) = three_groups();
    let mut torn = disk;
    let file = torn.files.get_mut(FIRST).unwrap();
    file[ends[1]..ends[1] + 8].fill(0);
    let log = recover(torn, &options()).unwrap();
    assert_eq!(indices(&log), [2, 3]);
    assert!(log.torn_bytes > 0);
}

#[test]
fn damage_before_a_later_group_is_refused_with_file_and_offset() {
    let (disk, ends) = three_groups();
    for at in 128..ends[1] {
        let mut damaged = disk.clone();
        damaged.files.get_mut(FIRST).unwrap()[at] ^= 0x10;
        match recover(damaged, &options()) {
            Err(WalError::Corrupt { name, offset }) => {
                assert_eq!(name, FIRST);
                assert!(offset <= at as u64);
            }
            // Padding carries nothing.
            Ok(log) => assert_eq!(indices(&log), [2, 3, 4], "damage at {at}"),
            Err(other) => panic!("damage at {at}: {other:?}"),
        }
    }
}

#[test]
fn damage_in_an_earlier_segment_is_refused() {
    let mut writer = create();
    for index in 2..30 {
        group(&mut writer, &[entry(index, 1)]);
    }
    let mut disk = writer.into_disk();
    disk.files.get_mut("0000000000000002.wal").unwrap()[140] ^= 1;
    assert!(matches!(refusal(disk, &options()), WalError::Corrupt { name, .. }
        if name == "0000000000000002.wal"));
}

#[test]
fn a_missing_or_foreign_segment_is_refused() {
    let mut writer = create();
    for index in 2..30 {
        group(&mut writer, &[entry(index, 1)]);
    }
    let disk = writer.into_disk();
    let mut missing = disk.clone();
    missing.files.remove("0000000000000002.wal");
    assert!(matches!(refusal(missing, &options()), WalError::Hole { before, name }
        if before == FIRST && name == "0000000000000003.wal"));
    let mut swapped = disk.clone();
    let second = swapped.files["0000000000000002.wal"].clone();
    swapped.files.insert("0000000000000003.wal".into(), second);
    assert!(matches!(refusal(swapped, &options()), WalError::Renamed { name, made_as }
        if name == "0000000000000003.wal" && made_as == "0000000000000002.wal"));
    let mut other = create();
    for index in 2..30 {
        group(&mut other, &[entry(index, 2)]);
    }
    let mut replaced = disk.clone();
    let second = other.disk().files["0000000000000002.wal"].clone();
    replaced.files.insert("0000000000000002.wal".into(), second);
    assert!(matches!(refusal(replaced, &options()), WalError::Broken { name }
        if name == "0000000000000002.wal"));
    let other = Identity { member: MemberId(2), ..IDENTITY };
    let error = refusal(disk, &RecoverOptions { identity: other, ..options() });
    assert!(matches!(error, WalError::Identity { found_member: MemberId(1), .. }));
    assert!(matches!(refusal(MemoryDisk::default(), &options()), WalError::Missing));
}

#[test]
fn a_damaged_header_and_a_newer_format_are_refused() {
    let (disk, _) = three_groups();
    for bit in 0..128 * 8 {
        let mut damaged = disk.clone();
        damaged.files.get_mut(FIRST).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let refused = refusal(damaged, &options());
        assert!(matches!(&refused, WalError::Header { name } if name == FIRST), "{refused:?}");
    }
    let mut newer = disk;
    let file = newer.files.get_mut(FIRST).unwrap();
    file[8] = 3;
    file[12..16].fill(0);
    let checksum = crc32c::crc32c(&file[..128]);
    file[12..16].copy_from_slice(&checksum.to_le_bytes());
    assert!(matches!(refusal(newer, &options()), WalError::Format { found: 3, .. }));
}

/// What is wrong, in which file and where, why that matters; what to do.
#[test]
fn a_refusal_tells_file_offset_reason_and_next_step() {
    let name = || FIRST.to_owned();
    let (found_cluster, expected_cluster) = (ClusterId(1), ClusterId(2));
    let (found_member, expected_member) = (MemberId(1), MemberId(2));
    let refusals = [
        (WalError::Header { name: name() }, 0),
        (WalError::Format { name: name(), found: 9 }, 8),
        (WalError::Length { name: name(), found: 3000, expected: 4096 }, 3000),
        (
            WalError::Identity {
                name: name(),
                found_member,
                found_cluster,
                expected_member,
                expected_cluster,
            },
            16,
        ),
        (WalError::Renamed { name: name(), made_as: "0000000000000002.wal".into() }, 40),
        (WalError::Broken { name: name() }, 48),
        (WalError::Corrupt { name: name(), offset: 77 }, 77),
        (WalError::UnknownRecord { name: name(), offset: 77 }, 77),
        (WalError::Gap { name: name(), offset: 77, found: 9, expected: 5 }, 77),
        (WalError::CheckpointTooOld { name: name(), offset: 77, checkpoint: 1, needed: 4 }, 77),
        (WalError::TooShort { name: name(), offset: 77, last: 2, needed: 9 }, 77),
    ];
    for (refusal, offset) in refusals {
        let text = refusal.to_string();
        assert!(text.starts_with(FIRST), "{text}");
        assert!(text.contains(&format!("offset {offset}")), "{text}");
        let next = text.split_once("; ").map(|(_, next)| next).unwrap_or_default();
        let begins = ["put ", "start ", "name "].iter().any(|verb| next.starts_with(verb));
        assert!(begins, "{text}");
        // A machine that is lost keeps its name and its address.
        assert!(!text.contains("add a new one"), "{text}");
        assert_eq!(text.contains("join anew"), text.contains("another --name"), "{text}");
        assert_eq!(text.contains("join anew"), text.contains("--peer-port"), "{text}");
    }
}

#[test]
fn an_unfinished_segment_is_removed() {
    let (mut disk, _) = three_groups();
    disk.files.insert("new.tmp".into(), vec![1; 100]);
    let log = recover(disk, &options()).unwrap();
    assert!(!log.writer.disk().files.contains_key("new.tmp"));
}

#[test]
fn a_log_that_does_not_reach_what_was_confirmed_is_refused() {
    let mut writer = create();
    group(&mut writer, &[entry(5, 1)]);
    assert!(matches!(
        refusal(writer.into_disk(), &options()),
        WalError::CheckpointTooOld { offset: 128, checkpoint: 1, needed: 4, .. }
    ));
    let mut writer = create();
    group(&mut writer, &[entry(2, 1), vote(1, 9)]);
    let refused = refusal(writer.into_disk(), &options());
    let WalError::TooShort { name, offset, last: 2, needed: 9 } = refused else {
        panic!("{refused:?}");
    };
    assert!(name == FIRST && offset > 128 && offset.is_multiple_of(8), "{name} {offset}");
    let mut writer = create();
    group(&mut writer, &[entry(2, 1), entry(4, 1)]);
    let error = refusal(writer.into_disk(), &options());
    assert!(matches!(error, WalError::Gap { found: 4, expected: 3, .. }));
}

#[test]
fn a_received_snapshot_replaces_the_log_with_or_without_its_mark() {
    let mut writer = create();
    group(&mut writer, &[entry(2, 1), entry(3, 1), vote(1, 2)]);
    let without_mark = writer.into_disk();
    let log = recover(without_mark, &options_at(40, 6)).unwrap();
    assert_eq!(indices(&log), [0; 0]);
    assert_eq!((log.hard_state.term, log.hard_state.commit), (6, 40));
    let mut writer = log.writer;
    group(&mut writer, &[entry(41, 6)]);
    let log = recover(writer.into_disk(), &options_at(40, 6)).unwrap();
    assert_eq!(indices(&log), [41]);
}

#[test]
fn a_tail_that_a_snapshot_contradicts_is_dropped() {
    let mut writer = create();
    group(&mut writer, &[entry(2, 1), entry(3, 1), entry(4, 1)]);
    let same = recover(writer.into_disk(), &options_at(3, 1)).unwrap();
    assert_eq!(indices(&same), [4], "the checkpoint is our own, the tail belongs to it");
    let other = recover(same.writer.into_disk(), &options_at(3, 2)).unwrap();
    assert_eq!(indices(&other), [0; 0], "the checkpoint came from a leader of term 2");
}

#[test]
fn a_mark_without_its_checkpoint_is_refused() {
    let mut writer = create();
    group(&mut writer, &[Record::Snapshot(SnapshotMark { index: 40, term: 2 })]);
    let error = refusal(writer.into_disk(), &options());
    assert!(matches!(error, WalError::CheckpointTooOld { checkpoint: 1, needed: 40, .. }));
}

proptest! {
    /// Whatever part of the last group reached the disk, all earlier groups come back, and
    /// nothing that was not written.
    #[test]
    fn any_part_of_the_last_group_may_arrive(
        lengths in prop::collection::vec(1..4_u64, 1..12),
        torn in 1..6_u64,
        sectors in any::<u64>(),
    ) {
        let mut writer = create();
        let mut next = 2;
        for length in lengths {
            let records: Vec<_> = (next..next + length).map(|index| entry(index, 1)).collect();
            group(&mut writer, &records);
            next += length;
        }
        let before = writer.disk().clone();
        writer.append(&(next..next + torn).map(|index| entry(index, 1)).collect::<Vec<_>>());
        writer.write().unwrap();
        let mut disk = writer.into_disk();
        for (name, file) in &mut disk.files {
            let Some(old) = before.files.get(name) else { continue };
            for (at, byte) in file.iter_mut().enumerate() {
                if sectors >> (at / 16 % 64) & 1 == 0 {
                    *byte = old[at];
                }
            }
        }
        let log = recover(disk, &options()).unwrap();
        let found = indices(&log);
        prop_assert!(found.len() as u64 >= next - 2);
        prop_assert!(found.len() as u64 <= next + torn - 2);
        prop_assert_eq!(&found, &(2..2 + found.len() as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_recovered_entry_keeps_none_of_the_segment_it_was_read_from() {
    let mut writer = create();
    group(&mut writer, &[entry(2, 1), entry(3, 1)]);
    let log = recover(writer.into_disk(), &options()).unwrap();
    assert_eq!(indices(&log), [2, 3]);
    // Parts of one piece of memory would say that they share it.
    assert!(log.entries.iter().all(|entry| entry.data.is_unique()));
}
