//! Tells the leader what this machine has of images, and what it makes progress with bringing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use argosy_image::{Digest, HeldName, Named, Reference, Sought, Store, StoreError};
use argosy_model::Term;
use argosy_store::MemberId;
use tokio::time::Instant;

use super::errands::Errands;
use super::leader::{Leader, LeaderError};
use super::own_store::OwnStore;
use super::who::{HELD_MAX, NAMES_MAX, News, UNDER_WAY_MAX, Unheard};
use crate::failure::chain;

/// How often it is looked whether commands have brought or removed something.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often progress is told: several times within a claim ([`super::who::CLAIM`]).
const PROGRESS_EVERY: Duration = Duration::from_secs(3);
/// How often a leader that has heard it all is told so: it has forgotten what a machine has that
/// was lost for a while, and says so then.
const REPEAT_EVERY: Duration = Duration::from_secs(30);
/// Before a leader that has not heard it is told again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The same for one that knows nothing of this, until another one leads.
const OLD_AFTER: Duration = Duration::from_secs(60);
/// How long others count on what has no length to be seen to grow: names, and what is small.
const SMALL_MAX: Duration = Duration::from_secs(30);
/// How long a name is told whose image is on its way and not in the store yet.
const TOLD_FOR: Duration = Duration::from_secs(300);

/// What a machine has for others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Having {
    blobs: BTreeSet<Digest>,
    names: BTreeMap<Reference, Named>,
}

/// Why it is not known what this machine has.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("its thread has ended")]
    Thread(#[from] tokio::task::JoinError),
}

/// Tells the leader.
pub(super) struct Reporter {
    leader: Leader,
    errands: Arc<Errands>,
    store: Arc<OwnStore>,
    life: u64,
    number: u64,
    /// What the leader has heard, and which one of which term; none if it is to hear all of it.
    heard: Option<(Having, Option<(MemberId, Term)>)>,
    /// When that was.
    heard_at: Instant,
    /// What was found last, and by which mark of the store.
    found: (Option<u64>, Having),
    /// How much of what is being brought there was, by when it began.
    progress: BTreeMap<Sought, (Instant, u64)>,
    problem: Option<String>,
}

/// How long until it is told again.
enum Told {
    Yes,
    Later(Duration),
}

impl Reporter {
    pub(super) fn new(leader: Leader, errands: Arc<Errands>, store: Arc<OwnStore>) -> Reporter {
        let mut life = [0; 8];
        // A life without chance is told from the one before by its first news, which are whole.
        let _filled = rustix::rand::getrandom(&mut life, rustix::rand::GetRandomFlags::empty());
        Reporter {
            leader,
            errands,
            store,
            life: u64::from_le_bytes(life),
            number: 0,
            heard: None,
            heard_at: Instant::now(),
            found: (None, Having::default()),
            progress: BTreeMap::new(),
            problem: None,
        }
    }

    /// Runs until the daemon ends.
    pub(super) async fn run(mut self) {
        let mut leadership = self.leader.leadership.clone();
        loop {
            leadership.mark_unchanged();
            // Before it is looked what is here: what has ended until then is found.
            let ended = self.errands.take_ended();
            let looked = self.look().await;
            self.note(looked);
            let pause = match self.tell(ended).await {
                Told::Later(pause) => pause,
                Told::Yes if self.errands.running().is_empty() => LOOK_EVERY,
                Told::Yes => PROGRESS_EVERY,
            };
            tokio::select! {
                () = self.errands.changed() => {}
                () = tokio::time::sleep(pause) => {}
                changed = leadership.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Finds out what is here, if it may be something else than before.
    async fn look(&mut self) -> Result<(), LookError> {
        let (own, before) = (Arc::clone(&self.store), self.found.0);
        let looking = tokio::task::spawn_blocking(move || look(&own, before));
        if let Some((stamp, having)) = looking.await?? {
            self.found = (Some(stamp), having);
        }
        Ok(())
    }

    fn note(&mut self, looked: Result<(), LookError>) {
        let problem = looked.err().map(|error| chain(&error));
        if let Some(problem) = problem.as_ref().filter(|it| Some(*it) != self.problem.as_ref()) {
            tracing::warn!(problem, "what there is of images for other machines is not known");
        }
        self.problem = problem;
    }

    async fn tell(&mut self, ended: Vec<Sought>) -> Told {
        // One that begins anew knows nothing, be it the same machine.
        let leader = {
            let leadership = self.leader.leadership.borrow();
            leadership.leader.map(|leader| (leader, leadership.term))
        };
        let mut having = self.found.1.clone();
        for (name, named) in self.errands.told_within(TOLD_FOR) {
            if having.names.len() >= NAMES_MAX && !having.names.contains_key(&name) {
                continue;
            }
            let known = having.names.entry(name).or_insert_with(|| named.clone());
            if known.pulled < named.pulled {
                *known = named;
            }
        }
        let under_way = self.under_way().await;
        let before = self.heard.take().filter(|(_, whom)| *whom == leader);
        let nothing = ended.is_empty() && under_way.is_empty();
        let same = match &before {
            Some(_) if self.heard_at.elapsed() >= REPEAT_EVERY => false,
            Some((heard, _)) => *heard == having,
            // Who has nothing need not say so.
            None => having == Having::default(),
        };
        if leader.is_none() || (nothing && same) {
            self.heard = before;
            return Told::Yes;
        }
        self.number = self.number.wrapping_add(1);
        let known = before.map(|(heard, _)| heard);
        let news = News { under_way, ended, ..self.news(known.as_ref(), &having) };
        match self.leader.tell(&news).await {
            Ok(Ok(())) => {
                (self.heard, self.heard_at) = (Some((having, leader)), Instant::now());
                Told::Yes
            }
            Ok(Err(Unheard)) => Told::Later(RETRY_AFTER),
            Err(error) => {
                tracing::debug!(error = chain(&error), "the leader was not told of images");
                let old = error.is_old() && !matches!(error, LeaderError::NotLeading);
                Told::Later(if old { OLD_AFTER } else { RETRY_AFTER })
            }
        }
    }

    /// What is new since the leader has last heard of it; all, if it has not.
    fn news(&self, before: Option<&Having>, now: &Having) -> News {
        let none = Having::default();
        let known = before.unwrap_or(&none);
        let names = now.names.iter().filter(|(name, named)| known.names.get(*name) != Some(*named));
        let names_gone = known.names.keys().filter(|name| !now.names.contains_key(*name));
        News {
            life: self.life,
            number: self.number,
            whole: before.is_none(),
            held: now.blobs.difference(&known.blobs).cloned().collect(),
            gone: known.blobs.difference(&now.blobs).cloned().collect(),
            names: names.map(|(name, named)| (name.clone(), named.clone())).collect(),
            names_gone: names_gone.cloned().collect(),
            ..News::default()
        }
    }

    /// What makes progress: of a blob there is more than before.
    async fn under_way(&mut self) -> Vec<(Sought, super::who::Origin)> {
        let running = self.errands.running();
        let own = Arc::clone(&self.store);
        let sought: Vec<Sought> = running.keys().cloned().collect();
        let measuring = tokio::task::spawn_blocking(move || {
            let store = own.get().ok().flatten();
            sought.into_iter().map(|it| (length(store.as_ref(), &it), it)).collect::<Vec<_>>()
        });
        // Without a measure nothing is claimed.
        let measured = measuring.await.unwrap_or_default();
        let before = std::mem::take(&mut self.progress);
        let mut under_way = Vec::new();
        for (length, sought) in measured {
            let Some(errand) = running.get(&sought) else { continue };
            let known = before.get(&sought).filter(|(since, _)| *since == errand.since);
            let known = known.map(|(_, length)| *length);
            if is_going_on(errand.since.elapsed(), known, length) {
                under_way.push((sought.clone(), errand.origin));
            }
            self.progress.insert(sought, (errand.since, length));
        }
        under_way.truncate(UNDER_WAY_MAX);
        under_way
    }
}

/// Tells whether something is counted on that has been brought for a while.
fn is_going_on(age: Duration, before: Option<u64>, now: u64) -> bool {
    match before {
        None => true,
        Some(0) if now == 0 => age < SMALL_MAX,
        Some(before) => now > before,
    }
}

/// How much of something is here.
fn length(store: Option<&Store>, sought: &Sought) -> u64 {
    match (store, sought) {
        (Some(store), Sought::Blob(digest)) => store.brought_of(digest),
        _ => 0,
    }
}

/// What is here, with the mark of the store, unless that is as it was.
fn look(own: &OwnStore, before: Option<u64>) -> Result<Option<(u64, Having)>, StoreError> {
    let Some(store) = own.get()? else { return Ok(None) };
    // What changes while it is looked has another mark next time.
    let stamp = store.held_stamp()?;
    if before == Some(stamp) {
        return Ok(None);
    }
    let held = store.held()?;
    if held.blobs.len() > HELD_MAX || held.names.len() > NAMES_MAX {
        tracing::debug!(
            blobs = held.blobs.len(),
            names = held.names.len(),
            "more than other machines are told of"
        );
    }
    let names = held.names.into_iter().map(|HeldName { name, named }| (name, named));
    let having = Having {
        blobs: held.blobs.into_iter().take(HELD_MAX).collect(),
        names: names.take(NAMES_MAX).collect(),
    };
    Ok(Some((stamp, having)))
}

#[cfg(test)]
mod tests {
    use super::super::who::Origin;
    use super::*;

    #[test]
    fn what_does_not_grow_is_not_counted_on_for_long() {
        let age = Duration::from_secs(3);
        assert!(is_going_on(age, None, 0), "it has just begun");
        assert!(is_going_on(age, Some(0), 0), "a registry may take a while to answer");
        assert!(is_going_on(age, Some(5), 6));
        assert!(!is_going_on(age, Some(6), 6), "it is stuck");
        assert!(!is_going_on(SMALL_MAX, Some(0), 0));
    }

    #[tokio::test]
    async fn an_errand_ends_with_the_last_who_counts_on_it() {
        let errands = Arc::new(Errands::default());
        let sought = Sought::Blob(Digest::sha256(b""));
        let one = errands.begin(&sought, Origin::Registry);
        let other = errands.begin(&sought, Origin::Registry);
        drop(one);
        assert!(errands.take_ended().is_empty());
        drop(other);
        errands.changed().await;
        assert_eq!(errands.take_ended(), [sought]);
        assert!(errands.running().is_empty());
    }
}
