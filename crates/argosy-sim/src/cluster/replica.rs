//! Carries out what a store member asks for.

use argosy_consensus::{Effect, Input, MemberId, MessageKind, PeerMessage, RequestId, WhyFailed};
use argosy_kv::{KvError, Response, SpaceEvents, State};
use argosy_model::Term;
use argosy_reconcile::{AgentEvent, GranterEvent, LeaderEvent};
use argosy_registry::{ClusterViewBuilder, Outcome};

use super::machine::{Arrival, Asker};
use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event, texts};
use crate::client::{Fate, read};
use crate::queue::millis;

/// What a round of effects comes to for leader and agent.
#[derive(Default)]
struct News {
    view: bool,
    leadership: Option<Option<Term>>,
    answers: Vec<(Asker, Outcome)>,
    /// The state is another than before.
    applied: bool,
    events: Vec<SpaceEvents>,
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
            Arrival::Client { request } => self.serve(at, request),
            Arrival::Pulse { from, pulse } => self.pulse_arrives(at, from, pulse),
            Arrival::Report { report } => {
                if self.machines[at].daemon.is_none() {
                    return Ok(());
                }
                self.leader_handles(at, LeaderEvent::Report(Box::new(report)))?;
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
            if news.applied
                && let Some(daemon) = &mut self.machines[at].daemon
            {
                daemon.watches.hub.publish(daemon.replica.state(), &news.events);
                self.log.state(at, daemon.replica.state(), false)?;
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
                Asker::Client(_) => {}
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
            Effect::Send(message) => self.send(at, &message),
            Effect::SendSnapshot { message, state } => self.send_snapshot(at, *message, &state),
            Effect::Persist { .. } | Effect::InstallSnapshot { .. } | Effect::ReleaseLog { .. } => {
                daemon.jobs.push_back(effect);
            }
            Effect::Applied { index, term, events, request, response } => {
                let applied = std::mem::replace(&mut daemon.applied, index);
                self.log.applied(at, applied, (index, term), &events, response.as_ref())?;
                let before = daemon.builder.view().revision();
                daemon.builder.apply_events(&events);
                news.view |= daemon.builder.view().revision() != before;
                let asker = request.and_then(|id| daemon.waiting.remove(&id));
                self.truth.apply(index, &events, &self.runs, self.queue.now(), self.healed_at)?;
                self.check_newly_lost()?;
                self.answer(asker, response, news)?;
                news.applied = true;
                news.events.extend(events);
            }
            Effect::StateReplaced { index } => {
                daemon.applied = index;
                self.log.state(at, daemon.replica.state(), true)?;
                match ClusterViewBuilder::load(texts::specs(), daemon.replica.state()) {
                    Ok(mut builder) => {
                        builder.set_planted(self.scenario.planted);
                        daemon.builder = builder;
                    }
                    Err(error) => return broken(Rule::Views, error.to_string()),
                }
                self.machines[at].snapshot_at = Some(self.queue.now());
                (news.view, news.applied) = (true, true);
            }
            Effect::ReadReady { request, .. } => match daemon.waiting.remove(&request) {
                Some(Asker::Client(request)) => {
                    let asked = self.users.clients.request(request);
                    let answer = read(daemon.replica.state(), asked);
                    self.reply(request, Fate::Answered(0, answer));
                }
                asker => news.answers.extend(asker.map(|asker| (asker, Outcome::Done(0)))),
            },
            Effect::Failed { request, why } => {
                let asker = daemon.waiting.remove(&request);
                let timed_out = matches!(why, WhyFailed::Timeout { .. });
                self.trace.add(&[request.0, u64::from(timed_out)]);
                if let Some(Asker::Client(request)) = asker {
                    self.reply(request, if timed_out { Fate::Unknown } else { Fate::Never });
                } else {
                    news.answers.extend(asker.map(|asker| (asker, Outcome::Unknown)));
                }
            }
            Effect::StartCheckpoint(checkpoint) => {
                daemon.checkpoint = Some(*checkpoint);
                let run = daemon.run;
                let delay = self.machines[at].disk_delay() * 10;
                self.queue.after(delay, Event::CheckpointDone { machine: at, run });
            }
            Effect::LeadershipChanged { term, is_leader, .. } => {
                self.trace.add(&[term, u64::from(is_leader)]);
                self.stats.leaders += u64::from(is_leader);
                if is_leader {
                    self.log.leads(at, term)?;
                }
                news.leadership = Some(is_leader.then_some(Term(term)));
            }
            Effect::MembershipChanged { index, membership, .. } => {
                self.log.membership(at, index, &membership)?;
            }
            Effect::Fatal(error) => return broken(Rule::Store, format!("member {at}: {error}")),
        }
        Ok(())
    }

    /// A command was applied for somebody.
    fn answer(
        &mut self,
        asker: Option<Asker>,
        response: Option<Result<Response, KvError>>,
        news: &mut News,
    ) -> Result<(), Broken> {
        match (asker, response) {
            (None, _) => {}
            (Some(Asker::Client(request)), Some(response)) => {
                let answer = self.users.clients.request(request).question.answer(&response);
                self.reply(request, Fate::Answered(0, answer));
            }
            (Some(asker), Some(Ok(Response::Txn(response)))) => {
                news.answers.push((asker, Outcome::of(&response)));
            }
            (Some(_), other) => return broken(Rule::Store, format!("answered with {other:?}")),
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

    fn send(&mut self, from: usize, message: &PeerMessage) {
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
        let delay = self.network.send(from, to, true).next();
        let taken = delay.map_or(millis(300), |delay| delay + millis(5));
        let sent = Arrival::SnapshotSent { peer, ok: delay.is_some() };
        if delay.is_some() {
            let arrival = Box::new(Arrival::Snapshot { message, state: state.encode_snapshot() });
            self.queue.after(taken, Event::Arrive { machine: to, arrival });
        }
        self.queue.after(taken, Event::Arrive { machine: from, arrival: Box::new(sent) });
    }
}

/// Returns where a member stands in the list.
pub(super) fn place_of(id: u64, machines: usize) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok().filter(|at| *at < machines)
}
