//! Cuts a unit's output into lines, the same way each time it is read again.
//!
//! Every line has a name, a position in the spool. Names rise in the order in which lines become
//! complete, and depend on nothing but the spool's bytes from any frame at which no line was
//! under way. So a reader that begins again at [`Lines::needed_from`] and skips the lines whose
//! names are not higher than the last one stored neither loses nor repeats a line.

use std::collections::BTreeMap;

use argosy_keeper::{SpawnId, SpoolFrame, Stream};

/// A line longer than this is cut at the end of a frame, journald's `LineMax=`.
const LINE_BYTES_MAX: usize = 48 << 10;
/// A line that is not complete after this many bytes of other output is cut, so that a prompt
/// without line end does not keep the spool from being released. A fraction of the spool's size.
const WAIT_BYTES_MAX: u64 = 1 << 20;

/// A line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its name.
    pub(crate) name: u64,
    pub(crate) spawn: SpawnId,
    pub(crate) stream: Stream,
    pub(crate) pid: u32,
    pub(crate) boottime_us: u64,
    pub(crate) realtime_us: u64,
    /// The text without its line end.
    pub(crate) text: Vec<u8>,
}

#[derive(Debug)]
struct Partial {
    /// The frame in which the line begins.
    begin: u64,
    pid: u32,
    text: Vec<u8>,
}

/// Lines under way, one for each process and stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partials: BTreeMap<(SpawnId, Stream), Partial>,
}

impl Lines {
    /// Takes the next frame; complete lines go to `lines`, in the order of their names.
    pub(crate) fn take(&mut self, frame: &SpoolFrame, lines: &mut Vec<Line>) {
        self.cut_waiting(frame, lines);
        let key = (frame.spawn_id, frame.stream);
        let mut begin = 0;
        for (at, _) in frame.data.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            let mut text = self.partials.remove(&key).map_or_else(Vec::new, |p| p.text);
            text.extend_from_slice(&frame.data[begin..at]);
            lines.push(line(frame, frame.sequence + at as u64, text));
            begin = at + 1;
        }
        let rest = &frame.data[begin..];
        if !rest.is_empty() {
            let partial = self.partials.entry(key).or_insert_with(|| Partial {
                begin: frame.position,
                pid: frame.pid,
                text: Vec::new(),
            });
            partial.text.extend_from_slice(rest);
        }
        let too_long = |partial: &Partial| partial.text.len() > LINE_BYTES_MAX;
        if (frame.end || self.partials.get(&key).is_some_and(too_long))
            && let Some(partial) = self.partials.remove(&key)
        {
            // The last byte of the frame; of an empty one, the last byte of its header.
            lines.push(line(frame, frame.next - 1, partial.text));
        }
    }

    /// Cuts the lines that have waited too long. Their names lie in the frame's header.
    fn cut_waiting(&mut self, frame: &SpoolFrame, lines: &mut Vec<Line>) {
        let waits = |partial: &Partial| frame.next - partial.begin > WAIT_BYTES_MAX;
        // The last byte of the header may be the name of an empty frame's line.
        let names = frame.position..frame.sequence - 1;
        let keys: Vec<(SpawnId, Stream)> = self
            .partials
            .iter()
            .filter(|(_, partial)| waits(partial))
            .map(|(key, _)| *key)
            .collect();
        for (key, name) in keys.into_iter().zip(names) {
            if let Some(Partial { pid, text, .. }) = self.partials.remove(&key) {
                let (spawn, stream) = key;
                lines.push(Line { spawn, stream, pid, ..line(frame, name, text) });
            }
        }
    }

    /// Returns the first frame that holds a part of a line under way.
    pub(crate) fn needed_from(&self) -> Option<u64> {
        self.partials.values().map(|partial| partial.begin).min()
    }
}

fn line(frame: &SpoolFrame, name: u64, text: Vec<u8>) -> Line {
    Line {
        name,
        spawn: frame.spawn_id,
        stream: frame.stream,
        pid: frame.pid,
        boottime_us: frame.boottime_us,
        realtime_us: frame.realtime_us,
        text,
    }
}

#[cfg(test)]
mod tests;
