//! The network between members: it loses, delays, reorders, repeats and parts.

use argosy_consensus::{Input, MessageKind, PeerMessage};
use bytes::Bytes;

use super::queue::{Micros, millis};
use crate::random::Random;

/// What can reach a member.
#[derive(Debug, Clone)]
pub(super) enum Arrival {
    /// For the replica as it is.
    Input(Input),
    /// A snapshot as it travels.
    Snapshot { message: PeerMessage, state: Bytes },
    /// A client's request.
    Request(usize),
    /// Its own disk's report, held back while it was stopped.
    DiskDone,
}

pub(super) struct Network {
    random: Random,
    /// `blocked[from][to]`.
    blocked: Vec<Vec<bool>>,
    /// Lost messages of a thousand.
    pub(super) loss: u64,
    /// Messages of a thousand that take up to seconds.
    pub(super) late: u64,
}

impl Network {
    pub(super) fn new(members: usize, random: Random) -> Self {
        let blocked = vec![vec![false; members]; members];
        Self { random, blocked, loss: 0, late: 8 }
    }

    pub(super) fn heal(&mut self) {
        self.unblock();
        self.loss = 0;
        self.late = 0;
    }

    pub(super) fn unblock(&mut self) {
        for row in &mut self.blocked {
            row.fill(false);
        }
    }

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked[from][to] = true;
    }

    /// Returns after how long a message arrives; twice if it is repeated, never if it is lost.
    pub(super) fn send(&mut self, from: usize, to: usize, kind: MessageKind) -> Vec<Micros> {
        if self.blocked[from][to] || self.random.per_mille(self.loss) {
            return Vec::new();
        }
        // A proposal that arrived twice would be carried out twice; transports promise not to.
        let again = kind != MessageKind::Propose && self.random.per_mille(self.loss / 4);
        (0..=u8::from(again)).map(|_| self.delay()).collect()
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
