//! What a leader knows of its machines by their beats, and when it was not able to listen.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use argosy_model::MachineId;

use super::Beat;
use crate::timing::Timing;

/// Times at which a leader went on that are remembered: one that is held up more often while a
/// machine is silent has long called that machine lost.
const RESUMED_MAX: usize = 8;

/// What a leader knows of one machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sign {
    /// When its last beat came.
    pub beat_at: Duration,
    /// When the last grant to it was sent; zero for never.
    pub granted_at: Duration,
    /// When the last long grant to it was sent; zero for never.
    pub long_granted_at: Duration,
    /// Its newest beat asked for a long grant.
    pub asks_long: bool,
    /// That beat's number.
    pub(super) newest: u64,
}

/// Beats are numbered by the microseconds since their machine's boot. One that is older than the
/// newest by no more than this came late; by more, its machine has booted since.
const LATE_MAX: u64 = 10_000_000;

impl Sign {
    /// Takes a beat in.
    pub(super) fn hear(&mut self, beat: Beat, now: Duration) {
        self.beat_at = now;
        let late = beat.number < self.newest && self.newest - beat.number <= LATE_MAX;
        if !late {
            (self.newest, self.asks_long) = (beat.number, beat.long);
        }
    }
}

/// Who was heard in a leader's term, and when the leader itself was held up: stopped, paused or
/// without a processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    pub(super) of: BTreeMap<MachineId, Sign>,
    /// When it last looked.
    looked_at: Duration,
    /// When it went on after it had been held up, oldest first.
    resumed: VecDeque<Duration>,
}

impl Signs {
    /// Begins a term, in which nobody was heard yet.
    pub(super) fn begin(now: Duration) -> Signs {
        Signs { looked_at: now, ..Signs::default() }
    }

    /// Takes note that the leader looks, which it does once a beat.
    pub(super) fn look(&mut self, timing: &Timing, now: Duration) {
        if !self.is_listening(timing, now) {
            if self.resumed.len() == RESUMED_MAX {
                self.resumed.pop_front();
            }
            self.resumed.push_back(now);
        }
        self.looked_at = self.looked_at.max(now);
    }

    /// Returns when the leader last looked.
    pub(super) fn looked_at(&self) -> Duration {
        self.looked_at
    }

    /// Returns what is known of a machine, if it was heard in this term.
    pub fn of(&self, machine: MachineId) -> Option<&Sign> {
        self.of.get(&machine)
    }

    /// Tells whether the leader listens: else it cannot tell silence from its own deafness.
    pub fn is_listening(&self, timing: &Timing, now: Duration) -> bool {
        now <= self.looked_at + timing.quiet_after()
    }

    /// Returns from when the silence counts of a machine that was last known to be there at
    /// `last`. It begins anew when the leader went on for the first time since, and only then:
    /// a leader that is held up again and again still notices a loss.
    pub fn silent_since(&self, last: Duration) -> Duration {
        self.resumed.iter().copied().find(|at| *at > last).unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use argosy_model::Generation;

    use super::*;
    use crate::timing::Preset;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_beat_that_comes_late_takes_no_wish_back_and_one_after_a_boot_does() {
        let beat = |number, long| Beat { number, generation: Generation(0), long };
        let mut sign = Sign::default();
        sign.hear(beat(60_000_000, true), MS(1));
        sign.hear(beat(59_900_000, false), MS(2));
        assert_eq!((sign.beat_at, sign.asks_long), (MS(2), true));
        sign.hear(beat(60_100_000, false), MS(3));
        assert!(!sign.asks_long);
        sign.hear(beat(60_200_000, true), MS(4));
        sign.hear(beat(2_000_000, false), MS(5));
        assert!(!sign.asks_long);
    }

    #[test]
    fn silence_begins_anew_once_for_a_leader_that_was_held_up() {
        let timing = Timing::of(Preset::Lan);
        let mut signs = Signs::begin(MS(1_000));
        signs.look(&timing, MS(1_200));
        assert_eq!(signs.silent_since(MS(1_150)), MS(1_150), "two beats are no gap");
        assert!(!signs.is_listening(&timing, MS(1_401)));
        signs.look(&timing, MS(4_000));
        assert!(signs.is_listening(&timing, MS(4_200)));
        assert_eq!(signs.silent_since(MS(1_150)), MS(4_000));
        assert_eq!(signs.silent_since(MS(4_000)), MS(4_000), "heard since");
        // Held up again: not anew for who was not heard in between.
        signs.look(&timing, MS(4_300));
        assert_eq!(signs.silent_since(MS(1_150)), MS(4_000));
        assert_eq!(signs.silent_since(MS(4_001)), MS(4_300));
    }

    #[test]
    fn only_so_many_gaps_are_remembered() {
        let timing = Timing::of(Preset::Lan);
        let mut signs = Signs::begin(Duration::ZERO);
        for second in 1..=20 {
            signs.look(&timing, Duration::from_secs(second));
        }
        assert_eq!(signs.resumed.len(), RESUMED_MAX);
        assert_eq!(signs.silent_since(Duration::ZERO), Duration::from_secs(13));
    }
}
