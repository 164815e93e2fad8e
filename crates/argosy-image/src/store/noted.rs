//! What last went by itself, for whoever misses it.

use std::io::ErrorKind;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Collected, Store, StoreError, failed};
use crate::digest::Digest;
use crate::reference::Reference;

/// A collection that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCollection {
    /// When, in seconds since 1970.
    pub at: u64,
    /// The ids of the images that went.
    pub images: Vec<Digest>,
    /// The names that they had.
    pub names: Vec<Reference>,
    /// What that freed.
    pub bytes: u64,
}

impl Store {
    /// Notes what has just gone by itself, in place of what went before.
    pub fn note_collected(&self, collected: &Collected) -> Result<(), StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let note = LastCollection {
            at: now.as_secs(),
            images: collected.images.clone(),
            names: collected.names.clone(),
            bytes: collected.bytes,
        };
        let path = self.path("collected");
        let text = serde_json::to_vec(&note)
            .map_err(|source| StoreError::Damaged { path: path.clone(), source })?;
        let _shared = self.share()?;
        self.write(&path, &text)
    }

    /// What last went by itself, if anything has, and if it can be read.
    pub fn last_collection(&self) -> Result<Option<LastCollection>, StoreError> {
        let path = self.path("collected");
        match std::fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }
}
