//! The journal survives crashes, keeps its size, and answers queries.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use argosy_model::{InvocationId, UnixMicros};
use proptest::prelude::*;

use crate::*;

fn entry(unit: &str, number: u64) -> Entry {
    Entry {
        realtime: UnixMicros(1_000 + number),
        monotonic: number,
        unit: unit.to_owned(),
        invocation: Some(InvocationId(7)),
        transport: Transport::Output(Stream::Stdout),
        pid: Some(42),
        identifier: "sh".into(),
        priority: 6,
        message: format!("line {number}").into_bytes(),
        position: Some(SpoolPosition { spool: 1, end: number * 10 }),
    }
}

/// No limit is reached.
const ROOMY: JournalLimits = limits(16 << 20, 1 << 30);

const fn limits(segment_bytes_max: u64, total_bytes_max: u64) -> JournalLimits {
    JournalLimits { segment_bytes_max, total_bytes_max, keep_free_bytes: 0 }
}

fn open(dir: &std::path::Path) -> Journal {
    Journal::open_with(dir, ROOMY).unwrap().0
}

fn messages(dir: &std::path::Path, query: &Query) -> Vec<String> {
    let (found, _) = JournalReader::new(dir).read(query, usize::MAX).unwrap();
    found.into_iter().map(|stored| String::from_utf8(stored.entry.message).unwrap()).collect()
}

#[test]
fn entries_come_back_as_they_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut odd = entry("b.service", 2);
    odd.invocation = None;
    odd.pid = None;
    odd.transport = Transport::Supervisor;
    odd.message = vec![0xff, 0, b'\n'];
    odd.position = None;
    let entries = [entry("a.service", 1), odd];
    open(dir.path()).append(&entries).unwrap();
    let (found, _) = JournalReader::new(dir.path()).read(&Query::default(), 10).unwrap();
    assert_eq!(found.into_iter().map(|stored| stored.entry).collect::<Vec<_>>(), entries);
}

#[test]
fn a_query_picks_unit_time_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    for number in 0..10 {
        let unit = if number % 2 == 0 { "even.service" } else { "odd.service" };
        journal.append(&[entry(unit, number)]).unwrap();
    }
    let even = Query { unit: Some("even.service".into()), ..Query::default() };
    assert_eq!(messages(dir.path(), &even), ["line 0", "line 2", "line 4", "line 6", "line 8"]);
    let last = Query { last: Some(2), ..even };
    assert_eq!(messages(dir.path(), &last), ["line 6", "line 8"]);
    let window = Query {
        since: Some(UnixMicros(1_003)),
        until: Some(UnixMicros(1_005)),
        ..Query::default()
    };
    assert_eq!(messages(dir.path(), &window), ["line 3", "line 4"]);
}

#[test]
fn following_by_cursor_misses_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let limits = limits(300, 1 << 20);
    let (mut journal, _) = Journal::open_with(dir.path(), limits).unwrap();
    let reader = JournalReader::new(dir.path());
    let mut query = Query::default();
    let mut seen = Vec::new();
    for number in 0..100 {
        journal.append(&[entry("a.service", number)]).unwrap();
        if number % 7 == 0 {
            let (found, reached) = reader.read(&query, 3).unwrap();
            seen.extend(found.into_iter().map(|stored| stored.entry.monotonic));
            query.after = reached;
        }
    }
    loop {
        let (found, reached) = reader.read(&query, 3).unwrap();
        if found.is_empty() {
            break;
        }
        seen.extend(found.into_iter().map(|stored| stored.entry.monotonic));
        query.after = reached;
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    let text = query.after.unwrap().to_string();
    assert_eq!(text.parse::<Cursor>().unwrap(), query.after.unwrap());
}

#[test]
fn positions_survive_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let limits = limits(200, 1_000);
    let (mut journal, _) = Journal::open_with(dir.path(), limits).unwrap();
    journal.append(&[entry("quiet.service", 1)]).unwrap();
    for number in 0..200 {
        journal.append(&[entry("loud.service", number)]).unwrap();
    }
    drop(journal);
    assert!(
        !segment::path(dir.path(), 1).exists(),
        "the oldest segments must have been dropped for this test to mean anything"
    );
    let (journal, recovery) = Journal::open_with(dir.path(), limits).unwrap();
    assert_eq!(recovery, Recovery::default());
    let end = |unit| journal.position(unit, Stream::Stdout).map(|position| position.end);
    assert_eq!(end("quiet.service"), Some(10));
    assert_eq!(end("loud.service"), Some(1_990));
    assert_eq!(journal.position("loud.service", Stream::Stderr), None);
}

#[test]
fn the_journal_stays_within_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let limits = limits(1_000, 5_000);
    let (mut journal, _) = Journal::open_with(dir.path(), limits).unwrap();
    for number in 0..1_000 {
        journal.append(&[entry("a.service", number)]).unwrap();
        let total: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|item| item.unwrap().metadata().unwrap().len())
            .sum();
        assert!(total <= 5_000 + 1_200, "{total} bytes after {number} entries");
    }
    assert_eq!(messages(dir.path(), &Query { last: Some(1), ..Query::default() }), ["line 999"]);
}

proptest! {
    #[test]
    fn a_cut_anywhere_loses_only_what_was_cut(cut in 0_usize..2_000, more in 0_u64..5) {
        let dir = tempfile::tempdir().unwrap();
        let mut ends = vec![];
        {
            let mut journal = open(dir.path());
            ends.push(journal.end().offset);
            for number in 0..20 {
                journal.append(&[entry("a.service", number)]).unwrap();
                ends.push(journal.end().offset);
            }
        }
        let path = segment::path(dir.path(), 1);
        let length = fs::metadata(&path).unwrap().len();
        let keep = (cut as u64).clamp(ends[0], length);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(keep).unwrap();
        let whole = ends.iter().filter(|end| **end <= keep).count() as u64 - 1;

        let (mut journal, recovery) = Journal::open_with(dir.path(), ROOMY).unwrap();
        prop_assert_eq!(recovery.dropped_bytes, keep - ends[usize::try_from(whole).unwrap()]);
        for number in 0..more {
            journal.append(&[entry("a.service", 100 + number)]).unwrap();
        }
        let expected: Vec<String> = (0..whole)
            .chain((0..more).map(|number| 100 + number))
            .map(|number| format!("line {number}"))
            .collect();
        prop_assert_eq!(messages(dir.path(), &Query::default()), expected);
    }

    #[test]
    fn damaged_bytes_never_panic_and_never_show_a_wrong_entry(at in 16_usize..1_500, flip in 1_u8..) {
        let dir = tempfile::tempdir().unwrap();
        {
            let mut journal = open(dir.path());
            for number in 0..20 {
                journal.append(&[entry("a.service", number)]).unwrap();
            }
        }
        let path = segment::path(dir.path(), 1);
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        fs::write(&path, &bytes).unwrap();
        let shown = messages(dir.path(), &Query::default());
        let right: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
        prop_assert_eq!(&shown[..], &right[..shown.len()]);
    }
}

#[test]
fn any_number_of_last_entries_is_found_without_reading_them_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let limits = limits(400, 1 << 20);
    let (mut journal, _) = Journal::open_with(dir.path(), limits).unwrap();
    for number in 0..50 {
        journal.append(&[entry(["a", "b"][usize::from(number % 3 == 0)], number)]).unwrap();
    }
    let reader = JournalReader::new(dir.path());
    let query = Query { unit: Some("a".to_owned()), ..Query::default() };
    let (all, _) = reader.read(&query, usize::MAX).unwrap();
    assert_eq!(all.len(), 33);
    for last in 0..40 {
        let after = reader.before_last(&query, last).unwrap();
        assert_eq!(after.is_none(), last >= all.len());
        let (found, _) = reader.read(&Query { after, ..query.clone() }, usize::MAX).unwrap();
        assert_eq!(found, all[all.len().saturating_sub(last)..], "{last}");
    }
    // What was asked not to be read stays out.
    let after = Some(all[30].cursor);
    let query = Query { after, ..query };
    assert_eq!(reader.before_last(&query, 2).unwrap(), None);
    assert_eq!(reader.before_last(&query, 1).unwrap(), Some(all[31].cursor));
}

#[test]
fn nobody_else_can_read_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("journal");
    fs::create_dir(&dir).unwrap();
    let limits = limits(400, 1 << 20);
    let (mut journal, _) = Journal::open_with(&dir, limits).unwrap();
    for number in 0..10 {
        journal.append(&[entry("a", number)]).unwrap();
    }
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 1 && files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}
