//! What pulls of this machine are bringing, and what others count on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argosy_image::{Named, Reference, Sought};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::who::Origin;

/// What was said of names and is not in the store yet: their images are on their way.
const TOLD_MAX: usize = 64;

/// Ends that nobody has been told of. The leader forgets by itself what nothing is said of.
const ENDED_MAX: usize = 256;

/// One thing that is being brought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errand {
    pub(super) origin: Origin,
    pub(super) since: Instant,
    /// How many pulls count on it here.
    count: usize,
}

#[derive(Default)]
struct State {
    running: BTreeMap<Sought, Errand>,
    ended: Vec<Sought>,
    told: Vec<(Reference, Named, Instant)>,
}

/// What is being brought.
#[derive(Default)]
pub(super) struct Errands {
    state: Mutex<State>,
    /// Told when something has ended.
    news: Notify,
}

/// Ends when it is dropped.
pub(super) struct Running {
    errands: Arc<Errands>,
    sought: Sought,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.errands.lock();
        let Some(errand) = state.running.get_mut(&self.sought) else { return };
        errand.count -= 1;
        if errand.count == 0 {
            state.running.remove(&self.sought);
            if state.ended.len() == ENDED_MAX {
                state.ended.remove(0);
            }
            state.ended.push(self.sought.clone());
            drop(state);
            self.errands.news.notify_one();
        }
    }
}

impl Errands {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to bring something.
    pub(super) fn begin(self: &Arc<Self>, sought: &Sought, origin: Origin) -> Running {
        let mut state = self.lock();
        state.ended.retain(|ended| ended != sought);
        let errand = state.running.entry(sought.clone()).or_insert_with(|| Errand {
            origin,
            since: Instant::now(),
            count: 0,
        });
        errand.count += 1;
        errand.origin = origin;
        Running { errands: Arc::clone(self), sought: sought.clone() }
    }

    /// Takes note of which machine something comes from.
    pub(super) fn comes_from(&self, sought: &Sought, origin: Origin) {
        if let Some(errand) = self.lock().running.get_mut(sought) {
            errand.origin = origin;
        }
    }

    /// Says what a registry has under a name whose image is on its way.
    pub(super) fn told(&self, name: Reference, named: Named) {
        let mut state = self.lock();
        state.told.retain(|(known, ..)| *known != name);
        if state.told.len() < TOLD_MAX {
            state.told.push((name, named, Instant::now()));
        }
        drop(state);
        self.news.notify_one();
    }

    /// Returns once something has ended or was told.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// What is being brought.
    pub(super) fn running(&self) -> BTreeMap<Sought, Errand> {
        self.lock().running.clone()
    }

    /// What has ended since it was last taken.
    pub(super) fn take_ended(&self) -> Vec<Sought> {
        std::mem::take(&mut self.lock().ended)
    }

    /// What was told no longer ago than this.
    pub(super) fn told_within(&self, age: Duration) -> Vec<(Reference, Named)> {
        let mut state = self.lock();
        state.told.retain(|(.., at)| at.elapsed() <= age);
        state.told.iter().map(|(name, named, _)| (name.clone(), named.clone())).collect()
    }
}
