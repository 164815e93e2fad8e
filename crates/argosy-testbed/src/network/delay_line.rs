//! Frames on their way: kept until they are due, in order for each pair, and never without bound.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::Port;

/// Bytes that wait for one port: what 1 Gbit/s sends in 130 ms, so that a delay of the order of an
/// ocean still carries a fast connection. More is what a router would drop, too.
pub(crate) const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Frames that wait for one port: small frames must not cost more memory than large ones.
pub(crate) const QUEUED_FRAMES_MAX: usize = 16 * 1024;

/// What became of a frame that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is due: the caller sends it now.
    SendNow,
    /// It is kept.
    Kept,
    /// There is no room.
    Full,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Duration,
    /// Keeps frames that are due at the same time in order.
    sequence: u64,
    from: Port,
    to: Port,
    bytes: Vec<u8>,
}

/// Frames that are not due yet. Times are since any fixed moment.
#[derive(Debug, Default)]
pub(crate) struct DelayLine {
    waiting: BinaryHeap<Reverse<Waiting>>,
    sequence: u64,
    /// When the last frame from one port to another was or is due.
    last: BTreeMap<(Port, Port), Duration>,
    /// Frames and bytes that wait for a port.
    held: BTreeMap<Port, (usize, usize)>,
}

impl DelayLine {
    /// Offers a frame that came in at `now` and takes `delay`. Frames that are due are taken out
    /// with [`DelayLine::pop`] before others are offered at the same `now`.
    pub(crate) fn offer(
        &mut self,
        (from, to): (Port, Port),
        now: Duration,
        delay: Duration,
        bytes: &[u8],
    ) -> Offer {
        let last = self.last.entry((from, to)).or_default();
        let due = (now + delay).max(*last);
        if due <= now {
            return Offer::SendNow;
        }
        let (frames, held) = self.held.entry(to).or_default();
        if *frames == QUEUED_FRAMES_MAX || *held + bytes.len() > QUEUED_BYTES_MAX {
            return Offer::Full;
        }
        *frames += 1;
        *held += bytes.len();
        *last = due;
        self.sequence += 1;
        let sequence = self.sequence;
        self.waiting.push(Reverse(Waiting { due, sequence, from, to, bytes: bytes.to_vec() }));
        Offer::Kept
    }

    /// Takes out the next frame that is due: from, to and its bytes.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<(Port, Port, Vec<u8>)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(frame) = self.waiting.pop()?;
        if let Some((frames, held)) = self.held.get_mut(&frame.to) {
            *frames -= 1;
            *held -= frame.bytes.len();
        }
        Some((frame.from, frame.to, frame.bytes))
    }

    /// When the next frame is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse(frame)| frame.due)
    }

    /// Drops what waits for a port: its machine is gone.
    pub(crate) fn forget(&mut self, port: Port) {
        self.waiting.retain(|Reverse(frame)| frame.to != port);
        self.held.remove(&port);
        self.last.retain(|(_, to), _| *to != port);
    }
}
