//! All that this machine's pulls look for, asked of the leader in one request at a time: so a
//! machine costs it one connection, however many layers wait.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::board::Ask;
use super::leader::{Leader, LeaderError};
use super::who::{Answer, UNDER_WAY_MAX};
use crate::failure::chain;

/// How long nobody is asked after a leader has not answered: pulls do not wait for it one by one.
const FAILED_PAUSE: Duration = Duration::from_secs(10);
/// The same for one that knows nothing of this, until another one leads.
const OLD_PAUSE: Duration = Duration::from_secs(60);

struct Pending {
    ask: Ask,
    reply: oneshot::Sender<Answer>,
}

/// Where to ask. Cheap to clone.
#[derive(Clone)]
pub(super) struct Asks {
    sender: mpsc::Sender<Pending>,
}

impl Asks {
    pub(super) fn new(leader: Leader) -> (Asks, Task) {
        // As many as the leader answers.
        let (sender, asked) = mpsc::channel(UNDER_WAY_MAX);
        (Asks { sender }, Task { leader, asked, pending: Vec::new(), paused: None })
    }

    /// Asks the leader; without one that answers nobody is known.
    pub(super) async fn ask(&self, ask: Ask) -> Answer {
        let (reply, answer) = oneshot::channel();
        if self.sender.send(Pending { ask, reply }).await.is_err() {
            return Answer::Nobody;
        }
        answer.await.unwrap_or(Answer::Nobody)
    }
}

/// How long nobody is asked after this.
fn pause(error: &LeaderError) -> Option<Duration> {
    match error {
        error if error.is_passing() => None,
        error if error.is_old() => Some(OLD_PAUSE),
        _ => Some(FAILED_PAUSE),
    }
}

/// Asks what is asked for.
pub(super) struct Task {
    leader: Leader,
    asked: mpsc::Receiver<Pending>,
    pending: Vec<Pending>,
    /// Until when nobody is asked, unless another one leads.
    paused: Option<(Instant, Option<argosy_store::MemberId>)>,
}

impl Task {
    /// Runs until nobody can ask any more.
    pub(super) async fn run(mut self) {
        loop {
            self.pending.retain(|pending| !pending.reply.is_closed());
            if self.pending.is_empty() {
                match self.asked.recv().await {
                    Some(first) => self.pending.push(first),
                    None => return,
                }
            }
            while self.pending.len() < UNDER_WAY_MAX
                && let Ok(more) = self.asked.try_recv()
            {
                self.pending.push(more);
            }
            if self.is_paused() {
                self.answer(Vec::new());
                continue;
            }
            let asks: Vec<Ask> = self.pending.iter().map(|pending| pending.ask.clone()).collect();
            let leader = self.leader.clone();
            let may_add = self.pending.len() < UNDER_WAY_MAX;
            tokio::select! {
                answered = leader.ask(&asks) => match answered {
                    Ok(answers) => self.answer(answers),
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "images are not asked of machines");
                        let whom = self.leader.leadership.borrow().leader;
                        self.paused = pause(&error).map(|pause| (Instant::now() + pause, whom));
                        self.answer(Vec::new());
                    }
                },
                // The request is given up and made anew with all: that changes nothing.
                Some(more) = self.asked.recv(), if may_add => self.pending.push(more),
            }
        }
    }

    fn is_paused(&self) -> bool {
        let whom = self.leader.leadership.borrow().leader;
        self.paused.is_some_and(|(until, then)| Instant::now() < until && then == whom)
    }

    fn answer(&mut self, answers: Vec<Answer>) {
        let answers = answers.into_iter().chain(std::iter::repeat(Answer::Nobody));
        for (pending, answer) in self.pending.drain(..).zip(answers) {
            // Who has given up does not want it.
            let _unwanted = pending.reply.send(answer);
        }
    }
}
