//! Carries out what a store member asks for.

use argosy_consensus::{Effect, Input, MemberId, MessageKind, PeerMessage, RequestId, WhyFailed};
use argosy_kv::{Response, State};
use argosy_model::Term;
use argosy_reconcile::{AgentEvent, GranterEvent, LeaderEvent};
use argosy_registry::{ClusterViewBuilder, Outcome};

use super::machine::{Arrival, Asker};
use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event, texts};
use crate::queue::millis;

/// Work of the disk.
#[derive(Debug)]
pub(super) enum Job {
    /// Sync what is written, up to this group.
    Sync(u64),
    /// Write a received snapshot, then its mark.
    Install(Box<Effect>),
}

/// What a round of effects comes to for leader and agent.
#[derive(Default)]
struct News {
    view: bool,
    leadership: Option<Option<Term>>,
    answers: Vec<(Asker, Outcome)>,
}

impl Cluster<'_> {
    /// Something arrives over the network.
    pub(super) fn arrive(&mut self, at: usize, arrival: Arrival) -> Result<(), Broken> {
        match arrival {
            Arrival::Peer(message) => self.input(at, Input::Peer(message)),
            Arrival::Snapshot { message, state } => match State::decode_snapshot(&state) {
                Ok(state) => self.input(at, Input::SnapshotReceived { message, state }),
                Err(error) => broken(Rule::Store, format!("snapshot: {error}")),
            },
            Arrival::SnapshotSent { peer, ok } => self.input(at, Input::SnapshotSent { peer, ok }),
            Arrival::Pulse { from, pulse } => self.pulse_arrives(at, from, pulse),
            Arrival::Report { report } => {
                if self.machines[at].daemon.is_none() {
                    return Ok(());
                }
                self.leader_handles(at, LeaderEvent::Report(report))?;
                self.settle(at)
            }
        }
    }

    pub(super) fn input(&mut self, at: usize, input: Input) -> Result<(), Broken> {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        daemon.replica.handle(input, now);
        self.settle(at)
    }

    /// Carries out everything a store member, its leader and its agent ask for.
    pub(super) fn settle(&mut self, at: usize) -> Result<(), Broken> {
        loop {
            let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
            let effects = daemon.replica.take_effects();
            if effects.is_empty() {
                self.start_disk(at)?;
                self.schedule_wake(at);
                return Ok(());
            }
            let mut news = News::default();
            for effect in effects {
                self.carry_out(at, effect, &mut news)?;
            }
            self.tell_news(at, news)?;
        }
    }

    fn tell_news(&mut self, at: usize, news: News) -> Result<(), Broken> {
        if let Some(term) = news.leadership {
            self.tell_granter(at, GranterEvent::Leadership(term))?;
            if let Some(daemon) = &mut self.machines[at].daemon {
                daemon.beater.hurry();
            }
            self.schedule_pulse(at);
            self.leader_handles(at, LeaderEvent::Leadership(term))?;
            self.agent_handles(at, AgentEvent::LeaderChanged)?;
        }
        if news.view {
            self.leader_handles(at, LeaderEvent::ViewChanged)?;
            self.agent_handles(at, AgentEvent::ViewChanged)?;
        }
        for (asker, outcome) in news.answers {
            match asker {
                Asker::Leader(request) => {
                    self.leader_handles(at, LeaderEvent::Committed { request, outcome })?;
                }
                Asker::Agent(request) => {
                    self.agent_handles(at, AgentEvent::Committed { request, outcome })?;
                }
                Asker::Operator(intent) => self.operator_hears(intent, outcome)?,
                Asker::Barrier => match outcome {
                    Outcome::Done(_) => self.agent_handles(at, AgentEvent::Current)?,
                    Outcome::Conflict(_) | Outcome::Unknown => {
                        if let Some(daemon) = &mut self.machines[at].daemon {
                            daemon.barrier_wanted = true;
                        }
                    }
                },
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, at: usize, effect: Effect, news: &mut News) -> Result<(), Broken> {
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        match effect {
            Effect::Send(message) => self.send(at, message),
            Effect::SendSnapshot { message, state } => self.send_snapshot(at, message, &state),
            Effect::Persist { .. } | Effect::InstallSnapshot { .. } | Effect::ReleaseLog { .. } => {
                daemon.jobs.push_back(effect);
            }
            Effect::Applied { index, events, request, response, .. } => {
                let before = daemon.builder.view().revision();
                daemon.builder.apply_events(&events);
                news.view |= daemon.builder.view().revision() != before;
                let asker = request.and_then(|id| daemon.waiting.remove(&id));
                self.truth.apply(index, &events, &self.runs, self.queue.now(), self.healed_at)?;
                self.check_newly_lost()?;
                if let Some(asker) = asker {
                    let outcome = match response {
                        Some(Ok(Response::Txn(response))) => Outcome::of(&response),
                        other => return broken(Rule::Store, format!("answered with {other:?}")),
                    };
                    news.answers.push((asker, outcome));
                }
            }
            Effect::StateReplaced { .. } => {
                match ClusterViewBuilder::load(texts::specs(), daemon.replica.state()) {
                    Ok(mut builder) => {
                        builder.set_planted(self.scenario.planted);
                        daemon.builder = builder;
                    }
                    Err(error) => return broken(Rule::Views, error.to_string()),
                }
                news.view = true;
            }
            Effect::ReadReady { request, .. } => {
                let asker = daemon.waiting.remove(&request);
                news.answers.extend(asker.map(|asker| (asker, Outcome::Done(0))));
            }
            Effect::Failed { request, why } => {
                let asker = daemon.waiting.remove(&request);
                news.answers.extend(asker.map(|asker| (asker, Outcome::Unknown)));
                let timed_out = matches!(why, WhyFailed::Timeout { .. });
                self.trace.add(&[request.0, u64::from(timed_out)]);
            }
            Effect::StartCheckpoint(checkpoint) => {
                daemon.checkpoint = Some(checkpoint);
                let run = daemon.run;
                let delay = self.machines[at].disk_delay() * 10;
                self.queue.after(delay, Event::CheckpointDone { machine: at, run });
            }
            Effect::LeadershipChanged { term, is_leader, .. } => {
                self.trace.add(&[term, u64::from(is_leader)]);
                self.stats.leaders += u64::from(is_leader);
                news.leadership = Some(is_leader.then_some(Term(term)));
            }
            Effect::MembershipChanged { .. } => {}
            Effect::Fatal(error) => return broken(Rule::Store, format!("member {at}: {error}")),
        }
        Ok(())
    }

    /// Asks for a transaction.
    pub(super) fn propose(&mut self, at: usize, asker: Asker, txn: argosy_kv::Txn) {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else { return };
        daemon.next_request += 1;
        let request = RequestId(daemon.next_request);
        daemon.waiting.insert(request, asker);
        let command = argosy_kv::Command {
            proposed_at: argosy_model::UnixMicros(0),
            kind: argosy_kv::CommandKind::Txn(txn),
        };
        daemon.replica.handle(Input::Propose { request, command }, now);
    }

    /// Asks for the state of now.
    pub(super) fn barrier(&mut self, at: usize) {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else { return };
        daemon.next_request += 1;
        let request = RequestId(daemon.next_request);
        daemon.waiting.insert(request, Asker::Barrier);
        daemon.replica.handle(Input::ReadIndex { request }, now);
    }

    fn send(&mut self, from: usize, message: PeerMessage) {
        let Some(to) = place_of(message.to, self.machines.len()) else { return };
        let may_repeat = message.kind() != MessageKind::Propose;
        for delay in self.network.send(from, to, may_repeat) {
            let arrival = Box::new(Arrival::Peer(message.clone()));
            self.queue.after(delay, Event::Arrive { machine: to, arrival });
        }
    }

    fn send_snapshot(&mut self, from: usize, message: PeerMessage, state: &State) {
        let Some(to) = place_of(message.to, self.machines.len()) else { return };
        let peer = MemberId(message.to);
        let delay = self.network.send(from, to, true).first().copied();
        let taken = delay.map_or(millis(300), |delay| delay + millis(5));
        let sent = Arrival::SnapshotSent { peer, ok: delay.is_some() };
        if delay.is_some() {
            let arrival = Box::new(Arrival::Snapshot { message, state: state.encode_snapshot() });
            self.queue.after(taken, Event::Arrive { machine: to, arrival });
        }
        self.queue.after(taken, Event::Arrive { machine: from, arrival: Box::new(sent) });
    }

    /// Gives the disk its next work, if it has none.
    fn start_disk(&mut self, at: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        if daemon.busy.is_some() {
            return Ok(());
        }
        while daemon.busy.is_none() {
            let done = match daemon.jobs.pop_front() {
                None => return Ok(()),
                Some(Effect::Persist { sequence, records }) => {
                    daemon.writer.append(&records);
                    daemon.busy = Some(Job::Sync(sequence));
                    daemon.writer.write()
                }
                Some(Effect::ReleaseLog { applied }) => daemon.writer.release(applied).map(drop),
                Some(install) => {
                    daemon.busy = Some(Job::Install(Box::new(install)));
                    Ok(())
                }
            };
            if let Err(error) = done {
                return broken(Rule::Store, format!("member {at}: {error}"));
            }
        }
        let run = daemon.run;
        let delay = machine.disk_delay();
        self.queue.after(delay, Event::DiskDone { machine: at, run });
        Ok(())
    }

    pub(super) fn disk_done(&mut self, at: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        let done = match daemon.busy.take() {
            None => return Ok(()),
            Some(Job::Sync(sequence)) => daemon.writer.sync().map(|()| sequence),
            Some(Job::Install(effect)) => {
                let Effect::InstallSnapshot { sequence, checkpoint, records } = *effect else {
                    return Ok(());
                };
                machine.checkpoint = checkpoint;
                daemon.writer.append(&records);
                let written = daemon.writer.write().and_then(|()| daemon.writer.sync());
                written.map(|()| sequence)
            }
        };
        match done {
            Ok(sequence) => self.input(at, Input::Persisted { sequence }),
            Err(error) => broken(Rule::Store, format!("member {at}: {error}")),
        }
    }

    pub(super) fn checkpoint_done(&mut self, at: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        let Some(checkpoint) = daemon.checkpoint.take() else { return Ok(()) };
        let applied = checkpoint.applied;
        // A snapshot that was installed meanwhile is newer; a store keeps the newer one.
        if applied > machine.checkpoint.applied {
            machine.checkpoint = checkpoint;
        }
        self.input(at, Input::CheckpointWritten { applied })
    }
}

/// Returns where a member stands in the list.
pub(super) fn place_of(id: u64, machines: usize) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok().filter(|at| *at < machines)
}
