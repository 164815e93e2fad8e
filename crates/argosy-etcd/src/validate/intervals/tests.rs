//! Joined ranges against a plain list of ranges.

use super::{Deleted, End, ends_by};

/// A small generator (splitmix64), so that a failure names its seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn key(&mut self) -> Vec<u8> {
        let length = 1 + self.below(2);
        (0..length).map(|_| b'a' + u8::try_from(self.below(4)).unwrap()).collect()
    }
}

#[test]
fn joined_ranges_cover_what_the_single_ranges_cover() {
    for seed in 0..300 {
        let mut random = Seeded(seed);
        let mut joined = Deleted::default();
        let mut plain: Vec<(Vec<u8>, End)> = Vec::new();
        for _ in 0..12 {
            let start = random.key();
            let end = if random.below(10) == 0 { None } else { Some(random.key()) };
            if ends_by(&end, &start) {
                continue;
            }
            joined.add(start.clone(), end.clone());
            plain.push((start, end));
            for _ in 0..20 {
                let key = random.key();
                let expected =
                    plain.iter().any(|(start, end)| *start <= key && !ends_by(end, &key));
                assert_eq!(joined.covers(&key), expected, "seed {seed} key {key:?} {plain:?}");
            }
        }
        let ranges: Vec<_> = joined.0.iter().collect();
        for pair in ranges.windows(2) {
            assert!(ends_by(pair[0].1, pair[1].0), "seed {seed}: overlap in {ranges:?}");
        }
    }
}
