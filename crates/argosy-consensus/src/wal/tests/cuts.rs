//! Segments that were cut short: only what a crash leaves is accepted.

use super::*;

/// A log of several segments, one of them larger than the others.
fn segments() -> (MemoryDisk, Vec<u64>) {
    let mut writer = create();
    for index in 2..12 {
        group(&mut writer, &[entry(index, 1), vote(1, index)]);
    }
    let large: Vec<_> = (12..32).map(|index| entry(index, 1)).collect();
    group(&mut writer, &large);
    for index in 32..36 {
        group(&mut writer, &[entry(index, 1), vote(1, index)]);
    }
    let disk = writer.into_disk();
    assert!(disk.files.len() > 3 && disk.files.values().any(|file| file.len() > SMALL as usize));
    (disk, (2..36).collect())
}

#[test]
fn a_segment_cut_at_any_byte_is_refused() {
    let (disk, all) = segments();
    assert_eq!(indices(&recover(disk.clone(), &options()).unwrap()), all);
    for (name, file) in &disk.files {
        for length in 0..file.len() {
            let mut cut = disk.clone();
            cut.files.get_mut(name).unwrap().truncate(length);
            match recover(cut, &options()) {
                Err(WalError::Length { name: named, found, expected }) => {
                    assert_eq!((&named, found), (name, length as u64));
                    let made = if length < 128 { 128 } else { file.len() };
                    assert_eq!(expected, made as u64);
                }
                Err(other) => panic!("{name} cut at {length}: {other:?}"),
                Ok(log) => panic!("{name} cut at {length}: recovered {:?}", indices(&log)),
            }
        }
    }
}

#[test]
fn a_segment_that_grew_is_refused() {
    let (disk, _) = segments();
    for name in disk.files.keys() {
        let mut grown = disk.clone();
        grown.files.get_mut(name).unwrap().push(0);
        let refused = recover(grown, &options());
        assert!(matches!(&refused, Err(WalError::Length { name: n, .. }) if n == name));
    }
}

#[test]
fn sectors_that_never_reached_the_last_segment_lose_nothing_before_them() {
    let (disk, all) = segments();
    let (name, file) = disk.files.last_key_value().unwrap();
    let entries_before: usize =
        disk.files.range(..name.clone()).map(|(_, file)| entries_in(file)).sum();
    for from in 128..file.len() {
        let mut torn = disk.clone();
        torn.files.get_mut(name).unwrap()[from..].fill(0);
        let log = recover(torn, &options()).unwrap();
        let found = indices(&log);
        assert_eq!(found[..], all[..found.len()], "zeroes from {from}");
        assert!(log.hard_state.commit <= *found.last().unwrap(), "zeroes from {from}");
        // All but the one that is cut are whole.
        let begun = entries_before + entries_in(&file[..from]);
        assert!(found.len() + 1 >= begun, "zeroes from {from}: {} of {begun}", found.len());
    }
}

/// Counts the entries that begin in these bytes.
fn entries_in(file: &[u8]) -> usize {
    file.windows(8).filter(|bytes| *bytes == b"data of ").count()
}

#[test]
fn a_crash_at_any_moment_of_the_making_of_a_segment_loses_nothing() {
    let mut writer = create();
    let mut next = 2;
    let (before, after) = loop {
        let before = writer.disk().clone();
        group(&mut writer, &[entry(next, 1), vote(1, next)]);
        if writer.segments() > 1 {
            break (before, writer.into_disk());
        }
        next += 1;
    };
    let (name, file) = after.files.last_key_value().unwrap();
    let mut made = file.clone();
    made[128..].fill(0);
    let goes_on = |disk: MemoryDisk, what: &str| {
        let log = recover(disk, &options()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(indices(&log), (2..next).collect::<Vec<_>>(), "{what}");
        let mut writer = log.writer;
        group(&mut writer, &[entry(next, 2)]);
        let disk = writer.into_disk();
        assert!(!disk.files.contains_key("new.tmp"), "{what}");
        let again = recover(disk, &options()).unwrap();
        assert_eq!(indices(&again), (2..=next).collect::<Vec<_>>(), "{what}");
    };
    for length in 0..=made.len() {
        // Its size may be there before its header, or its header before its size.
        let mut short = before.clone();
        short.files.insert("new.tmp".into(), made[..length].to_vec());
        goes_on(short, &format!("{length} bytes"));
        let mut zeroes = before.clone();
        let content = [&made[..length], &vec![0; made.len() - length]].concat();
        zeroes.files.insert("new.tmp".into(), content);
        goes_on(zeroes, &format!("{length} bytes and zeroes"));
    }
    let mut named = before;
    named.files.insert(name.clone(), made);
    goes_on(named, "named and empty");
}
