//! What a daemon's loop does with its leader and its agent, as the real one does it.

use argosy_kv::Txn;
use argosy_reconcile::{AgentEffect, AgentEvent, LeaderEffect, LeaderEvent, MachineReport};

use argosy_registry::feed::guarded_commit;

use super::machine::{Arrival, Asker};
use super::replica::place_of;
use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event, machine_id};
use crate::queue::{Micros, millis};

/// How often a daemon looks at the time when nothing else happens.
const IDLE: Micros = millis(1_000);

impl Cluster<'_> {
    pub(super) fn leader_handles(&mut self, at: usize, event: LeaderEvent) -> Result<(), Broken> {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        let signs = daemon.granter.signs();
        let effects = daemon.leader.handle(event, daemon.builder.view(), signs, now);
        for effect in effects {
            match effect {
                LeaderEffect::Eligible { term, machines } => {
                    if let Some(daemon) = &mut self.machines[at].daemon {
                        daemon.granter.set_eligible(term, machines);
                    }
                    self.schedule_pulse(at);
                }
                LeaderEffect::Commit { request, txn, .. } => {
                    if !argosy_registry::fits(&txn) {
                        return broken(Rule::Plans, "a leader's transaction is too large");
                    }
                    if let Some(daemon) = &self.machines[at].daemon {
                        self.truth.decides(&txn, daemon.builder.view());
                    }
                    self.propose(at, Asker::Leader(request), txn);
                }
                LeaderEffect::BadPlan(lines) => return broken(Rule::Plans, lines.join("; ")),
            }
        }
        Ok(())
    }

    pub(super) fn agent_handles(&mut self, at: usize, event: AgentEvent) -> Result<(), Broken> {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        let view = match &mut daemon.fed {
            None => daemon.builder.view(),
            Some(fed) => fed.follow(daemon.builder.view())?,
        };
        let effects = daemon.agent.handle(event, view, now);
        for effect in effects {
            match effect {
                AgentEffect::Step(step) => {
                    self.check_prepared(at, &step.action)?;
                    self.ask_backend(at, step);
                }
                AgentEffect::Images(images) => self.want_images(at, images),
                AgentEffect::Commit { request, txn } => {
                    self.check_allowed(at, &txn)?;
                    self.propose(at, Asker::Agent(request), txn);
                }
                AgentEffect::Report(report) => self.report(at, report)?,
                // There are no proxies, and whatever runs answers.
                AgentEffect::AwaitAcknowledged(revision) => {
                    self.agent_handles(at, AgentEvent::Acknowledged(revision))?;
                }
                AgentEffect::Probe { unit, run, .. } => {
                    self.agent_handles(at, AgentEvent::Probed { unit, run, answers: Ok(()) })?;
                }
            }
        }
        Ok(())
    }

    /// A worker's transactions are checked by the member that proposes them, which refuses all but
    /// those of its own endpoints: what its agent makes must be among these.
    fn check_allowed(&self, at: usize, txn: &Txn) -> Result<(), Broken> {
        let Some(daemon) = self.machines[at].daemon.as_ref().filter(|it| it.fed.is_some()) else {
            return Ok(());
        };
        match guarded_commit(daemon.builder.view(), machine_id(at), txn.clone()) {
            Ok(_) => Ok(()),
            Err(error) => broken(Rule::Endpoints, format!("machine {at} may not publish: {error}")),
        }
    }

    /// A report goes to this machine's own leader, and to the one it knows.
    fn report(&mut self, at: usize, report: MachineReport) -> Result<(), Broken> {
        let Some(daemon) = &self.machines[at].daemon else { return Ok(()) };
        let leader = daemon.replica.status().leader;
        let to = leader.and_then(|id| place_of(id.0, self.machines.len()));
        if let Some(to) = to.filter(|to| *to != at) {
            for delay in self.network.send(at, to, true) {
                let arrival = Box::new(Arrival::Report { report: report.clone() });
                self.queue.after(delay, Event::Arrive { machine: to, arrival });
            }
        }
        self.leader_handles(at, LeaderEvent::Report(Box::new(report)))
    }

    pub(super) fn wake(&mut self, at: usize) -> Result<(), Broken> {
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        // A timer that was set before an earlier one was wanted.
        if daemon.wake_at.is_some_and(|wanted| wanted > self.queue.now()) {
            return Ok(());
        }
        daemon.wake_at = None;
        if std::mem::take(&mut daemon.barrier_wanted) {
            self.barrier(at);
        }
        self.leader_handles(at, LeaderEvent::Tick)?;
        self.agent_handles(at, AgentEvent::Tick)?;
        self.settle(at)
    }

    pub(super) fn schedule_wake(&mut self, at: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[at];
        let Some(daemon) = &machine.daemon else { return };
        let wanted = [daemon.leader.wake_at(), daemon.agent.wake_at()].into_iter().flatten().min();
        let wanted = wanted.map_or(now + IDLE, |clock| machine.when(clock)).min(now + IDLE);
        let wanted = wanted.max(now + 100);
        let Some(daemon) = &mut machine.daemon else { return };
        if daemon.wake_at.is_none_or(|at| wanted < at) {
            daemon.wake_at = Some(wanted);
            let run = daemon.run;
            self.queue.at(wanted, Event::Wake { machine: at, run });
        }
    }
}
