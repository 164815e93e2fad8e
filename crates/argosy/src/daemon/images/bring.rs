//! Brings the images that this machine is to have, a few at once, and says how far it is.
//!
//! What is here is found without asking a registry. A pull that fails is tried again, later and later;
//! one whose image is not wanted any more is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argosy_image::{Event, Limits, PullOptions, Reference, Store, When};
use argosy_model::ImageState;
use tokio::sync::watch as latest;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::IMAGES;
use crate::args::RegistryOptions;
use crate::commands::image::{client, policy};
use crate::failure::chain;

/// Pause after a first failure, and the longest: they double. A registry that is away for a moment is
/// asked soon, one that is away for long not by every machine all the time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Pulls at once: a registry that does not answer holds up no image of another, and a pull takes
/// several layers at once already.
const PULLS_MAX: usize = 4;

/// How often it is said how far a pull is.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether what was here still is: somebody may remove it by hand.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Bytes of a megabyte, as registries count.
const MEGABYTE: u64 = 1_000_000;

/// Where images are kept.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    pub(crate) limits: Limits,
}

/// Brings images.
pub(crate) struct Bringer {
    place: Place,
    wanted: latest::Receiver<BTreeSet<String>>,
    said: latest::Sender<BTreeMap<String, ImageState>>,
    states: BTreeMap<String, ImageState>,
    failures: BTreeMap<String, Failure>,
    /// The pulls under way, with the images that they bring.
    pulling: JoinSet<(String, Result<(), String>)>,
    under_way: BTreeMap<String, Pulling>,
    looked_at: Option<Instant>,
}

/// Since when, and how often, an image could not be brought.
struct Failure {
    retry_at: Instant,
    pause: Duration,
}

/// A pull under way.
struct Pulling {
    moved: Arc<Moved>,
    task: AbortHandle,
}

/// How much of an image has come.
#[derive(Default)]
struct Moved {
    all: AtomicU64,
    here: AtomicU64,
}

impl Bringer {
    /// Begins with nothing wanted. Returns what is said of the images, now and later on.
    pub(crate) fn new(
        place: Place,
        wanted: latest::Receiver<BTreeSet<String>>,
    ) -> (Bringer, latest::Receiver<BTreeMap<String, ImageState>>) {
        let (said, says) = latest::channel(BTreeMap::new());
        let bringer = Bringer {
            place,
            wanted,
            said,
            states: BTreeMap::new(),
            failures: BTreeMap::new(),
            pulling: JoinSet::new(),
            under_way: BTreeMap::new(),
            looked_at: None,
        };
        (bringer, says)
    }

    /// Brings what is wanted, for as long as anybody may want anything.
    pub(crate) async fn run(mut self) {
        loop {
            if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                self.look().await;
            }
            self.begin();
            self.say();
            let pause = self.pause();
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.looked_at = None,
                    Err(_) => return,
                },
                Some(ended) = self.pulling.join_next() => self.ended(ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Finds which of the wanted images are here, and lets go of what is not wanted.
    async fn look(&mut self) {
        self.looked_at = Some(Instant::now());
        let wanted = self.wanted.borrow_and_update().clone();
        let (place, names) = (self.place.clone(), wanted.clone());
        let found = tokio::task::spawn_blocking(move || found(&place, names)).await;
        let here = found.unwrap_or_default();
        self.states.retain(|image, state| {
            wanted.contains(image) && (*state != ImageState::Here || here.contains(image))
        });
        self.failures.retain(|image, _| wanted.contains(image) && !here.contains(image));
        self.under_way.retain(|image, pulling| {
            let is_wanted = wanted.contains(image);
            if !is_wanted {
                pulling.task.abort();
            }
            is_wanted
        });
        for image in wanted {
            if here.contains(&image) {
                self.states.insert(image, ImageState::Here);
            } else {
                let waits = || ImageState::Coming("it waits for its turn".to_owned());
                self.states.entry(image).or_insert_with(waits);
            }
        }
    }

    /// Begins the pulls that are due, as many as may be under way.
    fn begin(&mut self) {
        let now = Instant::now();
        while self.under_way.len() < PULLS_MAX {
            let is_due = |image: &&String| {
                !self.under_way.contains_key(*image)
                    && self.failures.get(*image).is_none_or(|failure| failure.retry_at <= now)
            };
            let missing = self.states.iter().filter(|(_, state)| **state != ImageState::Here);
            let next = missing.map(|(image, _)| image).filter(is_due);
            // What has not failed yet comes first.
            let next = next.min_by_key(|image| self.failures.get(*image).map(|it| it.retry_at));
            let Some(image) = next.cloned() else { return };
            let moved = Arc::new(Moved::default());
            let (place, name, moves) = (self.place.clone(), image.clone(), Arc::clone(&moved));
            let task = self.pulling.spawn(async move {
                let pulled = pull(place, &name, moves).await;
                (name, pulled)
            });
            if !self.failures.contains_key(&image) {
                self.states.insert(image.clone(), ImageState::Coming(String::new()));
            }
            self.under_way.insert(image, Pulling { moved, task });
        }
    }

    fn ended(&mut self, ended: Result<(String, Result<(), String>), JoinError>) {
        self.looked_at = None;
        let Ok((image, ended)) = ended else {
            // It was given up, or panicked: it is begun anew if it is wanted.
            self.under_way.retain(|_, pulling| !pulling.task.is_finished());
            return;
        };
        self.under_way.remove(&image);
        // It may not be wanted any more.
        if !self.states.contains_key(&image) {
            return;
        }
        match ended {
            Ok(()) => {
                self.failures.remove(&image);
                tracing::info!(image, "the image is here");
                self.states.insert(image, ImageState::Here);
            }
            Err(problem) => {
                let before = self.failures.get(&image).map(|failure| failure.pause * 2);
                let pause = before.unwrap_or(RETRY_FIRST).min(RETRY_LAST);
                if before.is_none() {
                    tracing::warn!(image, problem, "the image cannot be brought");
                }
                let retry_at = Instant::now() + pause;
                self.failures.insert(image.clone(), Failure { retry_at, pause });
                self.states.insert(image, ImageState::Failed(problem));
            }
        }
    }

    /// Says how far it is, if that is news.
    fn say(&mut self) {
        for (image, pulling) in &self.under_way {
            if let Some(ImageState::Coming(text)) = self.states.get_mut(image) {
                *text = pulling.moved.text();
            }
        }
        let states = &self.states;
        self.said.send_if_modified(|said| {
            let is_news = said != states;
            if is_news {
                said.clone_from(states);
            }
            is_news
        });
    }

    /// Returns how long nothing is to be done.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let longest = if self.under_way.is_empty() { LOOK_EVERY } else { SAY_EVERY };
        if self.under_way.len() >= PULLS_MAX {
            return longest;
        }
        let waiting =
            self.failures.iter().filter(|(image, _)| !self.under_way.contains_key(*image));
        let retries = waiting.map(|(_, failure)| failure.retry_at.saturating_duration_since(now));
        retries.min().unwrap_or(longest).min(longest)
    }
}

impl Moved {
    fn take(&self, event: Event) {
        match event {
            Event::Resolved { bytes, .. } => self.all.store(bytes, Ordering::Relaxed),
            Event::Present { bytes, .. } | Event::Moved { bytes, .. } => {
                self.here.fetch_add(bytes, Ordering::Relaxed);
            }
            Event::Begun { have, .. } => {
                self.here.fetch_add(have, Ordering::Relaxed);
            }
            Event::Waiting { .. }
            | Event::Retried { .. }
            | Event::Done { .. }
            | Event::Finishing => {}
        }
    }

    fn text(&self) -> String {
        let [here, all] = [&self.here, &self.all].map(|it| it.load(Ordering::Relaxed));
        match all {
            0 => String::new(),
            // A layer that was begun anew is counted twice.
            all => format!("{} of {} MB", here.min(all) / MEGABYTE, all.div_ceil(MEGABYTE)),
        }
    }
}

/// Returns those of some images that are here as a whole. Without a store nothing is.
fn found(place: &Place, names: BTreeSet<String>) -> BTreeSet<String> {
    let images = place.data_dir.join(IMAGES);
    if !images.is_dir() {
        return BTreeSet::new();
    }
    let Ok(store) = Store::open(images, place.limits) else {
        return BTreeSet::new();
    };
    let is_whole = |name: &String| {
        let image = store.find(name);
        image.is_ok_and(|image| image.layers.iter().all(|layer| layer.is_dir()))
    };
    names.into_iter().filter(is_whole).collect()
}

async fn pull(place: Place, image: &str, moved: Arc<Moved>) -> Result<(), String> {
    let reference: Reference = image.parse().map_err(|error| chain(&error))?;
    let client = client(&RegistryOptions::usual()).map_err(|failure| failure.message)?;
    let policy = policy().map_err(|failure| failure.message)?;
    let open = move || Store::open(place.data_dir.join(IMAGES), place.limits);
    let store = tokio::task::spawn_blocking(open).await.map_err(|error| chain(&error))?;
    let store = store.map_err(|error| chain(&error))?;
    let options = PullOptions { when: When::Missing, ..PullOptions::default() };
    let progress = Arc::new(move |event| moved.take(event));
    let pulled = argosy_image::pull(&store, &client, &policy, &reference, &options, progress);
    pulled.await.map(drop).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests;
