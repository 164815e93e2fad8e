//! Has the images that this machine is to have before anybody needs them: brings what is missing,
//! tries again what failed, looks again at what may have gone.
//!
//! Pulls unpack, sync and remove trees of files, so all of this has a thread and a runtime of its
//! own: the daemon's one thread waits for nothing of it.

mod plan;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use argosy_image::{
    Image, Limits, Peers, Progress, PullOptions, Reference, Store, StoreError, When,
};
use argosy_model::ImageState;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::IMAGES;
use crate::args::RegistryOptions;
use crate::commands::image::{client, policy};
use crate::failure::chain;
use plan::Plan;
use shown::Shown;

/// Images at once: one more while the last layer of another arrives, and no more, so that those
/// that come first are there first.
const AT_ONCE: usize = 3;
/// Looks at once for whether an image is here: a few files each.
const LOOKS_AT_ONCE: usize = 4;
/// How often it is looked how far images are, and whether one may have gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the latter is done while pulls are under way.
const LOOK_WHILE_PULLING: Duration = Duration::from_secs(30);
/// How long pulls that are given up have to end with the daemon. They go on where they stood.
const END_MAX: Duration = Duration::from_secs(2);

/// What images are brought with.
pub(in crate::daemon) struct BringParts {
    pub(in crate::daemon) data_dir: PathBuf,
    pub(in crate::daemon) limits: Limits,
    pub(in crate::daemon) peers: Arc<dyn Peers>,
}

/// Why an image is not there, in one line.
#[derive(Debug, thiserror::Error)]
enum BringError {
    #[error("{name:?} is not the name of an image")]
    Name { name: String, source: argosy_image::ReferenceError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Settings(String),
    #[error(transparent)]
    Image(#[from] argosy_image::Error),
    #[error("its thread has ended")]
    Thread,
}

/// How images are brought, and how it is seen that one may have gone.
trait Source: Send + Sync + 'static {
    /// Tells whether an image is here. What is here waits for nothing that has to come.
    fn is_here(&self, name: &str) -> impl Future<Output = bool> + Send;

    /// Brings an image, unless it is here.
    fn bring(
        &self,
        name: &str,
        progress: Progress,
    ) -> impl Future<Output = Result<(), BringError>> + Send;

    /// A number that is another one once an image may have gone.
    fn stamp(&self) -> Option<u64>;
}

/// Registries and other machines, and this machine's store.
struct Pulls {
    parts: BringParts,
    store: OnceLock<Store>,
}

impl Pulls {
    /// This machine's store. It is made when the first image is to be brought.
    fn store(&self) -> Result<Store, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let store = Store::open(self.parts.data_dir.join(IMAGES), self.parts.limits)?;
        Ok(self.store.get_or_init(|| store).clone())
    }
}

impl Source for Pulls {
    async fn is_here(&self, name: &str) -> bool {
        let (Ok(reference), Ok(store)) = (name.parse::<Reference>(), self.store()) else {
            return false;
        };
        let looking = move || argosy_image::is_here(&store, &reference);
        tokio::task::spawn_blocking(looking).await.unwrap_or(false)
    }

    async fn bring(&self, name: &str, progress: Progress) -> Result<(), BringError> {
        let reference: Reference =
            name.parse().map_err(|source| BringError::Name { name: name.to_owned(), source })?;
        let store = self.store()?;
        // Read anew each time: an operator mends them while images wait.
        let settings = |failure: crate::failure::Failure| BringError::Settings(failure.message);
        let client = client(&RegistryOptions::usual()).map_err(settings)?;
        let policy = policy().map_err(settings)?;
        let options = PullOptions {
            when: When::Missing,
            peers: Some(Arc::clone(&self.parts.peers)),
            ..PullOptions::default()
        };
        let (begun, shown) = (Instant::now(), Arc::new(Mutex::new(Shown::default())));
        let told = Arc::clone(&shown);
        let both: Progress = Arc::new(move |event| {
            lock(&told).take(&event);
            progress(event);
        });
        let image =
            argosy_image::pull(&store, &client, &policy, &reference, &options, both).await?;
        note(&reference, &image, &lock(&shown), begun.elapsed());
        Ok(())
    }

    fn stamp(&self) -> Option<u64> {
        self.store.get()?.held_stamp().ok()
    }
}

/// One line for an image that was not here.
fn note(reference: &Reference, image: &Image, shown: &Shown, took: Duration) {
    if shown.is_begun() {
        tracing::info!(
            image = reference.familiar(),
            id = image.id.short(),
            from = shown.sources(),
            bytes = shown.bytes(),
            seconds = took.as_secs(),
            "an image was brought"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Brings images.
pub(in crate::daemon) struct Bringer {
    parts: BringParts,
    wanted: watch::Receiver<BTreeSet<String>>,
    states: watch::Sender<BTreeMap<String, ImageState>>,
}

impl Bringer {
    /// `wanted` are the images that this machine is to have, as users write them. Returns how far it
    /// is with each of them, now and later on.
    pub(in crate::daemon) fn new(
        parts: BringParts,
        wanted: watch::Receiver<BTreeSet<String>>,
    ) -> (Bringer, watch::Receiver<BTreeMap<String, ImageState>>) {
        let (states, seen) = watch::channel(BTreeMap::new());
        (Bringer { parts, wanted, states }, seen)
    }

    /// Runs until `stopped` says so, or until nobody can want anything any more.
    pub(in crate::daemon) async fn run(self, stopped: watch::Receiver<bool>) {
        let thread = tokio::task::spawn_blocking(move || self.run_here(stopped));
        if let Err(error) = thread.await {
            tracing::error!(%error, "the keeper of images has ended");
        }
    }

    fn run_here(self, mut stopped: watch::Receiver<bool>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "images are not brought: there is no runtime for it");
                return;
            }
        };
        runtime.block_on(async move {
            let source = Arc::new(Pulls { parts: self.parts, store: OnceLock::new() });
            let keeping = Keeping::new(source, self.states);
            tokio::select! {
                () = keeping.run(self.wanted) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
        runtime.shutdown_timeout(END_MAX);
    }
}

/// A pull under way.
struct Job {
    name: String,
    shown: Arc<Mutex<Shown>>,
    handle: AbortHandle,
}

/// The loop: what is wanted and what has happened in, pulls and states out.
struct Keeping<S> {
    source: Arc<S>,
    states: watch::Sender<BTreeMap<String, ImageState>>,
    plan: Plan,
    pulls: JoinSet<Result<(), BringError>>,
    jobs: BTreeMap<Id, Job>,
    looks: Arc<Semaphore>,
    places: Arc<Semaphore>,
    begun: Instant,
    stamp: Option<u64>,
    /// When it was last looked for what may have gone.
    looked: Duration,
    /// When it was last said how far pulls are.
    shown: Duration,
    /// Whoever has said what is wanted hears of it, be it what was said before.
    is_asked: bool,
}

impl<S: Source> Keeping<S> {
    fn new(source: Arc<S>, states: watch::Sender<BTreeMap<String, ImageState>>) -> Self {
        Keeping {
            source,
            states,
            plan: Plan::default(),
            pulls: JoinSet::new(),
            jobs: BTreeMap::new(),
            looks: Arc::new(Semaphore::new(LOOKS_AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            begun: Instant::now(),
            stamp: None,
            looked: Duration::ZERO,
            shown: Duration::ZERO,
            is_asked: false,
        }
    }

    async fn run(mut self, mut wanted: watch::Receiver<BTreeSet<String>>) {
        loop {
            let names = wanted.borrow_and_update().clone();
            for name in self.plan.want(&names) {
                self.give_up(&name);
            }
            self.look();
            for name in self.plan.begin(self.begun.elapsed()) {
                self.begin(name);
            }
            self.say();
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => self.is_asked = true,
                    Err(_) => return,
                },
                Some(ended) = self.pulls.join_next_with_id() => self.end(ended),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn begin(&mut self, name: String) {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let (told, source, wanted) = (Arc::clone(&shown), Arc::clone(&self.source), name.clone());
        let (looks, places) = (Arc::clone(&self.looks), Arc::clone(&self.places));
        let handle = self.pulls.spawn(async move {
            let look = looks.acquire().await.map_err(|_| BringError::Thread)?;
            if source.is_here(&wanted).await {
                return Ok(());
            }
            drop(look);
            let _place = places.acquire().await.map_err(|_| BringError::Thread)?;
            let progress: Progress = Arc::new(move |event| lock(&told).take(&event));
            source.bring(&wanted, progress).await
        });
        self.jobs.insert(handle.id(), Job { name, shown, handle });
    }

    /// Ends a pull. What becomes of it says nothing of what may be wanted anew.
    fn give_up(&mut self, name: &str) {
        self.jobs.retain(|_, job| {
            let stays = job.name != name;
            if !stays {
                job.handle.abort();
            }
            stays
        });
    }

    fn end(&mut self, ended: Result<(Id, Result<(), BringError>), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(BringError::Thread)),
        };
        let Some(job) = self.jobs.remove(&id) else { return };
        let why = result.err().map(|error| chain(&error));
        if let Some(why) = why.as_deref().filter(|why| self.plan.is_news(&job.name, why)) {
            tracing::warn!(image = job.name, why, "an image cannot be brought now");
        }
        self.plan.end(&job.name, why, self.begun.elapsed());
    }

    /// Has looked for again what may have gone. A pull under way changes the store all the time.
    fn look(&mut self) {
        let (stamp, now) = (self.source.stamp(), self.begun.elapsed());
        let is_due = self.jobs.is_empty() || now >= self.looked + LOOK_WHILE_PULLING;
        if stamp != self.stamp && is_due {
            self.plan.doubt();
            (self.stamp, self.looked) = (stamp, now);
        }
    }

    /// Says how far it is, if that is news.
    fn say(&mut self) {
        let now = self.begun.elapsed();
        let is_due = now >= self.shown + LOOK_EVERY;
        if is_due {
            self.shown = now;
        }
        for job in self.jobs.values().filter(|_| is_due) {
            if let Some(text) = lock(&job.shown).text() {
                self.plan.note(&job.name, text);
            }
        }
        let states = self.plan.states();
        let is_asked = std::mem::take(&mut self.is_asked);
        self.states.send_if_modified(|said| {
            let news = *said != states || is_asked;
            *said = states;
            news
        });
    }
}

#[cfg(test)]
mod tests;
