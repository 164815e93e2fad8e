//! Carries out what a replica asks for.

use argosy_consensus::{Effect, Input, MessageKind, PeerMessage, RequestId};
use argosy_kv::{SpaceEvents, State};
use bytes::Bytes;

use super::arrival::Arrival;
use super::member::Job;
use super::{Event, World};
use crate::checkers::Violation;
use crate::client::{Fate, Question, read};
use crate::queue::millis;

impl World<'_> {
    /// Gives something to a member, now or when it goes on.
    pub(super) fn input(&mut self, at: usize, arrival: Arrival) -> Result<(), Violation> {
        let now = self.now();
        let member = &mut self.members[at];
        let Some(process) = &mut member.process else {
            if let Arrival::Request(request) = arrival {
                self.reply(request, Fate::Never);
            }
            return Ok(());
        };
        if let Some(waiting) = &mut member.stopped {
            let tick = matches!(arrival, Arrival::Input(Input::Tick));
            let has_tick = waiting.iter().any(|a| matches!(a, Arrival::Input(Input::Tick)));
            // A timer that nobody reads does not pile up.
            if !(tick && has_tick) {
                waiting.push(arrival);
            }
            return Ok(());
        }
        match arrival {
            Arrival::Input(input) => process.replica.handle(input, now),
            Arrival::Snapshot { message, state } => {
                let state = State::decode_snapshot(&state).map_err(|error| Violation::GaveUp {
                    member: at,
                    error: format!("a snapshot cannot be read: {error}"),
                })?;
                process.replica.handle(Input::SnapshotReceived { message, state }, now);
            }
            Arrival::Request(request) => self.serve(at, request),
            Arrival::DiskDone => return self.disk_done(at),
        }
        self.settle(at)
    }

    /// A request reaches a running member.
    fn serve(&mut self, at: usize, request: usize) {
        let now = self.now();
        let Some(process) = &mut self.members[at].process else { return };
        let asked = self.clients.request(request);
        if asked.question == Question::ReadLocal {
            let answer = read(process.replica.state(), asked);
            return self.reply(request, Fate::Answered(0, answer));
        }
        process.next_request += 1;
        let id = RequestId(process.next_request);
        process.waiting.insert(id, request);
        let input = match asked.question.command(asked.key) {
            Some(command) => Input::Propose { request: id, command },
            None => Input::ReadIndex { request: id },
        };
        process.replica.handle(input, now);
    }

    /// Carries out everything a member asks for.
    pub(super) fn settle(&mut self, at: usize) -> Result<(), Violation> {
        loop {
            let Some(process) = &mut self.members[at].process else { return Ok(()) };
            let effects = process.replica.take_effects();
            if effects.is_empty() {
                return self.start_disk(at);
            }
            let mut events = Vec::new();
            for effect in effects {
                self.carry_out(at, effect, &mut events)?;
            }
            let Some(process) = &mut self.members[at].process else { return Ok(()) };
            process.watches.hub.publish(process.replica.state(), &events);
            self.log.state(at, process.replica.state(), false)?;
        }
    }

    fn carry_out(
        &mut self,
        at: usize,
        effect: Effect,
        published: &mut Vec<SpaceEvents>,
    ) -> Result<(), Violation> {
        let Some(process) = &mut self.members[at].process else { return Ok(()) };
        match effect {
            Effect::Send(message) => self.send(at, &message),
            Effect::SendSnapshot { message, state } => self.send_snapshot(at, *message, &state),
            Effect::Persist { .. } | Effect::InstallSnapshot { .. } | Effect::ReleaseLog { .. } => {
                process.jobs.push_back(effect)
            }
            Effect::Applied { index, term, events, request, response } => {
                let before = std::mem::replace(&mut process.applied, index);
                let question = request.and_then(|id| process.waiting.remove(&id));
                let place = (index, term);
                self.log.applied(at, before, place, &events, response.as_ref())?;
                if let (Some(request), Some(response)) = (question, &response) {
                    let answer = self.clients.request(request).question.answer(response);
                    self.reply(request, Fate::Answered(0, answer));
                }
                self.trace.add(&[index, term, events.len() as u64]);
                published.extend(events);
            }
            Effect::StateReplaced { index } => {
                process.applied = index;
                self.stats.snapshots += 1;
                self.log.state(at, process.replica.state(), true)?;
                self.members[at].snapshot_at = Some(self.queue.now());
            }
            Effect::ReadReady { request, .. } => {
                if let Some(request) = process.waiting.remove(&request) {
                    let answer = read(process.replica.state(), self.clients.request(request));
                    self.reply(request, Fate::Answered(0, answer));
                }
            }
            Effect::Failed { request, why } => {
                let unknown = matches!(why, argosy_consensus::WhyFailed::Timeout { .. });
                if let Some(request) = process.waiting.remove(&request) {
                    self.reply(request, if unknown { Fate::Unknown } else { Fate::Never });
                }
            }
            Effect::StartCheckpoint(checkpoint) => {
                process.checkpoint = Some(*checkpoint);
                let run = process.run;
                let delay = self.members[at].disk_delay() * 10;
                self.queue.after(delay, Event::CheckpointDone { member: at, run });
            }
            Effect::LeadershipChanged { term, is_leader, .. } => {
                self.trace.add(&[term, u64::from(is_leader)]);
                if is_leader {
                    self.log.leads(at, term)?;
                }
            }
            Effect::MembershipChanged { index, membership, .. } => {
                self.trace.add(&[index, membership.voters.len() as u64]);
                self.log.membership(at, index, &membership)?;
            }
            Effect::Fatal(error) => {
                return Err(Violation::GaveUp { member: at, error: error.to_string() });
            }
        }
        Ok(())
    }

    fn send(&mut self, from: usize, message: &PeerMessage) {
        let Some(to) = place_of(message.to, self.members.len()) else { return };
        // A proposal that arrived twice would be carried out twice; transports promise not to.
        let may_repeat = message.kind() != MessageKind::Propose;
        for delay in self.network.send(from, to, may_repeat) {
            let arrival = Box::new(Arrival::Input(Input::Peer(message.clone())));
            self.queue.after(delay, Event::Arrive { member: to, arrival });
        }
    }

    fn send_snapshot(&mut self, from: usize, message: PeerMessage, state: &State) {
        let Some(to) = place_of(message.to, self.members.len()) else { return };
        let peer = argosy_consensus::MemberId(message.to);
        let delay = self.network.send(from, to, true).next();
        let state: Bytes = state.encode_snapshot();
        // Big things take longer; whoever gets none of it notices after a while.
        let taken = delay.map_or(millis(300), |delay| delay + millis(5));
        let sent = Arrival::Input(Input::SnapshotSent { peer, ok: delay.is_some() });
        if delay.is_some() {
            let arrival = Box::new(Arrival::Snapshot { message, state });
            self.queue.after(taken, Event::Arrive { member: to, arrival });
        }
        self.queue.after(taken, Event::Arrive { member: from, arrival: Box::new(sent) });
    }

    /// Gives the disk its next work, if it has none.
    fn start_disk(&mut self, at: usize) -> Result<(), Violation> {
        let member = &mut self.members[at];
        let Some(process) = &mut member.process else { return Ok(()) };
        if process.busy.is_some() {
            return Ok(());
        }
        let job = match process.jobs.pop_front() {
            None => return Ok(()),
            Some(Effect::Persist { mut sequence, records }) => {
                process.writer.append(&records);
                // Everything that waits is written as one group.
                while let Some(Effect::Persist { .. }) = process.jobs.front() {
                    let Some(Effect::Persist { sequence: next, records }) =
                        process.jobs.pop_front()
                    else {
                        break;
                    };
                    process.writer.append(&records);
                    sequence = next;
                }
                if let Err(error) = process.writer.write() {
                    return self.disk_failed(at, &error);
                }
                Job::Sync(sequence)
            }
            Some(Effect::ReleaseLog { applied }) => {
                if let Err(error) = process.writer.release(applied) {
                    return self.disk_failed(at, &error);
                }
                Job::Release
            }
            Some(install) => Job::Install(Box::new(install)),
        };
        let run = process.run;
        process.busy = Some(job);
        let delay = member.disk_delay();
        self.queue.after(delay, Event::DiskDone { member: at, run });
        Ok(())
    }

    pub(super) fn disk_done(&mut self, at: usize) -> Result<(), Violation> {
        let now = self.now();
        let member = &mut self.members[at];
        if let Some(waiting) = &mut member.stopped {
            waiting.push(Arrival::DiskDone);
            return Ok(());
        }
        let Some(process) = &mut member.process else { return Ok(()) };
        let outcome = match process.busy.take() {
            None | Some(Job::Release) => Ok(None),
            Some(Job::Sync(sequence)) => process.writer.sync().map(|()| Some(sequence)),
            Some(Job::Install(effect)) => {
                let Effect::InstallSnapshot { sequence, checkpoint, records } = *effect else {
                    return Ok(());
                };
                member.checkpoint = *checkpoint;
                process.writer.append(&records);
                let written = process.writer.write().and_then(|()| process.writer.sync());
                written.map(|()| Some(sequence))
            }
        };
        match outcome {
            Err(error) => self.disk_failed(at, &error),
            Ok(Some(sequence)) => {
                process.replica.handle(Input::Persisted { sequence }, now);
                self.settle(at)
            }
            Ok(None) => self.settle(at),
        }
    }

    /// The disk fails only because the machine died in the middle of something.
    fn disk_failed(
        &mut self,
        at: usize,
        error: &argosy_consensus::wal::WalError,
    ) -> Result<(), Violation> {
        if !self.members[at].disk.died() {
            return Err(Violation::GaveUp { member: at, error: error.to_string() });
        }
        self.crash(at);
        let delay = self.members[at].random.between(millis(50), millis(2_000));
        let mend = super::faults::Mend::Start(at);
        self.queue.after(delay, Event::Mend { mend });
        Ok(())
    }

    pub(super) fn checkpoint_done(&mut self, at: usize) -> Result<(), Violation> {
        let member = &mut self.members[at];
        let Some(process) = &mut member.process else { return Ok(()) };
        let Some(checkpoint) = process.checkpoint.take() else { return Ok(()) };
        let applied = checkpoint.applied;
        // A snapshot that was installed meanwhile is newer; a store keeps the newer one.
        if applied > member.checkpoint.applied {
            member.checkpoint = checkpoint;
        }
        self.input(at, Arrival::Input(Input::CheckpointWritten { applied }))
    }
}

/// Returns where a member stands in the list.
fn place_of(id: u64, members: usize) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok().filter(|at| *at < members)
}
