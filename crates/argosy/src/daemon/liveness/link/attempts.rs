//! When another line is worth a try: for how long nothing has come back, and how often one was
//! tried already.

use std::time::Duration;

use tokio::time::Instant;

/// Nothing has come back for so many beats when another line is tried: the third goes out.
const UNANSWERED_BEATS: u32 = 2;

/// So many tries come as fast as beats; then each waits twice as long as the one before. A leader
/// that has too much to do is not made to shake hands all the time as well.
const FAST_TRIES: u32 = 4;

#[derive(Debug)]
pub(super) struct Attempts {
    beat: Duration,
    /// The longest pause between two tries.
    longest: Duration,
    /// When the first message was sent of those after which nothing has come back.
    unanswered_since: Option<Instant>,
    count: u32,
    next_at: Instant,
}

impl Attempts {
    pub(super) fn new(beat: Duration, longest: Duration) -> Attempts {
        let next_at = Instant::now();
        Attempts { beat, longest, unanswered_since: None, count: 0, next_at }
    }

    /// Takes note that a message goes out; tells whether one before it is not answered.
    pub(super) fn sent(&mut self, now: Instant) -> bool {
        let before = self.unanswered_since.is_some();
        self.unanswered_since.get_or_insert(now);
        before
    }

    /// Something has come back.
    pub(super) fn answered(&mut self) {
        self.unanswered_since = None;
        self.count = 0;
    }

    /// The lines are gone, and what was sent with them.
    pub(super) fn forget_sent(&mut self) {
        self.unanswered_since = None;
    }

    /// Tells whether another line is to be tried beside those there are.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let silent = |since: Instant| now >= since + self.beat * UNANSWERED_BEATS;
        self.unanswered_since.is_some_and(silent) && now >= self.next_at
    }

    /// Returns when the next try may begin.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Begins a try while there is no line at all, which costs a voter that is not there nothing.
    /// Returns how long it may take to connect: a round trip, which is less than a beat.
    pub(super) fn begin_alone(&mut self, now: Instant) -> Duration {
        self.next_at = now + self.beat;
        self.beat * 2
    }

    /// Begins a try beside other lines; returns how long it may take to connect: until the next.
    pub(super) fn begin_beside(&mut self, now: Instant) -> Duration {
        self.count = self.count.saturating_add(1);
        let doubled = self.count.saturating_sub(FAST_TRIES).min(16);
        let pause = (self.beat * 2u32.pow(doubled)).min(self.longest);
        self.next_at = now + pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn another_line_is_tried_with_the_third_beat_that_nothing_follows() {
        let mut attempts = Attempts::new(MS(100), MS(1_000));
        let begin = Instant::now();
        assert_eq!(attempts.begin_alone(begin), MS(200));
        assert!(!attempts.sent(begin + MS(500)));
        attempts.answered();
        assert!(!attempts.sent(begin + MS(600)), "the one before was answered");
        assert!(attempts.sent(begin + MS(700)));
        assert!(!attempts.is_due(begin + MS(799)));
        assert!(attempts.is_due(begin + MS(800)));
        assert_eq!(attempts.begin_beside(begin + MS(800)), MS(100));
        assert!(!attempts.is_due(begin + MS(899)), "one is on its way");
        assert!(attempts.is_due(begin + MS(900)));
        attempts.forget_sent();
        assert!(!attempts.is_due(begin + MS(2_000)), "nothing is waited for");
    }

    #[test]
    fn tries_grow_rare_until_something_comes_back() {
        let mut attempts = Attempts::new(MS(100), MS(1_000));
        let now = Instant::now();
        let pauses: Vec<u128> = (0..9).map(|_| attempts.begin_beside(now).as_millis()).collect();
        assert_eq!(pauses, [100, 100, 100, 100, 200, 400, 800, 1_000, 1_000]);
        attempts.answered();
        assert_eq!(attempts.begin_beside(now), MS(100));
    }
}
