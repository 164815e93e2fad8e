//! The proxies of this machine that follow services: what they have, and since when.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argosy_api::traffic::{FollowRequest, TableView};
use argosy_registry::Revision;
use rustix::process::{Pid, test_kill_process};
use tokio::sync::watch;

/// A proxy that has all there is asks again after this, so that one that is gone is noticed.
const ANSWER_AFTER: Duration = Duration::from_secs(10);
/// A proxy that has not asked for this long does not count any more: it is given three times.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// How long a daemon that has just begun counts with a proxy that has not asked yet, if there was
/// one before: proxies ask again within a second.
const EXPECTED_FOR: Duration = Duration::from_secs(3);
/// How often proxies are looked at that may be gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Proxies of one machine: its own, and some that users start.
const FOLLOWERS_MAX: usize = 64;

/// One proxy.
struct Follower {
    acknowledged: u64,
    problems: Vec<String>,
    pid: Option<Pid>,
    asked_at: Instant,
    /// A request of it waits for an answer.
    waits: bool,
    /// Which of its requests was the last.
    turn: u64,
}

#[derive(Default)]
struct Known {
    followers: BTreeMap<String, Follower>,
    turns: u64,
    /// Until when a proxy that was there before is expected.
    expected_until: Option<Instant>,
}

/// The proxies that follow. Shared by the socket's handlers.
pub(crate) struct Followers {
    known: Mutex<Known>,
    tables: watch::Receiver<Arc<TableView>>,
    followed: watch::Sender<Option<Revision>>,
}

impl Followers {
    /// Begins with no proxy, but counts with the one that has left a table at `stored`.
    pub(crate) fn new(tables: watch::Receiver<Arc<TableView>>, stored: &Path) -> Followers {
        let expected_until = stored.exists().then(|| Instant::now() + EXPECTED_FOR);
        let known = Known { expected_until, ..Known::default() };
        let (followed, _) = watch::channel(known.followed());
        Followers { known: Mutex::new(known), tables, followed }
    }

    /// Returns what all of them follow: `None` if there are none.
    pub(crate) fn followed(&self) -> watch::Receiver<Option<Revision>> {
        self.followed.subscribe()
    }

    /// Returns what they cannot do.
    pub(crate) fn problems(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.followers.values().flat_map(|follower| follower.problems.clone()).collect()
    }

    /// Takes note of how far a proxy is, and returns the table after that one; none if there is
    /// none for a while. `None` at once if there are too many proxies.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        request: FollowRequest,
        pid: Option<i32>,
    ) -> Option<Option<Arc<TableView>>> {
        let FollowRequest { proxy, following, acknowledged, problems } = request;
        let turn = self.change(|known| {
            if known.followers.len() >= FOLLOWERS_MAX && !known.followers.contains_key(&proxy) {
                return None;
            }
            known.expected_until = None;
            let pid = pid.and_then(Pid::from_raw);
            let asked_at = Instant::now();
            known.turns += 1;
            let (turn, waits) = (known.turns, true);
            let follower = Follower { acknowledged, problems, pid, asked_at, waits, turn };
            known.followers.insert(proxy.clone(), follower);
            Some(turn)
        })?;
        // One that hangs up while it waits is gone.
        let mut waiting = Waiting { followers: self, proxy: &proxy, turn, answered: false };
        let mut tables = self.tables.clone();
        let newer = tables.wait_for(|table| table.generation > following);
        let answer = match tokio::time::timeout(ANSWER_AFTER, newer).await {
            Ok(Ok(table)) => Some(Arc::clone(&table)),
            Ok(Err(_)) | Err(_) => None,
        };
        waiting.answered = true;
        Some(answer)
    }

    /// Forgets proxies that are gone, for ever.
    pub(crate) async fn look(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.change(|known| {
                let now = Instant::now();
                known.expected_until = known.expected_until.filter(|until| now < *until);
                known.followers.retain(|_, follower| {
                    let there = follower.pid.is_none_or(|pid| test_kill_process(pid).is_ok());
                    let silent = !follower.waits && now > follower.asked_at + SILENT_MAX;
                    there && !silent
                });
            });
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut known);
        let followed = known.followed();
        drop(known);
        self.followed.send_if_modified(|before| {
            let changed = *before != followed;
            *before = followed;
            changed
        });
        result
    }
}

impl Known {
    fn followed(&self) -> Option<Revision> {
        let expected = self.expected_until.map(|_| 0);
        let each = self.followers.values().map(|follower| follower.acknowledged);
        // Generations are revisions, see `Tables`.
        let oldest = each.chain(expected).min()?;
        Some(Revision::try_from(oldest).unwrap_or(Revision::MAX))
    }
}

/// A proxy's request that waits for its answer.
struct Waiting<'f> {
    followers: &'f Followers,
    proxy: &'f str,
    turn: u64,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.followers.change(|known| match known.followers.get_mut(self.proxy) {
            Some(follower) if follower.turn == self.turn && self.answered => {
                follower.waits = false;
                follower.asked_at = Instant::now();
            }
            Some(follower) if follower.turn == self.turn => {
                known.followers.remove(self.proxy);
            }
            // It has asked again already.
            _ => {}
        });
    }
}
