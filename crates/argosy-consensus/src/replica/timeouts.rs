//! Election timeouts from the seed instead of the library's thread-local randomness.

use super::ELECTION_TICKS;

/// Returns the timeout in ticks, in `ELECTION_TICKS..2 * ELECTION_TICKS`.
///
/// It changes with the term, so that two members that once collided part ways, and it is the
/// same in every run of a seed, which the library's own choice is not.
pub(super) fn election_ticks(seed: u64, member: u64, term: u64, role: u64) -> usize {
    let mixed = [member, term, role].into_iter().fold(mix(seed), |hash, part| mix(hash ^ part));
    let spread = mixed % ELECTION_TICKS as u64;
    ELECTION_TICKS + usize::try_from(spread).expect("less than ELECTION_TICKS")
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit depends on every bit.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_in_the_librarys_range_and_spreads() {
        let mut seen = std::collections::BTreeSet::new();
        for term in 0..1000 {
            let ticks = election_ticks(7, 1, term, 0);
            assert!((ELECTION_TICKS..2 * ELECTION_TICKS).contains(&ticks));
            seen.insert(ticks);
        }
        assert_eq!(seen.len(), ELECTION_TICKS);
    }

    #[test]
    fn members_that_collide_in_a_term_part_in_a_later_one() {
        let collide = |term| election_ticks(7, 1, term, 0) == election_ticks(7, 2, term, 0);
        assert!((0..100).any(collide));
        assert!((0..100).filter(|term| collide(*term)).count() < 30);
    }
}
