//! The network between members: it loses, delays, reorders, repeats and parts.

use crate::queue::{Micros, millis};
use crate::random::Random;

/// Late messages of a thousand where nothing is wrong.
const LATE: u64 = 8;

pub(crate) struct Network {
    random: Random,
    /// `blocked[from][to]`.
    blocked: Vec<Vec<bool>>,
    /// Lost messages of a thousand.
    pub(crate) loss: u64,
    /// Messages of a thousand that take up to seconds.
    pub(crate) late: u64,
}

impl Network {
    pub(crate) fn new(members: usize, random: Random) -> Self {
        let blocked = vec![vec![false; members]; members];
        Self { random, blocked, loss: 0, late: LATE }
    }

    pub(crate) fn heal(&mut self) {
        self.unblock();
        self.loss = 0;
        self.late = 0;
    }

    pub(crate) fn unblock(&mut self) {
        for row in &mut self.blocked {
            row.fill(false);
        }
    }

    /// Tells whether messages arrive, and all but a few at once.
    pub(crate) fn is_whole(&self) -> bool {
        let blocked = self.blocked.iter().flatten().any(|blocked| *blocked);
        !blocked && self.loss == 0 && self.late <= LATE
    }

    pub(crate) fn block(&mut self, from: usize, to: usize) {
        self.blocked[from][to] = true;
    }

    /// Returns after how long a message arrives; twice if it is repeated (only one that
    /// `may_repeat`), never if it is lost.
    pub(crate) fn send(
        &mut self,
        from: usize,
        to: usize,
        may_repeat: bool,
    ) -> impl Iterator<Item = Micros> + use<> {
        let arrives = !self.blocked[from][to] && !self.random.per_mille(self.loss);
        let again = arrives && may_repeat && self.random.per_mille(self.loss / 4);
        let first = arrives.then(|| self.delay());
        first.into_iter().chain(again.then(|| self.delay()))
    }

    fn delay(&mut self) -> Micros {
        if self.random.per_mille(self.late) {
            return self.random.between(millis(50), millis(3_000));
        }
        match self.random.below(20) {
            0 => self.random.between(millis(2), millis(30)),
            _ => self.random.between(100, 1_500),
        }
    }
}
