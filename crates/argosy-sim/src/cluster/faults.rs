//! What goes wrong with a cluster, and how it ends.

use super::machine::Machine;
use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event, machine_id};
use crate::queue::{Micros, micros, millis};

/// A machine that nothing has happened to for this long was not lost when a leader decided so: it
/// may have been stopped in between for 9 s.
const WELL_FOR: Micros = millis(10_000);

/// The end of a fault.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mend {
    /// A daemon that has asked for a long grant goes, if it has one.
    Leave { at: usize, run: u64 },
    /// A daemon, or a machine with it, comes up again.
    Start(usize),
    /// A stopped daemon goes on.
    Continue(usize),
    /// A stopped supervisor goes on.
    ContinueSupervisor(usize),
    /// The network is whole again.
    Unblock,
}

impl Cluster<'_> {
    pub(super) fn fault(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let (least, most) = self.scenario.fault_after;
        let delay = self.random.between(micros(least), micros(most));
        self.queue.after(delay, Event::Fault);
        let mut at = self.random.index(self.machines.len());
        // A grant that is over, and a new one, before a supervisor goes on.
        let stopped = |machine: &Machine| machine.supervisor_stopped.is_some();
        if let Some(stopped) = self.machines.iter().position(stopped)
            && self.random.below(2) == 0
        {
            self.part(stopped);
            return;
        }
        // Whoever leads has the most to do wrong when it is cut off.
        if self.random.below(3) == 0 {
            let leads =
                |machine: &Machine| machine.daemon.as_ref().is_some_and(|d| d.leader.leads());
            at = self.machines.iter().position(leads).unwrap_or(at);
        }
        match self.random.below(100) {
            0..19 => self.daemon_dies(at),
            19..27 => self.ask_to_leave(at),
            27..40 => self.machine_dies(at, millis(15_000)),
            40..52 => self.stop(at),
            52..58 => self.stop_supervisor(at),
            58..80 => self.part(at),
            80..88 => self.disturb(),
            88..98 => self.disconnect(at),
            _ => {
                for at in 0..self.machines.len() {
                    self.machine_dies(at, millis(6_000));
                }
            }
        }
    }

    fn daemon_dies(&mut self, at: usize) {
        if self.machines[at].daemon.is_none() {
            return;
        }
        self.stats.daemon_crashes += 1;
        self.crash_daemon(at);
        let delay = self.random.between(millis(100), millis(8_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Start(at) });
    }

    /// A daemon is about to begin anew, and asks for a long grant.
    fn ask_to_leave(&mut self, at: usize) {
        let Some(daemon) = &mut self.machines[at].daemon else { return };
        daemon.beater.ask_long(true);
        let run = daemon.run;
        let delay = self.random.between(millis(300), millis(2_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Leave { at, run } });
        self.schedule_pulse(at);
    }

    fn leave(&mut self, at: usize, run: u64) {
        let machine = &mut self.machines[at];
        let now = machine.clock(self.queue.now());
        let Some(daemon) = machine.daemon.as_mut().filter(|daemon| daemon.run == run) else {
            return;
        };
        let until = daemon.beater.long_until();
        if until <= now || self.healed_at.is_some() {
            daemon.beater.ask_long(false);
            return;
        }
        machine.away_until = machine.when(until);
        self.stats.absences += 1;
        self.crash_daemon(at);
        // Longer than an ordinary grant, and now and then than the long one.
        let delay = self.random.between(millis(100), millis(11_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Start(at) });
    }

    fn machine_dies(&mut self, at: usize, longest: Micros) {
        if self.machines[at].is_down {
            return;
        }
        self.stats.machine_crashes += 1;
        self.crash_machine(at);
        let delay = self.random.between(millis(1_000), longest);
        self.queue.after(delay, Event::Mend { mend: Mend::Start(at) });
    }

    fn stop(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.daemon.is_none() || machine.stopped.is_some() {
            return;
        }
        machine.stopped = Some(Vec::new());
        machine.faulty_at = self.queue.now();
        self.stats.pauses += 1;
        let delay = self.random.between(millis(100), millis(9_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Continue(at) });
    }

    /// Stops a supervisor, not its keeper: what it is asked, and its own turns, wait.
    fn stop_supervisor(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.is_down || machine.supervisor_stopped.is_some() {
            return;
        }
        machine.supervisor_stopped = Some(Vec::new());
        machine.faulty_at = self.queue.now();
        self.stats.supervisor_pauses += 1;
        let delay = self.random.between(millis(100), millis(15_000));
        self.queue.after(delay, Event::Mend { mend: Mend::ContinueSupervisor(at) });
    }

    /// Cuts one machine off, in one direction or both.
    fn part(&mut self, at: usize) {
        self.stats.partitions += 1;
        let direction = self.random.below(4);
        for other in (0..self.machines.len()).filter(|other| *other != at) {
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
        self.all_are_faulty();
        let delay = self.random.between(millis(1_000), millis(12_000));
        self.queue.after(delay, Event::Mend { mend: Mend::Unblock });
    }

    fn disturb(&mut self) {
        self.all_are_faulty();
        (self.network.loss, self.network.late) = match self.random.below(4) {
            0 => (0, 8),
            1 => (20, 20),
            2 => (100, 10),
            _ => (30, 200),
        };
    }

    fn all_are_faulty(&mut self) {
        for machine in &mut self.machines {
            machine.faulty_at = self.queue.now();
        }
    }

    pub(super) fn mend(&mut self, mend: Mend) -> Result<(), Broken> {
        match mend {
            Mend::Leave { at, run } => {
                self.leave(at, run);
                Ok(())
            }
            Mend::Start(at) => {
                if self.machines[at].daemon.is_none() {
                    self.machines[at].faulty_at = self.queue.now();
                }
                self.start(at)
            }
            Mend::Continue(at) => {
                self.go_on(at);
                Ok(())
            }
            Mend::ContinueSupervisor(at) => {
                self.supervisor_goes_on(at);
                Ok(())
            }
            Mend::Unblock => {
                self.all_are_faulty();
                self.network.unblock();
                Ok(())
            }
        }
    }

    /// A stopped daemon goes on with what has waited for it, in order.
    fn go_on(&mut self, at: usize) {
        let Some(held) = self.machines[at].stopped.take() else { return };
        self.machines[at].faulty_at = self.queue.now();
        for event in held {
            self.queue.after(0, event);
        }
    }

    /// A machine to which nothing happens is not called lost, whatever happens to its leader; nor
    /// is one whose daemon went with a long grant, before that is over.
    pub(super) fn check_newly_lost(&mut self) -> Result<(), Broken> {
        let now = self.queue.now();
        for id in self.truth.take_newly_lost() {
            let Some(at) = (0..self.machines.len()).find(|at| machine_id(*at) == id) else {
                continue;
            };
            let machine = &self.machines[at];
            if now < machine.away_until {
                return broken(Rule::Liveness, format!("m{at} was lost within its long grant"));
            }
            let is_up = machine.daemon.is_some() && machine.stopped.is_none();
            if is_up && self.network.is_whole() && now > machine.faulty_at + WELL_FOR {
                let what = format!("m{at} was lost, and nothing had happened to it");
                return broken(Rule::Liveness, what);
            }
        }
        Ok(())
    }

    /// A stopped supervisor goes on with what has waited for it. A new connection and what an earlier
    /// one has left behind come in any order.
    fn supervisor_goes_on(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some(mut held) = machine.supervisor_stopped.take() else { return };
        machine.faulty_at = self.queue.now();
        if machine.random.below(2) == 0 {
            held.sort_by_key(|event| !matches!(event, Event::Connect { .. }));
        }
        for event in held {
            self.queue.after(0, event);
        }
    }

    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.healed_at = Some(self.queue.now());
        self.network.heal();
        self.all_are_faulty();
        for at in 0..self.machines.len() {
            self.go_on(at);
            self.supervisor_goes_on(at);
            self.start(at)?;
        }
        Ok(())
    }
}
