//! Several members in one process, over connections that can be cut.

mod changes;
mod faults;
mod members;
mod network;
mod processes;
mod refusals;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argosy_store::{MemberId, Membership, Store, StoreConfig, StoreHandle};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::fixture::{CLUSTER, get, put};
use network::Network;

/// Longest wait for a state that must come. Far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Short, so that elections take well under a second.
const TICK: Duration = Duration::from_millis(50);

/// Members with numbers from 1 on. Their directories outlive their stores.
struct Cluster {
    home: TempDir,
    network: Arc<Network>,
    stores: BTreeMap<u64, Store>,
    /// Changes each member's configuration.
    tune: fn(&mut StoreConfig),
}

impl Cluster {
    /// Makes `count` voters: one that begins, others that join it.
    async fn new(count: u64) -> Self {
        Self::tuned(count, |_| {}).await
    }

    async fn tuned(count: u64, tune: fn(&mut StoreConfig)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut cluster = Self { home, network: Network::new(), stores: BTreeMap::new(), tune };
        Store::initialise(&cluster.config(1)).unwrap();
        cluster.open(1);
        let others: Vec<_> = (2..=count).collect();
        for id in &others {
            cluster.join(*id).await;
        }
        let ids: Vec<_> = others.iter().map(|id| MemberId(*id)).collect();
        cluster.promote(&ids).await;
        cluster
    }

    fn config(&self, id: u64) -> StoreConfig {
        let mut config = StoreConfig::new(self.dir(id), CLUSTER, MemberId(id));
        config.tick = TICK;
        (self.tune)(&mut config);
        config
    }

    fn dir(&self, id: u64) -> PathBuf {
        self.home.path().join(id.to_string())
    }

    /// Opens the store of a member, and lets others reach it.
    fn open(&mut self, id: u64) -> StoreHandle {
        let dial = self.network.dialer(id);
        let store = Store::open_with_peers(self.config(id), dial).unwrap();
        let handle = store.handle();
        self.network.attach(id, handle.clone());
        self.stores.insert(id, store);
        handle
    }

    /// Shuts the store of a member down.
    fn stop(&mut self, id: u64) {
        self.network.detach(id);
        self.stores.remove(&id).unwrap().shutdown();
    }

    /// Adds a new member as a learner.
    async fn join(&mut self, id: u64) -> StoreHandle {
        Store::join(&self.config(id)).unwrap();
        let joined = self.open(id);
        let leader = self.leader().await;
        leader.add_learner(MemberId(id)).await.unwrap();
        joined
    }

    /// Promotes learners once they have caught up.
    async fn promote(&self, ids: &[MemberId]) {
        let promote = async {
            while self.leader().await.promote(ids).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, promote).await.expect("learners must catch up and become voters");
    }

    fn handle(&self, id: u64) -> StoreHandle {
        self.stores[&id].handle()
    }

    fn handles(&self) -> Vec<StoreHandle> {
        self.stores.values().map(Store::handle).collect()
    }

    /// Returns a leader that a majority follows.
    async fn leader(&self) -> StoreHandle {
        let handles = self.handles();
        let find = async {
            loop {
                let leads = |handle: &&StoreHandle| handle.leadership().borrow().is_leader;
                for leader in handles.iter().filter(leads) {
                    // Only one that still leads can answer.
                    if leader.read_barrier().await.is_ok() {
                        return leader.clone();
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, find).await.expect("a majority must elect a leader")
    }

    async fn leader_id(&self) -> u64 {
        self.leader().await.member_id().0
    }

    /// Returns a running member that does not lead.
    async fn follower_id(&self) -> u64 {
        let leader = self.leader_id().await;
        *self.stores.keys().find(|id| **id != leader).unwrap()
    }

    /// Writes through a member until it is acknowledged.
    async fn write(&self, id: u64, key: &str, value: &str) {
        let handle = self.handle(id);
        let write = async {
            while put(&handle, key, value).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, write).await.expect("a member with a majority must take writes");
    }

    /// Waits until the running members have applied the same and hold the same state.
    async fn agree(&self) {
        let handles = self.handles();
        let wait = async {
            loop {
                let views: Vec<_> = handles.iter().map(|handle| handle.view()).collect();
                let applied: Vec<_> = views.iter().map(|view| view.applied_index()).collect();
                if applied.iter().all(|index| *index == applied[0]) {
                    let hashes = views.iter().map(|view| argosy_kv::invariants::hash(view));
                    let hashes: Vec<_> = hashes.collect();
                    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "states differ");
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("members must come to the same index");
    }
}

/// Waits until `reached` holds.
async fn until(what: &str, reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "waited in vain until {what}");
}

/// Reads a key as any client may rely on: nothing older than what was acknowledged before.
async fn read(store: &StoreHandle, key: &str) -> Option<String> {
    let wait = async {
        while store.read_barrier().await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("a member with a majority must answer reads");
    get(store, key).map(|value| String::from_utf8(value).unwrap())
}

fn voters(ids: impl IntoIterator<Item = u64>) -> Membership {
    Membership::of_voters(ids.into_iter().map(MemberId))
}
