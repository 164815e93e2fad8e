//! What would be said again and again, said now and then, with a count.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Between two lines about the same: enough to see that it goes on.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Peers and reasons that are remembered. More than a cluster has machines; a stranger with more
/// addresses is told of as often as it comes.
const KNOWN_MAX: usize = 1_024;

/// Who was turned away lately, and why.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: BTreeMap<(IpAddr, String), Said>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl Repeats {
    /// Returns how often it happened since it was last said, if it is to be said now.
    pub(super) fn say(&mut self, peer: IpAddr, reason: String, now: Instant) -> Option<u64> {
        let key = (peer, reason);
        if let Some(said) = self.known.get_mut(&key) {
            said.unsaid += 1;
            if now.duration_since(said.at) < SAY_EVERY {
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.unsaid));
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, said| now.duration_since(said.at) < SAY_EVERY);
        }
        if self.known.len() < KNOWN_MAX {
            self.known.insert(key, Said { at: now, unsaid: 0 });
        }
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    //! Tests of what is said and what is only counted.

    use super::*;

    #[test]
    fn each_peer_and_reason_has_a_line_in_ten_seconds_with_a_count() {
        let (mut repeats, begun) = (Repeats::default(), Instant::now());
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse::<IpAddr>().unwrap());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(repeats.say(one, "expired".into(), at(0)), Some(1));
        for _ in 0..205 {
            assert_eq!(repeats.say(one, "expired".into(), at(5)), None);
        }
        assert_eq!(repeats.say(other, "expired".into(), at(5)), Some(1));
        assert_eq!(repeats.say(one, "removed".into(), at(5)), Some(1));
        assert_eq!(repeats.say(one, "expired".into(), at(10)), Some(206));
        assert_eq!(repeats.say(one, "expired".into(), at(11)), None);
    }

    #[test]
    fn no_more_are_remembered_than_the_limit() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        for number in 0..2 * KNOWN_MAX {
            assert_eq!(repeats.say(peer, number.to_string(), now), Some(1));
        }
        assert_eq!(repeats.known.len(), KNOWN_MAX);
        assert_eq!(repeats.say(peer, "later".into(), now + SAY_EVERY), Some(1));
        assert_eq!(repeats.known.len(), 1);
    }
}
