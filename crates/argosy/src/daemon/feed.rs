//! A worker's end of the store: what its members tell it, and what it asks of them.
//!
//! A task follows one member at a time and goes to the next when that one is silent, gone, or has
//! no leader. What was told last stays, here and on disk: a worker whose members are all away
//! goes on with what it has.

mod follow;
mod serve;
mod stored;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argosy_kv::{Command, CommandKind, Txn};
use argosy_model::{ClusterId, MachineId, Term};
use argosy_registry::feed::FeedState;
use argosy_registry::{Key, Outcome, Revision};
use argosy_store::{Leadership, MemberId};
use http::Method;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::clock::now;
use super::machine_port::MachinePort;
use crate::failure::chain;

pub(crate) use follow::{FeedTiming, follow};
pub(crate) use serve::FeedServer;
use stored::FeedFile;
pub(crate) use stored::FeedFileError;

/// A transaction that takes longer has no outcome: a member that was stopped may answer much later.
const COMMIT_MAX: Duration = Duration::from_secs(8);

/// Transactions asked of members at once: each is a connection of its own there.
const COMMITS_MAX: usize = 16;

/// What is known of the store and of the registry. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
}

struct Shared {
    machine: MachineId,
    port: MachinePort,
    file: FeedFile,
    commits: Semaphore,
    state: watch::Sender<Arc<FeedState>>,
    leadership: watch::Sender<Leadership>,
    applied: watch::Sender<u64>,
    /// The member that is followed.
    followed: watch::Sender<Option<MemberId>>,
    /// Why none is.
    problem: Mutex<Option<String>>,
}

/// What a worker's commit is answered with.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CommitReply {
    /// It was done; the registry is at this revision.
    Done(Revision),
    /// A guard did not hold at this revision.
    Conflict(Revision),
    /// Nobody knows.
    Unknown,
}

impl From<Outcome> for CommitReply {
    fn from(outcome: Outcome) -> CommitReply {
        match outcome {
            Outcome::Done(revision) => CommitReply::Done(revision),
            Outcome::Conflict(revision) => CommitReply::Conflict(revision),
            Outcome::Unknown => CommitReply::Unknown,
        }
    }
}

impl From<CommitReply> for Outcome {
    fn from(reply: CommitReply) -> Outcome {
        match reply {
            CommitReply::Done(revision) => Outcome::Done(revision),
            CommitReply::Conflict(revision) => Outcome::Conflict(revision),
            CommitReply::Unknown => Outcome::Unknown,
        }
    }
}

impl Feed {
    /// Begins with what was stored last.
    pub(crate) fn open(
        data_dir: &Path,
        cluster: ClusterId,
        machine: MachineId,
        port: MachinePort,
    ) -> Result<Feed, FeedFileError> {
        let file = FeedFile::new(data_dir, cluster);
        let mut state = file.load()?.unwrap_or_default();
        // Of this life nobody has confirmed anything yet.
        state.facts.current = false;
        let (state, _) = watch::channel(Arc::new(state));
        let shared = Shared {
            machine,
            port,
            file,
            commits: Semaphore::new(COMMITS_MAX),
            state,
            leadership: watch::Sender::default(),
            applied: watch::Sender::default(),
            followed: watch::Sender::default(),
            problem: Mutex::default(),
        };
        Ok(Feed { shared: Arc::new(shared) })
    }

    pub(crate) fn state(&self) -> Arc<FeedState> {
        Arc::clone(&self.shared.state.borrow())
    }

    pub(crate) fn states(&self) -> watch::Receiver<Arc<FeedState>> {
        self.shared.state.subscribe()
    }

    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    pub(crate) fn applied(&self) -> watch::Receiver<u64> {
        self.shared.applied.subscribe()
    }

    /// Returns who votes; before anybody has said so, everybody who may.
    pub(crate) fn voters(&self) -> BTreeSet<MemberId> {
        let state = self.state();
        if state.facts.voters.is_empty() {
            return self.known_members().collect();
        }
        state.facts.voters.iter().copied().map(MemberId).collect()
    }

    /// Returns why nothing is heard, if that is so.
    pub(crate) fn problem(&self) -> Option<String> {
        self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Returns the member that is followed, now and at each change.
    pub(crate) fn followed(&self) -> watch::Receiver<Option<MemberId>> {
        self.shared.followed.subscribe()
    }

    /// Returns the members in the order in which clients are best passed on to them: the one that is
    /// followed is known to be there, and is left when it has no leader.
    pub(crate) fn members_for_clients(&self) -> Vec<MemberId> {
        let mut members = self.members();
        let followed = *self.shared.followed.borrow();
        members.sort_by_key(|member| Some(*member) != followed);
        members
    }

    /// Returns the members in the order in which they are best asked: the leader, the one that is
    /// followed, the voters, the rest.
    pub(crate) fn members(&self) -> Vec<MemberId> {
        let leader = self.shared.leadership.borrow().leader;
        let followed = *self.shared.followed.borrow();
        let mut members: Vec<MemberId> = Vec::new();
        let first = leader.into_iter().chain(followed).chain(self.voters());
        for member in first.chain(self.known_members()) {
            if !members.contains(&member) {
                members.push(member);
            }
        }
        members
    }

    fn known_members(&self) -> impl Iterator<Item = MemberId> {
        self.shared.port.book().members().into_iter().filter_map(|place| place.member)
    }

    /// Says who leads, as its grants or another member's word have it. Of an earlier term than is
    /// known it is no news.
    pub(crate) fn heard_leader(&self, term: Term, leader: Option<MemberId>) {
        self.shared.leadership.send_if_modified(|known| {
            let news = Leadership { term, leader, is_leader: false };
            let is_news = term >= known.term && *known != news;
            if is_news {
                *known = news;
            }
            is_news
        });
    }

    /// Takes over what a member tells. A new assignment is on disk before anybody acts on it: what
    /// a machine was told to stop it does not start again from an older word.
    async fn heard(&self, state: &FeedState) {
        let facts = &state.facts;
        self.heard_leader(facts.term, facts.leader.map(MemberId));
        let before = self.state();
        if *before == *state {
            return;
        }
        let state = Arc::new(state.clone());
        let own = Key::Assignment(self.shared.machine).to_bytes();
        if before.records.get(&own[..]) != state.records.get(&own[..]) {
            self.shared.file.store(&state).await;
        }
        self.shared.state.send_replace(state);
        self.shared.applied.send_modify(|count| *count += 1);
    }

    /// Keeps on disk what is told, for ever. What does not change the assignment may be late.
    pub(crate) async fn keep_stored(self) {
        let mut states = self.states();
        while states.changed().await.is_ok() {
            tokio::time::sleep(stored::STORE_EVERY).await;
            let state = Arc::clone(&states.borrow_and_update());
            self.shared.file.store(&state).await;
        }
    }

    /// Returns once a member has confirmed that what it tells is not older than the beginning.
    pub(crate) async fn until_current(&self) {
        let mut states = self.states();
        // This end holds the sender.
        drop(states.wait_for(|state| state.facts.current).await);
    }

    /// Has a member propose a transaction.
    pub(crate) async fn commit(&self, txn: Txn) -> Outcome {
        // It is never closed.
        let Ok(_place) = self.shared.commits.acquire().await else { return Outcome::Unknown };
        let command = Command { proposed_at: now(), kind: CommandKind::Txn(txn) };
        for member in self.members() {
            let client = self.shared.port.client_of_member(member);
            let asked = client.forward(Method::POST, "/v1/commit", command.encode(), 1);
            let Ok(answered) = timeout(COMMIT_MAX, asked).await else { return Outcome::Unknown };
            match answered {
                Ok(answer) if answer.status.is_success() => {
                    return match serde_json::from_slice::<CommitReply>(&answer.body) {
                        Ok(reply) => reply.into(),
                        Err(_) => Outcome::Unknown,
                    };
                }
                Ok(answer) => {
                    let answer = String::from_utf8_lossy(&answer.body);
                    tracing::warn!(%member, %answer, "a transaction was refused");
                    return Outcome::Unknown;
                }
                // Nothing was sent: the next one may be asked.
                Err(argosy_api::ClientError::Connect { .. }) => {}
                Err(error) => {
                    tracing::warn!(%member, error = chain(&error), "a transaction has no outcome");
                    return Outcome::Unknown;
                }
            }
        }
        Outcome::Unknown
    }
}
