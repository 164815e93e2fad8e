//! Which endpoint gets the next request: the less busy of two that chance has drawn.
//!
//! Two choices keep the busiest endpoint close to the average, need no common state, and do not
//! send every proxy of a cluster to the same idle endpoint at once.

/// An endpoint as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests that run there now, of all workers.
    pub outstanding: u64,
    /// Neither ejected nor unhealthy.
    pub available: bool,
    /// This request has tried it before.
    pub tried: bool,
    /// This request met silence at its host.
    pub silent: bool,
}

/// Returns the position of the endpoint to use; none only if there is none at all. An untried
/// available one is best. With none of those an untried one is asked although it looks ill: to
/// refuse a request is worse than to try. Endpoints on a host that kept silent come after all others,
/// since the whole host may be gone. The last resort is one tried before, available ones first. `candidate` tells of each position below `count`, the same each time; equal `random` gives equal choices.
pub fn pick(count: usize, random: u64, candidate: impl Fn(usize) -> Candidate) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let (first, second) = draw(count, random);
    let (a, b) = (candidate(first), candidate(second));
    if rank(a) == 0 && rank(b) == 0 {
        return Some(if b.outstanding < a.outstanding { second } else { first });
    }
    // Something is wrong with one of them: choose in the same way among the best there are, so
    // that the share of an ill endpoint does not fall on its neighbour alone.
    let best = (0..count).map(|position| rank(candidate(position))).min()?;
    let equals = || (0..count).filter(|&position| rank(candidate(position)) == best);
    // The number that led to the ill one says too much about its neighbours to be used again.
    let (first, second) = draw(equals().count(), Chance::new(random).draw());
    let (first, second) = (equals().nth(first)?, equals().nth(second)?);
    let busier = candidate(first).outstanding > candidate(second).outstanding;
    Some(if busier { second } else { first })
}

/// 0 is best.
fn rank(candidate: Candidate) -> u8 {
    u8::from(candidate.tried) * 4 + u8::from(candidate.silent) * 2 + u8::from(!candidate.available)
}

/// Returns two positions below `count`, different ones if there are two.
fn draw(count: usize, random: u64) -> (usize, usize) {
    // Multiply and shift instead of a remainder: as even, and cheaper.
    let below = |bits: u64, limit: usize| (((bits & 0xffff_ffff) * limit as u64) >> 32) as usize;
    let first = below(random, count);
    let step = if count > 1 { 1 + below(random >> 32, count - 1) } else { 0 };
    (first, (first + step) % count)
}

/// A source of chance that costs a few instructions (splitmix64 by Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Makes a source; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
