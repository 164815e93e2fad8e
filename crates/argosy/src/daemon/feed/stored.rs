//! What a worker was told last, on disk: a machine that starts while every member is away goes on
//! with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use argosy_model::ClusterId;
use argosy_registry::Revision;
use argosy_registry::feed::{FeedFrame, FeedReceiver, FeedState, frames_of};
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::daemon::identity::write_privately;
use crate::failure::chain;

/// In the data directory.
const FILE: &str = "feed";
/// What the file begins with: its kind and format. The cluster's id follows.
const MAGIC: &[u8] = b"argosy-feed-1\n";

/// How often what is no new assignment is written: endpoints of the whole cluster change all the
/// time, and proxies keep their own table.
pub(super) const STORE_EVERY: Duration = Duration::from_secs(1);

/// The stored feed cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub(crate) struct FeedFileError {
    path: PathBuf,
    source: io::Error,
}

/// The file, and what is in it.
pub(super) struct FeedFile {
    path: PathBuf,
    cluster: ClusterId,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    revision: Revision,
    /// The last attempt failed, and that was said.
    failed: bool,
}

impl FeedFile {
    pub(super) fn new(data_dir: &Path, cluster: ClusterId) -> FeedFile {
        FeedFile { path: data_dir.join(FILE), cluster, written: Mutex::default() }
    }

    /// Reads what was stored. A damaged file, and one of another cluster, is said and passed over:
    /// the members tell it again.
    pub(super) fn load(&self) -> Result<Option<FeedState>, FeedFileError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                let state = decode(&bytes.into(), self.cluster);
                if state.is_none() {
                    let path = self.path.display();
                    tracing::warn!(%path, "damaged, or not this cluster's; the members tell it again");
                }
                Ok(state)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FeedFileError { path: self.path.clone(), source }),
        }
    }

    /// Stores a state, unless a later one is. A failure is said once: the machine goes on, and would
    /// begin with an older word if it started while every member is away.
    pub(super) async fn store(&self, state: &Arc<FeedState>) {
        let mut written = self.written.lock().await;
        if state.revision < written.revision {
            return;
        }
        let (path, cluster, state) = (self.path.clone(), self.cluster, Arc::clone(state));
        let revision = state.revision;
        let write = move || write_privately(&path, &encode(&state, cluster));
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => *written = Written { revision, failed: false },
            Ok(Err(error)) if !written.failed => {
                tracing::warn!(error = chain(&error), "what this machine is told is not stored");
                written.failed = true;
            }
            // Said already; or the daemon ends.
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

fn encode(state: &FeedState, cluster: ClusterId) -> Vec<u8> {
    let mut bytes = [MAGIC, &cluster.0.to_be_bytes()].concat();
    for frame in frames_of(state) {
        let frame = frame.encode();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
        bytes.extend_from_slice(&frame);
    }
    bytes
}

fn decode(bytes: &Bytes, cluster: ClusterId) -> Option<FeedState> {
    let head = [MAGIC, &cluster.0.to_be_bytes()].concat();
    if !bytes.starts_with(&head) {
        return None;
    }
    let mut rest = bytes.slice(head.len()..);
    let mut receiver = FeedReceiver::new();
    let mut state = None;
    while !rest.is_empty() {
        let head: [u8; 8] = rest.get(..8)?.try_into().ok()?;
        let [a, b, c, d, sum @ ..] = head;
        let end = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?.checked_add(8)?;
        let frame = (end <= rest.len()).then(|| rest.slice(8..end))?;
        (crc32c::crc32c(&frame) == u32::from_le_bytes(sum)).then_some(())?;
        state = receiver.take(FeedFrame::decode(frame).ok()?, 0).ok()?.cloned();
        rest = rest.slice(end..);
    }
    state
}

#[cfg(test)]
mod tests {
    use argosy_registry::feed::{FeedFacts, FeedRecord};

    use super::*;

    fn state(revision: Revision) -> FeedState {
        let record = FeedRecord { value: Bytes::from_static(b"v"), mod_revision: 7 };
        FeedState {
            revision,
            routes: 8,
            records: [(Bytes::from_static(b"k"), record)].into(),
            keys: [("/a".to_owned(), Some(b"x".to_vec())), ("/b".to_owned(), None)].into(),
            facts: FeedFacts { voters: [1, 2, 3].into(), current: true, ..FeedFacts::default() },
            ..FeedState::default()
        }
    }

    #[tokio::test]
    async fn what_was_stored_last_comes_back_to_its_own_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let file = FeedFile::new(dir.path(), ClusterId(1));
        assert_eq!(file.load().unwrap(), None);
        file.store(&Arc::new(state(9))).await;
        file.store(&Arc::new(state(8))).await;
        assert_eq!(file.load().unwrap(), Some(state(9)));
        assert_eq!(FeedFile::new(dir.path(), ClusterId(2)).load().unwrap(), None);
    }

    #[test]
    fn damage_is_noticed() {
        let good = encode(&state(9), ClusterId(1));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad.into(), ClusterId(1)), None, "byte {at}");
            let cut = Bytes::copy_from_slice(&good[..at]);
            assert_eq!(decode(&cut, ClusterId(1)), None, "cut at {at}");
        }
    }
}
