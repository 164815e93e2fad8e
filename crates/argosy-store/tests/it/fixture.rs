//! A store in a temporary directory, and short ways to ask it something.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argosy_kv::{
    CommandKind, DeleteRequest, KeyRange, LeaseId, Op, PutRequest, Response, SpaceId, Txn,
};
use argosy_model::ClusterId;
use argosy_store::{MemberId, Store, StoreConfig, StoreError, StoreHandle};
use tempfile::TempDir;

pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);
pub(crate) const MEMBER: MemberId = MemberId(0xa1);

/// Longest wait for a state that must come. Far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that goes away with the test, and how to open the store in it.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    /// Makes a home with a new store.
    pub(crate) fn new() -> Self {
        let home = Self::empty();
        Store::initialise(&home.config()).unwrap();
        home
    }

    /// Makes a home without a store.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub(crate) fn config(&self) -> StoreConfig {
        config(&self.path())
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.config()).unwrap()
    }

    /// Returns the files of the log, by name.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.path().join("wal")).unwrap();
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

pub(crate) fn config(path: &Path) -> StoreConfig {
    StoreConfig::new(path, CLUSTER, MEMBER)
}

/// Returns when the member leads, and so shows everything that was ever acknowledged.
pub(crate) async fn led(store: &StoreHandle) {
    let mut leadership = store.leadership();
    let leads = leadership.wait_for(|leadership| leadership.is_leader);
    let seen = tokio::time::timeout(PATIENCE, leads).await.expect("the only voter must lead");
    assert_eq!(seen.unwrap().leader, Some(MEMBER));
}

/// Waits until `reached` holds of the store.
pub(crate) async fn until(store: &StoreHandle, what: &str, reached: impl Fn(&StoreHandle) -> bool) {
    let wait = async {
        while !reached(store) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, wait).await;
    assert!(outcome.is_ok(), "waited in vain until {what}: {:?}", store.status());
}

pub(crate) async fn put(
    store: &StoreHandle,
    key: &str,
    value: impl Into<Vec<u8>>,
) -> Result<Response, StoreError> {
    put_leased(store, key, value, 0).await
}

pub(crate) async fn put_leased(
    store: &StoreHandle,
    key: &str,
    value: impl Into<Vec<u8>>,
    lease: LeaseId,
) -> Result<Response, StoreError> {
    let put = PutRequest { lease, ..PutRequest::new(key.to_owned(), value.into()) };
    let txn = Txn::unconditional(vec![Op::Put(SpaceId::User, put)]);
    store.execute(CommandKind::Txn(txn)).await
}

pub(crate) async fn delete(store: &StoreHandle, key: &str) -> Result<Response, StoreError> {
    let request = DeleteRequest::new(KeyRange::key(key.to_owned()));
    let txn = Txn::unconditional(vec![Op::Delete(SpaceId::User, request)]);
    store.execute(CommandKind::Txn(txn)).await
}

/// Reads a key from the published state.
pub(crate) fn get(store: &StoreHandle, key: &str) -> Option<Vec<u8>> {
    let view = store.view();
    view.get(SpaceId::User, key.as_bytes()).map(|kv| kv.value.to_vec())
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
