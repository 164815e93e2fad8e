//! Fresh ids for processes and runs, from a seed.

use argosy_model::InvocationId;

use crate::SpawnId;

/// Hands out spawn ids in order and invocation ids that look random.
#[derive(Debug)]
pub(crate) struct Ids {
    next_spawn: u64,
    seed: u128,
    invocations: u64,
}

impl Ids {
    pub(crate) fn new(first_spawn: u64, seed: u128) -> Ids {
        Ids { next_spawn: first_spawn, seed, invocations: 0 }
    }

    pub(crate) fn spawn(&mut self) -> SpawnId {
        let id = SpawnId(self.next_spawn);
        self.next_spawn += 1;
        id
    }

    pub(crate) fn invocation(&mut self) -> InvocationId {
        self.invocations += 1;
        let (low, high) = (self.seed as u64, (self.seed >> 64) as u64);
        let first = mix(low ^ mix(self.invocations));
        let second = mix(high ^ mix(first));
        InvocationId(u128::from(first) << 64 | u128::from(second))
    }
}

/// The finaliser of SplitMix64: a bijection in which every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
