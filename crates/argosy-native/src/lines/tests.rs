//! However the copying is interrupted, every line comes once and in order.

use argosy_keeper::{SpawnId, SpoolFrame, Stream};

use super::{Line, Lines};

const HEADER: u64 = 48;

/// Builds frames as the keeper does.
#[derive(Default)]
struct Spool {
    frames: Vec<SpoolFrame>,
}

impl Spool {
    fn put(&mut self, spawn: u64, stream: Stream, data: &[u8], end: bool) {
        let position = self.frames.last().map_or(1000, |frame| frame.next);
        self.frames.push(SpoolFrame {
            position,
            sequence: position + HEADER,
            next: position + HEADER + data.len() as u64,
            boottime_us: 0,
            realtime_us: 0,
            stream,
            spawn_id: SpawnId(spawn),
            pid: 1,
            end,
            data: data.to_vec(),
        });
    }
}

/// Reads all frames, stores all lines.
fn all(frames: &[SpoolFrame]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut cutter = Lines::default();
    for frame in frames {
        cutter.take(frame, &mut lines);
    }
    lines
}

/// Reads `first` frames, stores `stored` of their lines, dies, and begins again where a reader
/// that has released all it could would.
fn interrupted(frames: &[SpoolFrame], first: usize, stored: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut cutter = Lines::default();
    let mut begin = frames[0].position;
    for frame in &frames[..first] {
        let whole = lines.len();
        cutter.take(frame, &mut lines);
        if lines.len() > stored {
            // Not everything of this frame was stored, so nothing of it was released.
            lines.truncate(stored.max(whole));
            break;
        }
        begin = cutter.needed_from().unwrap_or(frame.next);
    }
    let resume = lines.last().map_or(0, |line| line.name);
    let rest: Vec<SpoolFrame> =
        frames.iter().filter(|frame| frame.position >= begin).cloned().collect();
    lines.extend(all(&rest).into_iter().filter(|line| line.name > resume));
    lines
}

/// Interrupts after every frame, with every number of lines stored.
fn check_every_interruption(spool: &Spool) -> Vec<Line> {
    check_interruptions(spool, 1)
}

/// The same with only each `step`th number of lines.
fn check_interruptions(spool: &Spool, step: usize) -> Vec<Line> {
    let whole = all(&spool.frames);
    assert!(whole.windows(2).all(|pair| pair[0].name < pair[1].name), "names rise");
    for first in 0..=spool.frames.len() {
        for stored in (0..=whole.len()).step_by(step) {
            let lines = interrupted(&spool.frames, first, stored);
            // Not assert_eq, which prints megabytes.
            assert!(lines == whole, "interrupted after {first} frames and {stored} lines");
        }
    }
    whole
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
}

#[test]
fn streams_and_processes_do_not_mix() {
    let mut spool = Spool::default();
    spool.put(1, Stream::Stdout, b"one\ntw", false);
    spool.put(1, Stream::Stderr, b"err", false);
    spool.put(2, Stream::Stdout, b"other\n", false);
    spool.put(1, Stream::Stdout, b"o\n\nthree", false);
    spool.put(1, Stream::Stderr, b"or\n", false);
    spool.put(1, Stream::Stdout, b"", true);
    spool.put(2, Stream::Stdout, b"last", true);
    spool.put(1, Stream::Stderr, b"", true);
    let lines = check_every_interruption(&spool);
    assert_eq!(texts(&lines), ["one", "other", "two", "", "error", "three", "last"]);
}

#[test]
fn a_long_line_is_cut_at_frame_ends() {
    let mut spool = Spool::default();
    for _ in 0..5 {
        spool.put(1, Stream::Stdout, &[b'x'; 30 << 10], false);
    }
    spool.put(1, Stream::Stdout, b"end\nnext\n", true);
    let lines = check_every_interruption(&spool);
    let lengths: Vec<usize> = lines.iter().map(|line| line.text.len()).collect();
    assert_eq!(lengths, [60 << 10, 60 << 10, (30 << 10) + 3, 4]);
}

#[test]
fn a_prompt_without_line_end_does_not_hold_the_spool() {
    let mut spool = Spool::default();
    spool.put(1, Stream::Stdout, b"> ", false);
    spool.put(2, Stream::Stdout, b"also", false);
    for _ in 0..20 {
        let mut data = vec![b'y'; 60 << 10];
        data.push(b'\n');
        spool.put(1, Stream::Stderr, &data, false);
    }
    spool.put(1, Stream::Stdout, b"later\n", false);
    // Few, for there is much to copy.
    let lines = check_interruptions(&spool, 9);
    let texts = texts(&lines);
    assert_eq!(
        texts.iter().filter(|text| text.len() < 100).collect::<Vec<_>>(),
        ["> ", "also", "later"]
    );
    let mut cutter = Lines::default();
    spool.frames.iter().for_each(|frame| cutter.take(frame, &mut Vec::new()));
    assert_eq!(cutter.needed_from(), None);
}
