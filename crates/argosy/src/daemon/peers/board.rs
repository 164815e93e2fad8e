//! The leader's board: what machines tell it and ask it about images. A machine that does not lead
//! has an empty one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argosy_image::Sought;
use argosy_model::MachineId;
use argosy_store::Leadership;
use tokio::sync::watch;
use tokio::time::Instant;

use super::who::{Answer, News, Unheard, Who};
use crate::daemon::control::boot_time;
use crate::daemon::picture::Picture;

/// How long whoever asks is kept waiting for news: a connection each, and each asks again.
pub(super) const NEWS_MAX: Duration = Duration::from_secs(5);
/// How often it is looked meanwhile whether somebody's claim has run out.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The label that says which machines are near each other.
const ZONE: &str = "zone";

/// Why nothing is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotLeading;

/// One thing that a machine looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) sought: Sought,
    pub(super) without: BTreeSet<MachineId>,
}

/// What is known while this machine leads.
#[derive(Default)]
pub(super) struct Board {
    who: Mutex<Option<Who>>,
    /// Changes when an answer may be another one.
    changed: watch::Sender<u64>,
}

impl Board {
    /// Answers once there is anything but waiting to tell of one of them, or after a while.
    pub(super) async fn answer(
        &self,
        asker: MachineId,
        asks: &[Ask],
    ) -> Result<Vec<Answer>, NotLeading> {
        let mut changed = self.changed.subscribe();
        let until = Instant::now() + NEWS_MAX;
        loop {
            changed.mark_unchanged();
            let answers = self.answers(asker, asks)?;
            let waits = |answer: &Answer| matches!(answer, Answer::Wait(_));
            if !answers.iter().all(waits) || Instant::now() >= until {
                return Ok(answers);
            }
            let look = until.min(Instant::now() + LOOK_EVERY);
            // Either way it is looked again.
            drop(tokio::time::timeout_at(look, changed.changed()).await);
        }
    }

    fn answers(&self, asker: MachineId, asks: &[Ask]) -> Result<Vec<Answer>, NotLeading> {
        let mut who = self.who.lock().unwrap_or_else(PoisonError::into_inner);
        let who = who.as_mut().ok_or(NotLeading)?;
        let now = boot_time();
        Ok(asks.iter().map(|ask| who.ask(asker, &ask.sought, &ask.without, now)).collect())
    }

    /// Hears what a machine says.
    pub(super) fn hear(
        &self,
        machine: MachineId,
        news: News,
    ) -> Result<Result<(), Unheard>, NotLeading> {
        let changes =
            news.whole || !(news.held.is_empty() && news.names.is_empty() && news.ended.is_empty());
        let heard = {
            let mut who = self.who.lock().unwrap_or_else(PoisonError::into_inner);
            who.as_mut().ok_or(NotLeading)?.hear(machine, news, boot_time())
        };
        if changes && heard.is_ok() {
            self.changed.send_modify(|count| *count += 1);
        }
        Ok(heard)
    }

    /// Follows who leads and which machines are there, until the daemon ends.
    pub(super) async fn follow(
        &self,
        mut pictures: watch::Receiver<Picture>,
        mut leadership: watch::Receiver<Leadership>,
    ) {
        loop {
            let leads = leadership.borrow_and_update().is_leader;
            let machines = machines_of(&pictures.borrow_and_update());
            self.see(leads, machines);
            let going_on = tokio::select! {
                changed = leadership.changed() => changed,
                changed = pictures.changed() => changed,
            };
            if going_on.is_err() {
                return;
            }
        }
    }

    fn see(&self, leads: bool, machines: BTreeMap<MachineId, Option<String>>) {
        let changes = {
            let mut who = self.who.lock().unwrap_or_else(PoisonError::into_inner);
            match leads {
                true => who.get_or_insert_with(|| Who::new(boot_time())).see(machines),
                false => who.take().is_some(),
            }
        };
        if changes {
            self.changed.send_modify(|count| *count += 1);
        }
    }
}

/// The machines that are not lost, and where they are.
fn machines_of(picture: &Picture) -> BTreeMap<MachineId, Option<String>> {
    let machines = picture.view.machines().values().map(|stored| &stored.value);
    let there = machines.filter(|machine| !machine.lost);
    there.map(|machine| (machine.id, machine.metadata.get(ZONE).cloned())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use argosy_image::Digest;

    use super::*;

    const ONE: MachineId = MachineId(1);
    const OTHER: MachineId = MachineId(2);

    fn ask(content: &[u8]) -> Vec<Ask> {
        let sought = Sought::Blob(Digest::sha256(content));
        vec![Ask { sought, without: BTreeSet::new() }]
    }

    /// The board of a leader that everybody has told that he has nothing.
    async fn leading() -> Arc<Board> {
        let board = Arc::new(Board::default());
        board.see(true, BTreeMap::from([(ONE, None), (OTHER, None)]));
        for machine in [ONE, OTHER] {
            board.hear(machine, News { whole: true, ..News::default() }).unwrap().unwrap();
        }
        // A new leader waits for a while, and so does whoever asks.
        assert_eq!(board.answer(ONE, &ask(b"a")).await.unwrap(), [Answer::Yours]);
        board
    }

    #[tokio::test]
    async fn whoever_waits_hears_at_once_when_it_is_there_or_nobody_leads() {
        let board = leading().await;
        let waiting = |content: &'static [u8]| {
            let board = Arc::clone(&board);
            tokio::spawn(async move { board.answer(OTHER, &ask(content)).await })
        };
        let heard = waiting(b"a");
        tokio::task::yield_now().await;
        assert!(!heard.is_finished(), "the other one is bringing it");
        let (digest, begun) = (Digest::sha256(b"a"), Instant::now());
        let sought = Sought::Blob(digest.clone());
        let held = News { number: 1, held: vec![digest], ended: vec![sought], ..News::default() };
        board.hear(ONE, held).unwrap().unwrap();
        assert_eq!(heard.await.unwrap().unwrap(), [Answer::At(vec![ONE])]);
        assert!(begun.elapsed() < LOOK_EVERY, "it was told");
        assert_eq!(board.answer(ONE, &ask(b"b")).await.unwrap(), [Answer::Yours]);
        let heard = waiting(b"b");
        tokio::task::yield_now().await;
        board.see(false, BTreeMap::new());
        assert_eq!(heard.await.unwrap(), Err(NotLeading));
    }

    #[tokio::test]
    async fn who_asks_for_several_things_hears_of_the_first_that_is_known() {
        let board = leading().await;
        let asks = [ask(b"a"), ask(b"b")].concat();
        let answers = board.answer(OTHER, &asks).await.unwrap();
        assert_eq!(answers, [Answer::Wait(Some(ONE)), Answer::Yours]);
    }
}
