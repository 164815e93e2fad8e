//! What goes wrong, and how it ends.

use argosy_consensus::{Input, MemberId};

use super::arrival::Arrival;
use super::{Event, World};
use crate::checkers::Violation;
use crate::queue::millis;
use crate::random::Random;

/// The end of a fault.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mend {
    /// A machine comes up again.
    Start(usize),
    /// A stopped process goes on.
    Continue(usize),
    /// The network is whole again.
    Unblock,
    /// A disk is as quick as before.
    Quicken(usize),
}

pub(super) struct Faults {
    random: Random,
}

impl Faults {
    pub(super) fn new(random: Random) -> Self {
        Self { random }
    }
}

impl World<'_> {
    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        if self.healed_at.is_some() {
            return Ok(());
        }
        let delay = self.faults.random.between(millis(300), millis(3_000));
        self.queue.after(delay, Event::Fault);
        let at = self.faults.random.index(self.members.len());
        match self.faults.random.below(100) {
            0..12 => self.crash_for_a_while(at),
            12..22 => self.die_in_the_disk(at),
            22..27 => (0..self.members.len()).for_each(|at| self.crash_for_a_while(at)),
            27..35 => self.crash_with_damage(at),
            35..60 => self.stop(at),
            60..80 => self.part(at),
            80..88 => self.disturb(),
            88..94 => self.slow_down(at),
            _ => {
                let to = self.faults.random.between(1, self.members.len() as u64);
                let hand_over = Input::TransferLeader { to: MemberId(to) };
                return self.input(at, Arrival::Input(hand_over));
            }
        }
        Ok(())
    }

    pub(super) fn crash_for_a_while(&mut self, at: usize) {
        self.crash(at);
        let delay = self.faults.random.between(millis(100), millis(4_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Start(at) });
    }

    /// The machine dies in the middle of one of its next disk operations.
    pub(super) fn die_in_the_disk(&mut self, at: usize) {
        self.members[at].disk.set_fuse(self.faults.random.below(12));
    }

    /// One byte of the log goes bad while the machine is down.
    fn crash_with_damage(&mut self, at: usize) {
        self.crash_for_a_while(at);
        let member = &mut self.members[at];
        if member.rot.is_none() {
            member.rot = member.disk.rot(&mut self.faults.random);
        }
    }

    fn stop(&mut self, at: usize) {
        let member = &mut self.members[at];
        if member.process.is_none() || member.stopped.is_some() {
            return;
        }
        member.stopped = Some(Vec::new());
        self.stats.pauses += 1;
        let longest = if self.faults.random.below(4) == 0 { millis(6_000) } else { millis(1_500) };
        let delay = self.faults.random.between(millis(50), longest);
        self.queue.after(delay, Event::Mend { mend: Mend::Continue(at) });
    }

    /// Cuts one member off, in one direction or both.
    pub(super) fn part(&mut self, at: usize) {
        self.stats.partitions += 1;
        let direction = self.faults.random.below(4);
        for other in (0..self.members.len()).filter(|other| *other != at) {
            if direction != 1 {
                self.network.block(at, other);
            }
            if direction != 2 {
                self.network.block(other, at);
            }
            // Sometimes only one of the links.
            if direction == 3 {
                break;
            }
        }
        let delay = self.faults.random.between(millis(300), millis(5_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Unblock });
    }

    fn disturb(&mut self) {
        (self.network.loss, self.network.late) = match self.faults.random.below(4) {
            0 => (0, 8),
            1 => (20, 20),
            2 => (100, 10),
            _ => (30, 250),
        };
    }

    fn slow_down(&mut self, at: usize) {
        self.members[at].slowness = self.faults.random.between(5, 60);
        let delay = self.faults.random.between(millis(500), millis(5_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Quicken(at) });
    }

    pub(super) fn mend(&mut self, mend: Mend) -> Result<(), Violation> {
        match mend {
            Mend::Start(at) => self.start(at),
            Mend::Continue(at) => self.go_on(at),
            Mend::Unblock => {
                self.network.unblock();
                Ok(())
            }
            Mend::Quicken(at) => {
                self.members[at].slowness = 1;
                Ok(())
            }
        }
    }

    /// A stopped process goes on: what has waited for it comes in any order.
    fn go_on(&mut self, at: usize) -> Result<(), Violation> {
        let Some(mut waiting) = self.members[at].stopped.take() else { return Ok(()) };
        self.faults.random.shuffle(&mut waiting);
        for arrival in waiting {
            self.input(at, arrival)?;
        }
        Ok(())
    }

    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.healed_at = Some(self.queue.now());
        self.network.heal();
        for at in 0..self.members.len() {
            self.members[at].slowness = 1;
            self.members[at].disk.unset_fuse();
            self.go_on(at)?;
            self.start(at)?;
        }
        Ok(())
    }
}
