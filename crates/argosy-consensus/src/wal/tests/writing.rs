//! What a writer writes, a restart reads.

use super::*;

#[test]
fn a_restart_finds_every_group() {
    let mut writer = create();
    group(&mut writer, &[entry(2, 1), entry(3, 1), vote(1, 2)]);
    group(&mut writer, &[entry(4, 2), vote(2, 3)]);
    let log = recover(writer.into_disk(), &options()).unwrap();
    assert_eq!(indices(&log), [2, 3, 4]);
    assert_eq!(log.hard_state, HardState { term: 2, vote: 1, commit: 3 });
    assert_eq!(log.torn_bytes, 0);
}

#[test]
fn writing_goes_on_after_a_restart_and_over_segments() {
    let mut writer = create();
    let mut next = 2;
    for _ in 0..5 {
        for _ in 0..7 {
            group(&mut writer, &[entry(next, 1), vote(1, next)]);
            next += 1;
        }
        let log = recover(writer.into_disk(), &options()).unwrap();
        assert_eq!(indices(&log), (2..next).collect::<Vec<_>>());
        writer = log.writer;
    }
    assert!(writer.segments() > 3, "{} segments", writer.segments());
}

#[test]
fn an_entry_replaces_all_from_its_index_on() {
    let mut writer = create();
    group(&mut writer, &[entry(2, 1), entry(3, 1), entry(4, 1)]);
    group(&mut writer, &[entry(3, 2)]);
    let log = recover(writer.into_disk(), &options()).unwrap();
    let terms: Vec<_> = log.entries.iter().map(|e| (e.index, e.term)).collect();
    assert_eq!(terms, [(2, 1), (3, 2)]);
}

#[test]
fn one_sync_for_each_group_however_large() {
    let mut writer = create();
    let before = writer.disk().syncs;
    group(&mut writer, &[entry(2, 1), entry(3, 1), entry(4, 1)]);
    assert_eq!(writer.disk().syncs - before, 1);
    writer.sync().unwrap();
    assert_eq!(writer.disk().syncs - before, 1, "nothing to sync, no sync");
}

#[test]
fn a_group_larger_than_a_segment_gets_a_large_segment() {
    let mut writer = create();
    let records: Vec<_> = (2..60).map(|index| entry(index, 1)).collect();
    group(&mut writer, &records);
    group(&mut writer, &[entry(60, 1)]);
    let log = recover(writer.into_disk(), &options()).unwrap();
    assert_eq!(indices(&log), (2..61).collect::<Vec<_>>());
}

#[test]
fn a_failed_sync_is_an_error_with_the_file_in_it() {
    let mut disk = create().into_disk();
    disk.broken = true;
    let mut writer = recover(disk, &options()).unwrap().writer;
    writer.append(&[entry(2, 1)]);
    writer.write().unwrap();
    let error = writer.sync().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "cannot sync 0000000000000001.wal");
}

#[test]
fn after_a_checkpoint_a_restart_reads_only_the_tail() {
    let mut writer = create();
    for index in 2..200 {
        group(&mut writer, &[entry(index, 1), vote(1, index)]);
    }
    let all = recover(writer.into_disk(), &options()).unwrap();
    let (segments, bytes) = (all.segments_read, all.bytes_read);
    assert!(segments > 20, "{segments} segments");
    let mut writer = all.writer;
    assert_eq!(writer.release(190).unwrap() + writer.segments(), segments);
    let tail = recover(writer.into_disk(), &options_at(190, 1)).unwrap();
    assert!(tail.segments_read <= 4, "{} segments", tail.segments_read);
    assert!(tail.bytes_read < bytes / 5, "{} of {bytes} bytes", tail.bytes_read);
    assert_eq!(indices(&tail), (191..200).collect::<Vec<_>>());
    assert_eq!(tail.hard_state.commit, 199, "the vote outlives the segments it was written in");
}

#[test]
fn the_vote_survives_when_only_an_empty_segment_is_left() {
    let mut writer = create();
    group(&mut writer, &[entry(2, 5), vote(5, 2)]);
    writer.cut(0).unwrap();
    assert_eq!(writer.release(2).unwrap(), 1);
    let log = recover(writer.into_disk(), &options_at(2, 5)).unwrap();
    assert_eq!(log.hard_state, HardState { term: 5, vote: 1, commit: 2 });
}

#[test]
fn a_log_is_never_created_over_another() {
    let error = Writer::create(create().into_disk(), IDENTITY, SMALL).unwrap_err();
    assert!(matches!(error, WalError::Exists { name } if name == "0000000000000001.wal"));
}
