//! Beats and grants between the machines, and the keepers that hold the deadlines.

use std::collections::BTreeSet;

use argosy_model::{InvocationId, Term, UnitName};
use argosy_reconcile::{
    AgentEvent, Beat, Grant, GranterEffect, GranterEvent, Preset, Timing, Voters,
};

use super::machine::Arrival;
use super::replica::place_of;
use super::runs::is_live;
use super::violation::Broken;
use super::{Cluster, Event, machine_id};
use crate::queue::Micros;

/// What clusters are made with.
pub(super) const TIMING: Timing = Timing::of(Preset::Default);

/// What goes between machines.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pulse {
    Beat { beat: Beat, sent_at: Micros },
    Grant(Grant),
    Ask { round: u64 },
    Answer { round: u64, term: Term },
}

impl Cluster<'_> {
    /// The liveness thread's timer.
    pub(super) fn pulse(&mut self, at: usize) -> Result<(), Broken> {
        if let Some(daemon) = &mut self.machines[at].daemon {
            daemon.pulse_at = None;
        }
        self.beat(at)?;
        self.tell_granter(at, GranterEvent::Tick)?;
        self.look_at_grant(at)?;
        self.schedule_pulse(at);
        self.settle(at)
    }

    fn beat(&mut self, at: usize) -> Result<(), Broken> {
        let sent_at = self.queue.now();
        let now = self.machines[at].clock(sent_at);
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        if now < daemon.beater.due_at() {
            return Ok(());
        }
        let beat = daemon.beater.beat(daemon.agent.generation(), now);
        let leader = daemon.replica.status().leader;
        match leader.and_then(|id| place_of(id.0, self.machines.len())) {
            Some(leader) if leader == at => self.hear(at, at, beat, sent_at),
            Some(leader) => {
                self.send_pulse(at, leader, Pulse::Beat { beat, sent_at });
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn send_pulse(&mut self, from: usize, to: usize, pulse: Pulse) {
        for delay in self.network.send(from, to, true) {
            let arrival = Box::new(Arrival::Pulse { from, pulse });
            self.queue.after(delay, Event::Arrive { machine: to, arrival });
        }
    }

    /// Something of another machine's liveness thread has come.
    pub(super) fn pulse_arrives(
        &mut self,
        at: usize,
        from: usize,
        pulse: Pulse,
    ) -> Result<(), Broken> {
        let Some(daemon) = &self.machines[at].daemon else { return Ok(()) };
        match pulse {
            Pulse::Beat { beat, sent_at } => self.hear(at, from, beat, sent_at)?,
            Pulse::Grant(grant) => self.granted(at, grant)?,
            Pulse::Ask { round } => {
                let term = Term(daemon.replica.term());
                self.send_pulse(at, from, Pulse::Answer { round, term });
            }
            Pulse::Answer { round, term } => {
                let voter = self.machines[from].id.0;
                self.tell_granter(at, GranterEvent::Answer { voter, round, term })?;
            }
        }
        self.schedule_pulse(at);
        self.settle(at)
    }

    fn hear(&mut self, at: usize, from: usize, beat: Beat, sent_at: Micros) -> Result<(), Broken> {
        self.truth.heard(machine_id(from), sent_at);
        self.tell_granter(at, GranterEvent::Beat { machine: machine_id(from), beat })
    }

    pub(super) fn tell_granter(&mut self, at: usize, event: GranterEvent) -> Result<(), Broken> {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        let own_term = Term(daemon.replica.term());
        let outgoing = BTreeSet::new();
        let voters = Voters { all: &self.voters, outgoing: &outgoing, own_term };
        let effects = daemon.granter.handle(event, voters, now);
        for effect in effects {
            match effect {
                GranterEffect::Ask { voters, round, .. } => {
                    for voter in voters {
                        if let Some(to) = place_of(voter, self.machines.len()) {
                            self.send_pulse(at, to, Pulse::Ask { round });
                        }
                    }
                }
                GranterEffect::Grant { machine, grant } => {
                    let to = (0..self.machines.len()).find(|at| machine_id(*at) == machine);
                    match to {
                        Some(to) if to == at => self.granted(at, grant)?,
                        Some(to) => self.send_pulse(at, to, Pulse::Grant(grant)),
                        None => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn granted(&mut self, at: usize, grant: Grant) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let now = machine.clock(self.queue.now());
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        if let Some(kill_at) = daemon.beater.granted(grant, now) {
            machine.backend.grant().renew(kill_at, now);
            if !std::mem::replace(&mut machine.fence_is_watched, true) {
                let kill_at = machine.backend.grant().kill_at();
                let (when, boot) = (machine.when(kill_at), machine.boot);
                self.queue.at(when, Event::FenceLapse { machine: at, boot });
            }
        }
        self.look_at_grant(at)
    }

    fn look_at_grant(&mut self, at: usize) -> Result<(), Broken> {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        let may_run = daemon.beater.may_run(now);
        if std::mem::replace(&mut daemon.is_granted, may_run) == may_run {
            return Ok(());
        }
        self.agent_handles(at, AgentEvent::Granted(may_run))
    }

    pub(super) fn schedule_pulse(&mut self, at: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[at];
        let Some(daemon) = &machine.daemon else { return };
        let lapse = daemon.is_granted.then(|| daemon.beater.kill_at());
        let times = [Some(daemon.beater.due_at()), daemon.granter.wake_at(), lapse];
        let Some(clock) = times.into_iter().flatten().min() else { return };
        let wanted = machine.when(clock).max(now + 100);
        let Some(daemon) = &mut machine.daemon else { return };
        if daemon.pulse_at.is_none_or(|at| wanted < at) {
            daemon.pulse_at = Some(wanted);
            let run = daemon.run;
            self.queue.at(wanted, Event::Pulse { machine: at, run });
        }
    }

    /// The keeper's deadline: what is fenced is killed, which takes a while.
    pub(super) fn fence_lapses(&mut self, at: usize, boot: u64) {
        let now = self.queue.now();
        let machine = &mut self.machines[at];
        if machine.boot != boot {
            return;
        }
        let kill_at = machine.backend.grant().kill_at();
        if machine.clock(now) < kill_at {
            let when = machine.when(kill_at).max(now + 1);
            self.queue.at(when, Event::FenceLapse { machine: at, boot });
            return;
        }
        machine.fence_is_watched = false;
        let longest = Micros::try_from(TIMING.kill.as_micros()).unwrap_or(Micros::MAX) * 9 / 10;
        for (unit, live) in self.runs.on_machine(at) {
            if live.is_fenced
                && let Some(invocation) = live.invocation
            {
                let delay = self.random.below(longest);
                let kill = Event::FenceKill { machine: at, boot, unit, invocation };
                self.queue.after(delay, kill);
            }
        }
    }

    /// A fenced unit is dead.
    pub(super) fn fence_kills(
        &mut self,
        at: usize,
        boot: u64,
        unit: &UnitName,
        invocation: InvocationId,
    ) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let before = machine.backend.status(unit).cloned();
        let same = |status: &&argosy_model::UnitStatus| {
            status.invocation == Some(invocation) && is_live(status)
        };
        if machine.boot != boot || before.as_ref().filter(same).is_none() {
            return Ok(());
        }
        let Some(event) = machine.backend.fence(unit) else { return Ok(()) };
        self.stats.fenced += 1;
        self.changed(at, unit, before.as_ref(), event)
    }
}
