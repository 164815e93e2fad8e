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
        container: number.is_multiple_of(2).then(|| Container {
            id: "0f".repeat(32),
            name: "web".into(),
            image: "busybox".into(),
        }),
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

/// Copies a journal without its indices, as an earlier version wrote it.
fn without_indices(dir: &std::path::Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap().map(|file| file.unwrap()) {
        if file.path().extension().is_none_or(|extension| extension != "idx") {
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    copy
}

fn stored(dir: &std::path::Path, query: &Query) -> Vec<Stored> {
    JournalReader::new(dir).read(query, usize::MAX).unwrap().0
}

fn indices(dir: &std::path::Path) -> usize {
    reader::Files::list(dir).unwrap().indices.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_index_changes_no_answer(
        units in proptest::collection::vec(0_u8..4, 1..200),
        unit in proptest::option::of(0_u8..5),
        last in proptest::option::of(0_usize..60),
        after in proptest::option::of(0_usize..200),
        since in proptest::option::of(0_u64..220),
        until in proptest::option::of(0_u64..220),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open_with(dir.path(), limits(1_500, 1 << 20)).unwrap();
        let name = |unit: u8| format!("u{unit}.service");
        let mut all = Vec::new();
        for (number, unit) in units.iter().enumerate() {
            // Clocks jump.
            let realtime = UnixMicros((number as u64 * 7) % 220);
            let entry = Entry { realtime, ..entry(&name(*unit), number as u64) };
            all.push((journal.end(), entry.clone()));
            journal.append(&[entry]).unwrap();
        }
        let query = Query {
            unit: unit.map(name),
            last,
            after: after.and_then(|after| all.get(after)).map(|(cursor, _)| *cursor),
            since: since.map(UnixMicros),
            until: until.map(UnixMicros),
        };
        let mut right: Vec<&Entry> = all
            .iter()
            .filter(|(cursor, entry)| {
                query.unit.as_ref().is_none_or(|unit| *unit == entry.unit)
                    && query.after.is_none_or(|after| *cursor > after)
                    && query.since.is_none_or(|since| entry.realtime >= since)
                    && query.until.is_none_or(|until| entry.realtime < until)
            })
            .map(|(_, entry)| entry)
            .collect();
        right.drain(..right.len().saturating_sub(last.unwrap_or(usize::MAX)));
        let found = stored(dir.path(), &query);
        prop_assert_eq!(found.iter().map(|stored| &stored.entry).collect::<Vec<_>>(), right);
        let old = without_indices(dir.path());
        prop_assert_eq!(&stored(old.path(), &query), &found);
        let made = JournalReader::new(old.path()).make_indices().unwrap();
        prop_assert_eq!(usize::try_from(made).unwrap(), indices(dir.path()));
        prop_assert_eq!(&stored(old.path(), &query), &found);
        // A journal goes on where it stood when it is read in small steps.
        let mut walk = JournalReader::new(dir.path()).walk(&query).unwrap();
        let mut steps = Vec::new();
        loop {
            let more = walk.next(3, 1).unwrap();
            if more.is_empty() {
                break;
            }
            steps.extend(more);
        }
        prop_assert_eq!(steps, found);
    }

    #[test]
    fn a_damaged_index_is_not_used_and_made_anew(at in 0_usize..5_000, flip in 1_u8..) {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open_with(dir.path(), limits(3_000, 1 << 20)).unwrap();
        for number in 0..60 {
            journal.append(&[entry(["a", "b"][usize::from(number % 3 == 0)], number)]).unwrap();
        }
        let query = Query { unit: Some("b".to_owned()), ..Query::default() };
        let right = stored(dir.path(), &query);
        let path = index::path(dir.path(), 1);
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        fs::write(&path, &bytes).unwrap();
        prop_assert_eq!(stored(dir.path(), &query), right);
        JournalReader::new(dir.path()).make_indices().unwrap();
        let length = fs::metadata(segment::path(dir.path(), 1)).unwrap().len();
        prop_assert!(index::Index::open(dir.path(), 1, length).is_some());
    }
}

#[test]
fn an_index_is_not_used_for_a_segment_that_grew_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    journal.append(&[entry("a", 1)]).unwrap();
    // A crash between the index and the next segment.
    index::make(dir.path(), 1).unwrap();
    drop(journal);
    let (mut journal, _) = Journal::open_with(dir.path(), limits(200, 1 << 20)).unwrap();
    for number in 2..6 {
        journal.append(&[entry("b", number)]).unwrap();
    }
    let query = Query { unit: Some("b".to_owned()), ..Query::default() };
    assert_eq!(messages(dir.path(), &query), ["line 2", "line 3", "line 4", "line 5"]);
}

#[test]
fn a_quiet_unit_keeps_its_last_lines_beside_a_loud_one() {
    let dir = tempfile::tempdir().unwrap();
    let limits = limits(4_000, 20_000);
    let (mut journal, _) = Journal::open_with(dir.path(), limits).unwrap();
    for number in 0..5 {
        journal.append(&[entry("quiet.service", number)]).unwrap();
    }
    let quiet = Query { unit: Some("quiet.service".into()), ..Query::default() };
    let before = stored(dir.path(), &quiet);
    for number in 5..3_000 {
        journal.append(&[entry("loud.service", number)]).unwrap();
    }
    assert!(!segment::path(dir.path(), 1).exists());
    assert_eq!(stored(dir.path(), &quiet), before, "with the same cursors");
    let after = Query { after: Some(before[1].cursor), ..quiet.clone() };
    assert_eq!(stored(dir.path(), &after), before[2..]);
    let last = Query { last: Some(2), ..quiet.clone() };
    assert_eq!(stored(dir.path(), &last), before[3..]);
    // All of them, in order, each once.
    let all = stored(dir.path(), &Query::default());
    assert!(all.windows(2).all(|pair| pair[0].cursor < pair[1].cursor));
    assert_eq!(all.first(), before.first());
    drop(journal);
    Journal::open_with(dir.path(), limits).unwrap();
    assert_eq!(stored(dir.path(), &quiet), before);
}

#[test]
fn lines_kept_and_not_yet_dropped_are_shown_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open_with(dir.path(), limits(1_000, 1 << 20)).unwrap();
    for number in 0..50 {
        journal.append(&[entry("a.service", number)]).unwrap();
    }
    let before = stored(dir.path(), &Query::default());
    // The segment is still there: a crash came between.
    let length = fs::metadata(segment::path(dir.path(), 1)).unwrap().len();
    let remaining = kept::Remaining {
        closed: &std::collections::BTreeMap::new(),
        newest: &index::IndexBuilder::default(),
        bytes_max: 1 << 20,
    };
    kept::update(dir.path(), (1, length), &remaining).unwrap();
    assert!(dir.path().join(kept::FILE).exists());
    assert_eq!(stored(dir.path(), &Query::default()), before);
    // The next one writes them again, and no line twice.
    kept::update(dir.path(), (1, length), &remaining).unwrap();
    fs::remove_file(segment::path(dir.path(), 1)).unwrap();
    assert_eq!(stored(dir.path(), &Query::default()), before);
}

#[test]
fn what_is_kept_has_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open_with(dir.path(), limits(100_000, 300_000)).unwrap();
    let mut number = 0;
    for unit in 0..200 {
        for _ in 0..100 {
            number += 1;
            journal.append(&[entry(&format!("u{unit}.service"), number)]).unwrap();
        }
    }
    let files = reader::Files::list(dir.path()).unwrap();
    assert!((1..=101_000).contains(&files.kept), "{}", files.kept);
    assert!(files.bytes() <= 300_000 + 100_000 + 20_000, "{}", files.bytes());
    // Each unit has its last lines, and none many of them.
    for unit in 0..200 {
        let query = Query { unit: Some(format!("u{unit}.service")), ..Query::default() };
        let found = stored(dir.path(), &query);
        assert_eq!(found.last().map(|line| line.entry.monotonic), Some((unit + 1) * 100));
    }
}

#[test]
fn what_a_killed_writer_was_making_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).append(&[entry("a", 1)]).unwrap();
    let unfinished = ["journal.new", "kept.new", "index-0000000000000001.new"];
    for name in unfinished {
        fs::write(dir.path().join(name), "half").unwrap();
    }
    open(dir.path()).append(&[entry("a", 2)]).unwrap();
    assert!(unfinished.iter().all(|name| !dir.path().join(name).exists()));
    assert_eq!(messages(dir.path(), &Query::default()), ["line 1", "line 2"]);
}

#[test]
fn the_index_of_a_segment_is_made_by_many_at_once() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).append(&[entry("a", 1)]).unwrap();
    std::thread::scope(|scope| {
        let make = || (0..200).try_for_each(|_| index::make(dir.path(), 1).map(drop));
        let makers: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        makers.into_iter().for_each(|maker| maker.join().unwrap().unwrap());
    });
    let length = fs::metadata(segment::path(dir.path(), 1)).unwrap().len();
    assert!(index::Index::open(dir.path(), 1, length).is_some());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing unfinished is left");
}

#[test]
fn what_another_one_left_half_made_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    // Of a killed process that had this one's id.
    let left = |number: u64| {
        let name = format!("journal-{:016x}.idx.{}-{number}.new", 1, std::process::id());
        dir.path().join(name)
    };
    open(dir.path()).append(&[entry("a", 1)]).unwrap();
    // The next names; other tests may take some of them meanwhile.
    (0..50).for_each(|number| fs::write(left(number), "half").unwrap());
    index::make(dir.path(), 1).unwrap();
    assert!((0..50).all(|number| fs::read(left(number)).unwrap() == b"half"));
}

#[test]
fn a_walk_goes_on_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open_with(dir.path(), limits(400, 1 << 20)).unwrap();
    let query = Query { unit: Some("a".into()), ..Query::default() };
    let reader = JournalReader::new(dir.path());
    let mut walk = reader.walk(&query).unwrap();
    let mut seen = Vec::new();
    for number in 0..100 {
        let end = reader.end().unwrap();
        journal.append(&[entry(["a", "b"][usize::from(number % 3 == 0)], number)]).unwrap();
        let found = walk.next(10, usize::MAX).unwrap();
        assert!(found.iter().all(|stored| stored.cursor >= end));
        seen.extend(found.into_iter().map(|stored| stored.entry.monotonic));
    }
    assert_eq!(seen, (0..100).filter(|number| number % 3 != 0).collect::<Vec<_>>());
    // Also when what it read is gone meanwhile.
    for number in 100..200 {
        journal.append(&[entry("a", number)]).unwrap();
    }
    journal.vacuum(0).unwrap();
    journal.append(&[entry("a", 200)]).unwrap();
    let rest = walk.next(1_000, usize::MAX).unwrap();
    assert_eq!(rest.last().map(|stored| stored.entry.monotonic), Some(200));
}

#[test]
fn a_vacuum_leaves_the_segment_that_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open_with(dir.path(), limits(100_000, 1 << 20)).unwrap();
    for number in 0..4_000 {
        journal.append(&[entry("a.service", number)]).unwrap();
    }
    let before = JournalReader::new(dir.path()).usage().unwrap();
    let freed = journal.vacuum(150_000).unwrap();
    let now = JournalReader::new(dir.path()).usage().unwrap();
    assert_eq!(before.bytes - now.bytes, freed.bytes);
    assert_eq!(before.segments - now.segments, freed.segments);
    assert!(now.bytes <= 150_000, "{now:?}");
    journal.vacuum(0).unwrap();
    assert_eq!(JournalReader::new(dir.path()).usage().unwrap().segments, 1);
    journal.append(&[entry("a.service", 4_000)]).unwrap();
    let last = Query { last: Some(1), ..Query::default() };
    assert_eq!(messages(dir.path(), &last), ["line 4000"]);
}

#[test]
fn limits_follow_the_file_system() {
    let small = JournalLimits::of_file_system(1 << 30);
    assert_eq!(small.total_bytes_max, (1 << 30) / 100 * 10);
    assert_eq!(small.keep_free_bytes, (1 << 30) / 100 * 15);
    assert!(small.segment_bytes_max * 32 < small.total_bytes_max);
    let large = JournalLimits::of_file_system(1 << 40);
    let ceiling = JournalLimits {
        segment_bytes_max: 16 << 20,
        total_bytes_max: 1 << 30,
        keep_free_bytes: 4 << 30,
    };
    assert_eq!(large, ceiling);
    // Others fill the file system: what was added is dropped, no more.
    assert_eq!(large.allowed(500 << 20, 16 << 20, 5 << 30), 1 << 30);
    assert_eq!(large.allowed(500 << 20, 16 << 20, 3 << 30), 484 << 20);
}

#[test]
fn a_full_file_system_stops_the_journals_growth() {
    let dir = tempfile::tempdir().unwrap();
    let limits = limits(1_000, 1 << 20);
    let (mut journal, _) = Journal::open_with(dir.path(), limits).unwrap();
    for number in 0..100 {
        journal.append(&[entry("a.service", number)]).unwrap();
    }
    drop(journal);
    let before = JournalReader::new(dir.path()).usage().unwrap();
    let full = JournalLimits { keep_free_bytes: u64::MAX, ..limits };
    let (mut journal, _) = Journal::open_with(dir.path(), full).unwrap();
    for number in 100..3_000 {
        journal.append(&[entry("a.service", number)]).unwrap();
    }
    let now = JournalReader::new(dir.path()).usage().unwrap();
    assert!(now.bytes <= before.bytes + 5_000, "{before:?} {now:?}");
    assert!(now.segments + 2 >= before.segments / 2, "{before:?} {now:?}");
    let last = Query { last: Some(1), ..Query::default() };
    assert_eq!(messages(dir.path(), &last), ["line 2999"]);
}
