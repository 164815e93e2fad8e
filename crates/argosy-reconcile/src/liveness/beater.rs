//! The machine's side: when it beats, and until when it may run fenced units.

use std::collections::VecDeque;
use std::time::Duration;

use argosy_model::{Generation, Term};

use crate::planted::Planted;
use crate::timing::Timing;

/// Beats remembered: more than a grant's time has, so that a grant for an older one is worth
/// nothing anyway.
const BEATS_MAX: usize = 32;

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Rises, also over daemons of one boot.
    pub number: u64,
    /// The newest generation of its assignment that the machine has seen.
    pub generation: Generation,
    /// It asks for a long grant: its daemon is about to begin anew.
    pub long: bool,
}

/// A leader's answer to a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The beat's number.
    pub number: u64,
    /// The leader's term.
    pub term: Term,
    /// It holds for the time of a long grant.
    pub long: bool,
}

/// What a machine knows of its beats and grants.
#[derive(Debug)]
pub struct Beater {
    timing: Timing,
    /// Number and time of the last beats, oldest first.
    sent: VecDeque<(u64, Duration)>,
    next_number: u64,
    next_at: Duration,
    /// The highest term a grant came with. An earlier one's grant is refused.
    term: Term,
    /// Until when fenced units may run; the keeper begins to kill before.
    granted_until: Duration,
    /// Its beats ask for a long grant.
    asks_long: bool,
    /// Until when the last long grant holds; zero for none.
    long_until: Duration,
    planted: Planted,
}

impl Beater {
    /// Begins without a grant; the first beat is due at once.
    pub fn new(timing: Timing) -> Beater {
        Beater {
            timing,
            sent: VecDeque::with_capacity(BEATS_MAX),
            next_number: 1,
            next_at: Duration::ZERO,
            term: Term(0),
            granted_until: Duration::ZERO,
            asks_long: false,
            long_until: Duration::ZERO,
            planted: Planted::default(),
        }
    }

    /// Plants a defect.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        self.planted = Planted { bug };
    }

    /// Returns when the next beat is due.
    pub fn due_at(&self) -> Duration {
        self.next_at
    }

    /// Makes the next beat due at once: there is a new leader to hear it.
    pub fn hurry(&mut self) {
        self.next_at = Duration::ZERO;
    }

    /// Has the beats from now on ask for a long grant, or no more. The first that does is due at
    /// once.
    pub fn ask_long(&mut self, asks: bool) {
        if !std::mem::replace(&mut self.asks_long, asks) && asks {
            self.hurry();
        }
    }

    /// Returns until when the last long grant lets fenced units run; zero if there was none.
    pub fn long_until(&self) -> Duration {
        self.long_until
    }

    /// Makes a beat, to be sent now.
    pub fn beat(&mut self, generation: Generation, now: Duration) -> Beat {
        // By the time since boot, so that no earlier daemon's grant is taken for one of these.
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX - 1);
        let number = self.next_number.max(micros);
        self.next_number = number + 1;
        self.next_at = now + self.timing.beat;
        if self.sent.len() == BEATS_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((number, now));
        Beat { number, generation, long: self.asks_long }
    }

    /// Takes a grant in. Returns when the keeper is to begin to kill from now on, if the grant
    /// moves that.
    pub fn granted(&mut self, grant: Grant, now: Duration) -> Option<Duration> {
        let Grant { number, term, long } = grant;
        if term < self.term {
            return None;
        }
        self.term = term;
        let mut sent_at = self.sent.iter().find(|(sent, _)| *sent == number)?.1;
        if self.planted.grant_from_receipt() {
            sent_at = now;
        }
        let holds = if long { self.timing.long_grant } else { self.timing.grant };
        let until = sent_at + holds;
        if long {
            self.long_until = self.long_until.max(until);
        }
        if until <= self.granted_until || until - self.timing.kill <= now {
            return None;
        }
        self.granted_until = until;
        Some(until - self.timing.kill)
    }

    /// Tells whether fenced units may be started: their killing has not begun.
    pub fn may_run(&self, now: Duration) -> bool {
        now + self.timing.kill < self.granted_until
    }

    /// Returns when that ends, if nothing comes.
    pub fn kill_at(&self) -> Duration {
        self.granted_until.saturating_sub(self.timing.kill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Preset;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn grant(beat: Beat, term: u64) -> Grant {
        Grant { number: beat.number, term: Term(term), long: false }
    }

    #[test]
    fn a_grant_counts_from_its_beat_and_an_older_one_changes_nothing() {
        let mut beater = Beater::new(Timing::of(Preset::Lan));
        let first = beater.beat(Generation(1), MS(1_000));
        let second = beater.beat(Generation(1), MS(1_100));
        assert_eq!(beater.due_at(), MS(1_200));
        assert!(!beater.may_run(MS(1_100)));
        // d = 1000, k = 250.
        assert_eq!(beater.granted(grant(second, 2), MS(1_300)), Some(MS(1_850)));
        assert_eq!(beater.granted(grant(first, 2), MS(1_300)), None);
        assert!(beater.may_run(MS(1_849)) && !beater.may_run(MS(1_850)));
        assert_eq!(beater.kill_at(), MS(1_850));
    }

    #[test]
    fn a_grant_that_comes_too_late_or_of_an_earlier_term_is_worth_nothing() {
        let mut beater = Beater::new(Timing::of(Preset::Lan));
        let beats: Vec<Beat> =
            (0..3).map(|at| beater.beat(Generation(0), MS(1_000 + at * 100))).collect();
        assert_eq!(beater.granted(grant(beats[0], 2), MS(1_750)), None);
        assert_eq!(beater.granted(grant(beats[1], 3), MS(1_400)), Some(MS(1_850)));
        assert_eq!(beater.granted(grant(beats[2], 2), MS(1_400)), None);
        let unsent = Grant { number: 99, term: Term(3), long: false };
        assert_eq!(beater.granted(unsent, MS(1_400)), None);
    }

    #[test]
    fn a_long_grant_holds_on_whatever_shorter_ones_come_after() {
        let mut beater = Beater::new(Timing::of(Preset::Lan));
        beater.beat(Generation(1), MS(1_000));
        beater.ask_long(true);
        assert_eq!(beater.due_at(), Duration::ZERO, "at once");
        let asked = beater.beat(Generation(1), MS(1_050));
        assert!(asked.long);
        let long = Grant { long: true, ..grant(asked, 2) };
        assert_eq!(beater.granted(long, MS(1_060)), Some(MS(10_800)));
        assert_eq!(beater.long_until(), MS(11_050));
        beater.ask_long(false);
        let next = beater.beat(Generation(1), MS(1_150));
        assert!(!next.long);
        assert_eq!(beater.granted(grant(next, 2), MS(1_160)), None);
        assert_eq!(beater.kill_at(), MS(10_800));
    }
}
