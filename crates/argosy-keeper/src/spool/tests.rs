//! What is appended is what is read, whatever is released, torn or refused in between.

use std::fs;
use std::path::Path;

use argosy_model::UnitName;

use super::{Chunk, Spool, SpoolFrame, SpoolReader, Stream};
use crate::SpawnId;

fn unit() -> UnitName {
    UnitName::new("a.service").unwrap()
}

fn spool(runtime_dir: &Path) -> Spool {
    fs::create_dir_all(runtime_dir.join("spool")).unwrap();
    Spool::create(&runtime_dir.join("spool/a.service"), 1_700_000_000_000_000, 0).unwrap()
}

fn chunk(data: &[u8]) -> Chunk {
    Chunk {
        stream: Stream::Stderr,
        spawn_id: SpawnId(3),
        pid: 4,
        boottime_us: 5,
        realtime_us: 6,
        end: false,
        data: data.to_vec(),
    }
}

fn read_all(runtime_dir: &Path, begin: u64, end: u64) -> Vec<SpoolFrame> {
    let mut reader = SpoolReader::new(runtime_dir, &unit(), begin);
    let mut frames = Vec::new();
    loop {
        let batch = reader.read(end, 10_000).unwrap();
        if batch.is_empty() {
            assert_eq!(reader.position(), end);
            return frames;
        }
        frames.extend(batch);
    }
}

fn files(runtime_dir: &Path) -> usize {
    fs::read_dir(runtime_dir.join("spool/a.service")).unwrap().count()
}

#[test]
fn chunks_come_back_in_order_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let written: Vec<Vec<u8>> = (0..200_usize).map(|i| vec![i as u8; i * 37]).collect();
    for data in &written {
        spool.append(chunk(data)).unwrap();
    }
    assert!(files(dir.path()) > 2, "one segment proves nothing");
    let range = spool.range();
    let frames = read_all(dir.path(), range.begin, range.end);
    assert_eq!(frames.iter().map(|frame| frame.data.clone()).collect::<Vec<_>>(), written);
    let mut position = range.begin;
    for frame in &frames {
        assert_eq!((frame.position, frame.spawn_id, frame.pid), (position, SpawnId(3), 4));
        assert_eq!(frame.next - frame.sequence, frame.data.len() as u64);
        position = frame.next;
    }
}

#[test]
fn released_output_gives_its_space_back_and_the_rest_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    for i in 0..40_u8 {
        spool.append(chunk(&[i; 60_000])).unwrap();
    }
    let before = files(dir.path());
    let frames = read_all(dir.path(), spool.range().begin, spool.range().end);
    spool.release(frames[29].next);
    assert!(files(dir.path()) < before);
    let range = spool.range();
    assert_eq!(read_all(dir.path(), range.begin, range.end), frames[30..]);
    spool.release(range.end);
    assert_eq!((spool.unread(), files(dir.path())), (0, 0));
    spool.append(chunk(b"more")).unwrap();
    let range = spool.range();
    assert_eq!(read_all(dir.path(), range.begin, range.end)[0].data, b"more");
    spool.remove().unwrap();
    assert!(!dir.path().join("spool/a.service").exists());
}

#[test]
fn a_reader_follows_over_the_removal_of_what_it_has_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let mut reader = SpoolReader::new(dir.path(), &unit(), spool.range().begin);
    for round in 0..100_u32 {
        let data = vec![round as u8; 5_000];
        spool.append(chunk(&data)).unwrap();
        let frames = reader.read(spool.range().end, usize::MAX).unwrap();
        assert_eq!(frames.iter().map(|frame| frame.data.clone()).collect::<Vec<_>>(), [data]);
        spool.release(reader.position());
    }
    assert!(files(dir.path()) <= 1);
}

#[test]
fn a_later_keeper_takes_over_all_whole_frames() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = spool(dir.path());
    for i in 0..20_u8 {
        first.append(chunk(&[i; 30_000])).unwrap();
    }
    let range = first.range();
    drop(first);
    let directory = dir.path().join("spool/a.service");
    let mut names: Vec<_> = fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let last = fs::OpenOptions::new().write(true).open(names.last().unwrap()).unwrap();
    last.set_len(last.metadata().unwrap().len() - 1).unwrap();

    let mut second = Spool::adopt(&directory).unwrap().unwrap();
    assert_eq!(second.range().begin, range.begin);
    assert_eq!(second.range().end, range.end - 30_048, "the torn frame is not there");
    second.append(chunk(b"new")).unwrap();
    let frames = read_all(dir.path(), second.range().begin, second.range().end);
    assert_eq!(frames.len(), 20);
    assert_eq!(frames[19].data, b"new");
}

#[test]
fn a_chunk_the_file_system_refuses_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let directory = dir.path().join("spool/a.service");
    let away = dir.path().join("away");
    fs::rename(&directory, &away).unwrap();
    assert!(spool.append(chunk(b"first")).is_err());
    assert!(spool.append(chunk(b"second")).is_err());
    assert!(spool.is_stalled());
    assert_eq!(spool.unread(), 0);
    fs::rename(&away, &directory).unwrap();
    spool.flush().unwrap();
    let range = spool.range();
    let frames = read_all(dir.path(), range.begin, range.end);
    let data: Vec<_> = frames.into_iter().map(|frame| frame.data).collect();
    assert_eq!(data, [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn a_position_that_was_released_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    for _ in 0..20 {
        spool.append(chunk(&[1; 60_000])).unwrap();
    }
    let begin = spool.range().begin;
    spool.release(spool.range().end);
    let mut reader = SpoolReader::new(dir.path(), &unit(), begin);
    assert!(reader.read(spool.range().end, 1).is_err());
    assert_eq!(reader.position(), begin);
}
