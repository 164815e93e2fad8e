//! One layer's way into the store: hashed, written and unpacked in one pass, then verified.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::layer::{Compression, UnpackError, unpack};
use crate::registry::RegistryError;
use crate::store::{Partial, Session, StagedLayer, StoreError};

/// Why a layer does not become part of the store.
#[derive(Debug, Error)]
pub enum LayerError {
    #[error("the content is {found}, not what was asked for")]
    Digest { found: Digest },
    #[error("the content is longer than the {expected} bytes that the manifest says")]
    TooLong { expected: u64 },
    #[error("the content ends after {found} of {expected} bytes")]
    TooShort { found: u64, expected: u64 },
    #[error("the layer unpacks to {found}, but the image's configuration says {expected}")]
    DiffId { found: Digest, expected: Digest },
    #[error("cannot read the layer")]
    Source(#[source] io::Error),
    #[error("cannot write the layer's blob")]
    Blob(#[source] io::Error),
    #[error("the layer cannot be unpacked")]
    Unpack(#[source] UnpackError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LayerError {
    /// Whether a registry did not bring all of it.
    pub(crate) fn is_network(&self) -> bool {
        let Self::Source(error) = self else { return false };
        error.get_ref().is_some_and(|cause| {
            cause.downcast_ref::<RegistryError>().is_some_and(RegistryError::is_transient)
        })
    }
}

/// A layer that was unpacked, not visible yet.
#[derive(Debug)]
pub(crate) struct Ingested {
    pub(crate) staged: StagedLayer,
    pub(crate) diff_id: Digest,
    pub(crate) bytes: u64,
    pub(crate) compression: Compression,
}

/// What is expected of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) blob: Digest,
    pub(crate) size: u64,
    /// What it unpacks to, if that is known.
    pub(crate) diff_id: Option<Digest>,
}

impl Expected {
    /// By what the uncompressed archive is named.
    fn algorithm(&self) -> Algorithm {
        self.diff_id.as_ref().map_or(Algorithm::Sha256, Digest::algorithm)
    }
}

/// Told how many bytes more have gone by.
pub(crate) type Meter = Box<dyn Fn(u64) + Send>;

/// Reads a blob as it comes: hashes all of it, and writes what the file does not have yet.
struct Inflow<R> {
    source: R,
    hasher: Hasher,
    size: u64,
    /// The file behind, and how much of it was there from the beginning.
    file: Option<(File, u64)>,
    counted: Arc<AtomicU64>,
    failure: Option<LayerError>,
    meter: Meter,
}

impl<R: Read> Read for Inflow<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.source.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.fail(LayerError::Source(error))),
        };
        let before = self.hasher.bytes();
        let after = before + read as u64;
        if after > self.size {
            return Err(self.fail(LayerError::TooLong { expected: self.size }));
        }
        self.hasher.update(&buffer[..read]);
        self.counted.store(after, Ordering::Relaxed);
        if let Some((file, have)) = &mut self.file
            && after > *have
        {
            let known = usize::try_from(have.saturating_sub(before)).unwrap_or(read).min(read);
            if let Err(error) = file.write_all(&buffer[known..read]) {
                return Err(self.fail(LayerError::Blob(error)));
            }
        }
        (self.meter)(read as u64);
        Ok(read)
    }
}

impl<R> Inflow<R> {
    /// Keeps the cause, and gives readers something to fail with.
    fn fail(&mut self, cause: LayerError) -> io::Error {
        self.failure.get_or_insert(cause);
        io::Error::other("the layer's stream has ended early")
    }
}

/// Brings a layer from a stream that has all of it, or from what a partial blob has and then the
/// stream. Without a partial blob the stream is a whole blob and nothing is written but the tree.
pub(crate) fn ingest(
    session: &Session,
    partial: Option<Partial>,
    stream: impl Read,
    expected: &Expected,
    meter: Meter,
) -> Result<Ingested, LayerError> {
    let counted = Arc::new(AtomicU64::new(0));
    let have = partial.as_ref().map_or(0, Partial::have);
    let (known, file): (Box<dyn Read>, _) = match &partial {
        None => (Box::new(io::empty()), None),
        Some(partial) => {
            let file = partial.file()?;
            let known = file.try_clone().map_err(LayerError::Blob)?;
            (Box::new(known.take(have)), Some((file, have)))
        }
    };
    let mut inflow = Inflow {
        source: known.chain(stream),
        hasher: Hasher::new(expected.blob.algorithm()),
        size: expected.size,
        file,
        counted: Arc::clone(&counted),
        failure: None,
        meter,
    };
    let (folder, target) = session.layer_target(expected.algorithm())?;
    let unpacked = unpack(&mut inflow, counted, target);
    let certain = unpacked.as_ref().is_err_and(|error| !error.may_be_damage());
    if inflow.failure.is_none() && !certain {
        // Whatever is wrong with the content is judged only after its digest.
        drop(io::copy(&mut inflow, &mut io::sink()));
    }
    let Inflow { hasher, failure, .. } = inflow;
    if let Some(failure) = failure {
        if let (LayerError::TooLong { .. }, Some(partial)) = (&failure, partial) {
            partial.discard();
        }
        return Err(failure);
    }
    let unpacked = match unpacked {
        Err(error) if certain => {
            // The limits are the reader's: a blob that breaks them is not worth keeping.
            if let (UnpackError::Refused(_), Some(partial)) = (&error, partial) {
                partial.discard();
            }
            return Err(LayerError::Unpack(error));
        }
        other => other,
    };
    if let Err(error) = verify(hasher, expected) {
        if let (LayerError::Digest { .. }, Some(partial)) = (&error, partial) {
            partial.discard();
        }
        return Err(error);
    }
    let wrong = match unpacked {
        Ok(unpacked) => {
            let found = unpacked.diff_id;
            match &expected.diff_id {
                Some(known) if *known != found => {
                    LayerError::DiffId { expected: known.clone(), found }
                }
                _ => {
                    if let Some(partial) = &partial {
                        session.publish_blob(partial)?;
                    }
                    let staged = StagedLayer { folder, implied: unpacked.implied };
                    let (bytes, compression) = (unpacked.bytes, unpacked.compression);
                    return Ok(Ingested { staged, diff_id: found, bytes, compression });
                }
            }
        }
        Err(error) => LayerError::Unpack(error),
    };
    if let Some(partial) = partial {
        partial.discard();
    }
    Err(wrong)
}

/// Brings a blob whose layer is unpacked already.
pub(crate) fn keep(
    session: &Session,
    partial: Partial,
    stream: impl Read,
    size: u64,
    meter: Meter,
) -> Result<(), LayerError> {
    let have = partial.have();
    let file = partial.file()?;
    let known = file.try_clone().map_err(LayerError::Blob)?.take(have);
    let mut inflow = Inflow {
        source: known.chain(stream),
        hasher: Hasher::new(partial.digest().algorithm()),
        size,
        file: Some((file, have)),
        counted: Arc::new(AtomicU64::new(0)),
        failure: None,
        meter,
    };
    let mut buffer = vec![0; 256 << 10];
    while inflow.failure.is_none() {
        // What goes wrong is kept as the failure.
        if matches!(inflow.read(&mut buffer), Ok(0)) {
            break;
        }
    }
    let Inflow { hasher, failure, .. } = inflow;
    let expected = Expected { blob: partial.digest().clone(), size, diff_id: None };
    let verified = failure.map_or_else(|| verify(hasher, &expected), Err);
    match verified {
        Ok(()) => Ok(session.publish_blob(&partial)?),
        Err(error) => {
            if matches!(error, LayerError::Digest { .. } | LayerError::TooLong { .. }) {
                partial.discard();
            }
            Err(error)
        }
    }
}

fn verify(hasher: Hasher, expected: &Expected) -> Result<(), LayerError> {
    let found = hasher.bytes();
    if found < expected.size {
        return Err(LayerError::TooShort { found, expected: expected.size });
    }
    let found = hasher.finish();
    if found == expected.blob { Ok(()) } else { Err(LayerError::Digest { found }) }
}
