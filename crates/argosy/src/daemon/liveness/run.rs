//! The thread's loop: one closed enum in, decisions, messages out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use argosy_keeper::FenceSender;
use argosy_model::{MachineId, Term};
use argosy_peer::DetachedStream;
use argosy_reconcile::{Beat, Beater, Grant, GranterEffect, GranterEvent, Timing};
use argosy_store::{Leadership, MemberId};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::frame::{Frame, Message};
use super::link::{LINES_MAX, Link, Patience};
use super::{Parts, Shared, inbound, voters};
use crate::daemon::control::boot_time;
use crate::daemon::machine_port::MachinePort;
use crate::daemon::store_access::StoreAccess;

/// News that waits for the loop: a beat of each of the most machines. More is dropped, and comes
/// again with the next beat.
const NEWS_WAITING_MAX: usize = 1_024;

/// A link that silence ends is made anew after no less than this: shorter would only cut
/// connections that are being repaired.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// Beats of a worker that may stay without a grant before it beats to every voter.
const GRANTS_MISSED: u32 = 2;

/// What the connections' tasks tell the loop.
pub(super) enum News {
    /// A machine beats; its grant goes to `answer`.
    Beat { machine: MachineId, beat: Beat, answer: mpsc::Sender<Frame> },
    /// The leader grants.
    Grant { voter: MemberId, grant: Grant },
    /// A voter answers a question.
    Answer { voter: MemberId, round: u64, term: Term },
    /// A link is up.
    Connected,
}

/// What the loop tells the rest of the daemon.
pub(super) struct Outlets {
    /// Whether this machine may run fenced units.
    pub(super) granted: watch::Sender<bool>,
    /// Until when the last long grant holds, on CLOCK_BOOTTIME; zero if there was none.
    pub(super) long_until: watch::Sender<Duration>,
    /// Counts the beats of machines that may not be granted yet what they ask for.
    pub(super) heard: watch::Sender<u64>,
}

/// What wakes the loop.
enum Event {
    News(News),
    Incoming(Box<DetachedStream>, MachineId),
    Leadership,
    Time,
}

/// The loop and what it owns.
pub(super) struct Beating {
    machine: MachineId,
    timing: Timing,
    store: StoreAccess,
    port: MachinePort,
    fence: FenceSender,
    shared: Arc<Shared>,
    beater: Beater,
    outlets: Outlets,
    links: BTreeMap<MemberId, Link>,
    /// Who granted last, and when.
    granted_by: Option<(MemberId, Duration)>,
    /// Where grants of other machines go.
    answers: BTreeMap<MachineId, mpsc::Sender<Frame>>,
    /// The connections of other machines, the oldest first.
    inbound: BTreeMap<MachineId, VecDeque<AbortHandle>>,
    tasks: JoinSet<()>,
    news: mpsc::Sender<News>,
    to_take: mpsc::Receiver<News>,
    /// The keeper could not be reached, and that was said.
    told: bool,
}

impl Beating {
    pub(super) fn new(parts: Parts, shared: Arc<Shared>, outlets: Outlets) -> Beating {
        let Parts { machine, timing, store, port, fence } = parts;
        let (news, to_take) = mpsc::channel(NEWS_WAITING_MAX);
        Beating {
            machine,
            timing,
            store,
            port,
            fence,
            shared,
            beater: Beater::new(timing),
            outlets,
            links: BTreeMap::new(),
            granted_by: None,
            answers: BTreeMap::new(),
            inbound: BTreeMap::new(),
            tasks: JoinSet::new(),
            news,
            to_take,
            told: false,
        }
    }

    pub(super) async fn run(
        mut self,
        mut incoming: mpsc::Receiver<(DetachedStream, MachineId)>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut leadership = self.store.leadership();
        loop {
            let now = boot_time();
            self.pass_time(now, *leadership.borrow());
            let wait = self.wake_at().saturating_sub(now);
            let event = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                changed = leadership.changed() => match changed {
                    Ok(()) => Event::Leadership,
                    Err(_) => break,
                },
                Some(news) = self.to_take.recv() => Event::News(news),
                Some((stream, machine)) = incoming.recv() => {
                    Event::Incoming(Box::new(stream), machine)
                }
                Some(_) = self.tasks.join_next() => continue,
                () = self.shared.due.notified() => Event::Time,
                () = tokio::time::sleep(wait) => Event::Time,
            };
            let leads = *leadership.borrow();
            self.handle(event, leads);
        }
        self.links.clear();
        self.tasks.shutdown().await;
    }

    fn wake_at(&self) -> Duration {
        let round = self.shared.granter().wake_at();
        let lapse = self.outlets.granted.borrow().then(|| self.beater.kill_at());
        let times = [Some(self.beater.due_at()), round, lapse];
        times.into_iter().flatten().min().unwrap_or_default()
    }

    fn handle(&mut self, event: Event, leadership: Leadership) {
        let now = boot_time();
        match event {
            Event::News(News::Beat { machine, beat, answer }) => {
                self.answers.insert(machine, answer);
                self.tell(GranterEvent::Beat { machine, beat }, now);
                // New, lost until now, or about to begin anew: the control loop has something to
                // decide.
                if leadership.is_leader && !self.shared.granter().may_grant(machine, beat) {
                    self.outlets.heard.send_modify(|beats| *beats += 1);
                }
            }
            Event::News(News::Answer { voter, round, term }) => {
                self.tell(GranterEvent::Answer { voter: voter.0, round, term }, now);
            }
            Event::News(News::Grant { voter, grant }) => {
                self.granted_by = Some((voter, now));
                if let StoreAccess::Worker(feed) = &self.store {
                    feed.heard_leader(grant.term, Some(voter));
                }
                self.granted(grant, now);
            }
            Event::Incoming(stream, machine) => self.serve(*stream, machine),
            Event::Leadership => {
                self.beater.hurry();
                // A follower's grants are another's.
                if !leadership.is_leader {
                    self.answers.clear();
                }
            }
            // The leader may have been reached at last.
            Event::News(News::Connected) => self.beater.hurry(),
            Event::Time => self.tell(GranterEvent::Tick, now),
        }
    }

    /// Serves a machine's connection beside those it has. The oldest of too many is one that its
    /// machine has given up.
    fn serve(&mut self, stream: DetachedStream, machine: MachineId) {
        let (shared, news) = (Arc::clone(&self.shared), self.news.clone());
        let silence = self.patience().silence;
        let task = self.tasks.spawn(inbound::serve(stream, machine, shared, news, silence));
        let tasks = self.inbound.entry(machine).or_default();
        tasks.retain(|task| !task.is_finished());
        tasks.push_back(task);
        if tasks.len() > LINES_MAX
            && let Some(oldest) = tasks.pop_front()
        {
            oldest.abort();
        }
    }

    /// Beats when it is time, keeps the links, and takes note of a grant that has run out.
    fn pass_time(&mut self, now: Duration, leadership: Leadership) {
        // At each pass: a new voter is asked at once, and a machine that has just joined knows its
        // leader a moment before it knows the voters.
        self.follow_voters();
        self.beater.ask_long(self.shared.asks_long());
        if now >= self.beater.due_at() {
            let beat = self.beater.beat(self.shared.generation(), now);
            match leadership.leader {
                _ if self.store.member_id().is_none() => self.beat_as_worker(beat, now),
                Some(leader) if Some(leader) == self.store.member_id() => {
                    let machine = self.machine;
                    self.tell(GranterEvent::Beat { machine, beat }, now);
                }
                Some(leader) => {
                    if let Some(link) = self.links.get(&leader) {
                        link.send(Message::Beat(beat));
                    }
                }
                None => {}
            }
        }
        let may_run = self.beater.may_run(boot_time());
        let granted = &self.outlets.granted;
        granted.send_if_modified(|granted| std::mem::replace(granted, may_run) != may_run);
    }

    /// A worker hears late of a new leader, so it takes nobody's word for it: it beats to whoever
    /// granted last, and to every voter when nobody has for some beats. Those that do not lead
    /// pass it over.
    fn beat_as_worker(&self, beat: Beat, now: Duration) {
        let recent = |at: &Duration| now < *at + self.timing.beat * GRANTS_MISSED;
        let granting = self.granted_by.filter(|(_, at)| recent(at)).map(|(voter, _)| voter);
        let links = self.links.iter().filter(|(voter, _)| granting.is_none_or(|it| it == **voter));
        for (_, link) in links {
            link.send(Message::Beat(beat));
        }
    }

    /// Keeps a link to every other voter, and to nobody else.
    fn follow_voters(&mut self) {
        let voters = voters(&self.store);
        let own = self.store.member_id();
        self.links.retain(|voter, _| voters.contains(voter));
        for voter in voters.into_iter().filter(|voter| Some(*voter) != own) {
            if !self.links.contains_key(&voter) {
                let (port, news, patience) =
                    (self.port.clone(), self.news.clone(), self.patience());
                let link = Link::start(&mut self.tasks, port, voter, news, patience);
                self.links.insert(voter, link);
            }
        }
    }

    fn patience(&self) -> Patience {
        Patience { beat: self.timing.beat, silence: self.timing.lost_after.max(SILENCE_MIN) }
    }

    fn tell(&mut self, event: GranterEvent, now: Duration) {
        for effect in self.shared.tell(event, now) {
            match effect {
                GranterEffect::Ask { voters, round, term } => {
                    for voter in voters {
                        if let Some(link) = self.links.get(&MemberId(voter)) {
                            link.send(Message::Ask { round, term });
                        }
                    }
                }
                GranterEffect::Grant { machine, grant } if machine == self.machine => {
                    self.granted(grant, now);
                }
                GranterEffect::Grant { machine, grant } => {
                    if let Some(answer) = self.answers.get(&machine) {
                        // Its connection is slow or gone: it beats again.
                        let _ = answer.try_send(Message::Grant(grant).encode());
                    }
                }
            }
        }
    }

    fn granted(&mut self, grant: Grant, now: Duration) {
        let Some(kill_at) = self.beater.granted(grant, now) else { return };
        match self.fence.renew(kill_at) {
            Ok(()) => {
                self.told = false;
                let until = self.beater.long_until();
                let long = &self.outlets.long_until;
                long.send_if_modified(|told| std::mem::replace(told, until) != until);
            }
            Err(error) if self.told => tracing::debug!(%error, "no keeper to renew the fence of"),
            Err(error) => {
                tracing::warn!(%error, "the keeper cannot be told of a grant: it will kill what is fenced");
                self.told = true;
            }
        }
    }
}
