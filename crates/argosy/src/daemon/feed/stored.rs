//! What a worker was told last, on disk: a machine that starts while every member is away goes on
//! with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argosy_registry::feed::{FeedFrame, FeedReceiver, FeedState, frames_of};
use bytes::Bytes;

use super::Feed;
use crate::daemon::identity::{IdentityError, write_privately};
use crate::failure::chain;

/// In the data directory.
const FILE: &str = "feed";
/// What the file begins with: its kind and format.
const MAGIC: &[u8] = b"argosy-feed-1\n";

/// The stored feed cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub(crate) struct FeedFileError {
    path: PathBuf,
    source: io::Error,
}

/// Reads what was stored. A damaged file is said and passed over: the members tell it again.
pub(super) fn load(data_dir: &Path) -> Result<Option<FeedState>, FeedFileError> {
    let path = data_dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let state = decode(&bytes.into());
            if state.is_none() {
                tracing::warn!(path = %path.display(), "damaged; the members will tell it again");
            }
            Ok(state)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FeedFileError { path, source }),
    }
}

/// Stores what is told, always the newest, for ever.
pub(crate) async fn keep_stored(feed: Feed, data_dir: PathBuf) {
    let mut states = feed.states();
    let mut told = false;
    while states.changed().await.is_ok() {
        let state = Arc::clone(&states.borrow_and_update());
        let path = data_dir.join(FILE);
        let written = tokio::task::spawn_blocking(move || store(&path, &state)).await;
        match written {
            Ok(Ok(())) => told = false,
            Ok(Err(error)) if !told => {
                tracing::warn!(error = chain(&error), "what this machine is told is not stored");
                told = true;
            }
            Ok(Err(_)) => {}
            // It panicked, or the daemon ends.
            Err(_) => return,
        }
    }
}

fn store(path: &Path, state: &FeedState) -> Result<(), IdentityError> {
    write_privately(path, &encode(state))
}

fn encode(state: &FeedState) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for frame in frames_of(state) {
        let frame = frame.encode();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
        bytes.extend_from_slice(&frame);
    }
    bytes
}

fn decode(bytes: &Bytes) -> Option<FeedState> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let mut rest = bytes.slice(MAGIC.len()..);
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

    #[test]
    fn what_was_stored_comes_back_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), None);
        let record = FeedRecord { value: Bytes::from_static(b"v"), mod_revision: 7 };
        let state = FeedState {
            revision: 9,
            routes: 8,
            records: [(Bytes::from_static(b"k"), record)].into(),
            keys: [("/a".to_owned(), Some(b"x".to_vec())), ("/b".to_owned(), None)].into(),
            facts: FeedFacts { voters: [1, 2, 3].into(), current: true, ..FeedFacts::default() },
        };
        let path = dir.path().join(FILE);
        store(&path, &state).unwrap();
        assert_eq!(load(dir.path()).unwrap(), Some(state));
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad.into()), None, "byte {at}");
            assert_eq!(decode(&Bytes::copy_from_slice(&good[..at])), None, "cut at {at}");
        }
    }
}
