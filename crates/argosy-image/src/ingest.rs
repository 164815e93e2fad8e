//! One layer's way into the store: hashed, written and unpacked in one pass, then verified.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::layer::{Compression, UnpackError, Unpacked, unpack};
use crate::registry::RegistryError;
use crate::store::{Partial, Session, StagedLayer, StoreError};

/// One read while nothing is made of what is read.
const DRAIN_BYTES: usize = 256 << 10;

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

    /// Whether it may come of bytes that are not the blob's.
    pub(crate) fn may_be_a_lie(&self) -> bool {
        match self {
            Self::Digest { .. }
            | Self::TooLong { .. }
            | Self::TooShort { .. }
            | Self::DiffId { .. } => true,
            Self::Unpack(error) => !error.is_for_want(),
            Self::Source(_) | Self::Blob(_) | Self::Store(_) => false,
        }
    }

    /// Whether what there is of the blob is of no use for another attempt.
    const fn spoils_the_blob(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::TooLong { .. } | Self::DiffId { .. } => true,
            Self::Unpack(error) => {
                error.may_be_damage() || matches!(error, UnpackError::Refused(_))
            }
            Self::TooShort { .. } | Self::Source(_) | Self::Blob(_) | Self::Store(_) => false,
        }
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

impl<'a> Inflow<Box<dyn Read + 'a>> {
    /// What a partial blob has, and then the stream.
    fn open(
        partial: Option<&Partial>,
        stream: impl Read + 'a,
        expected: &Expected,
        meter: Meter,
    ) -> Result<Self, LayerError> {
        let (source, file): (Box<dyn Read + 'a>, _) = match partial {
            None => (Box::new(stream), None),
            Some(partial) => {
                let (file, have) = (partial.file()?, partial.have());
                let known = file.try_clone().map_err(LayerError::Blob)?;
                (Box::new(known.take(have).chain(stream)), Some((file, have)))
            }
        };
        Ok(Self {
            source,
            hasher: Hasher::new(expected.blob.algorithm()),
            size: expected.size,
            file,
            counted: Arc::new(AtomicU64::new(0)),
            failure: None,
            meter,
        })
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
    let (folder, target) = session.layer_target(expected.algorithm())?;
    let mut inflow = Inflow::open(partial.as_ref(), stream, expected, meter)?;
    let counted = Arc::clone(&inflow.counted);
    let unpacked = unpack(&mut inflow, counted, target);
    let judged = judge(inflow, unpacked, expected);
    let Unpacked { diff_id, bytes, compression, implied } = published(session, partial, judged)?;
    Ok(Ingested { staged: StagedLayer { folder, implied }, diff_id, bytes, compression })
}

/// Brings a blob whose layer is unpacked already.
pub(crate) fn keep(
    session: &Session,
    partial: Partial,
    stream: impl Read,
    size: u64,
    meter: Meter,
) -> Result<(), LayerError> {
    let expected = Expected { blob: partial.digest().clone(), size, diff_id: None };
    let mut inflow = Inflow::open(Some(&partial), stream, &expected, meter)?;
    drain(&mut inflow);
    let Inflow { hasher, failure, .. } = inflow;
    let verified = failure.map_or_else(|| verify(hasher, &expected), Err);
    published(session, Some(partial), verified)
}

/// Makes a good blob visible, and throws a bad one away.
fn published<T>(
    session: &Session,
    partial: Option<Partial>,
    judged: Result<T, LayerError>,
) -> Result<T, LayerError> {
    match (judged, partial) {
        (Ok(good), Some(partial)) => {
            session.publish_blob(&partial)?;
            Ok(good)
        }
        (Err(error), Some(partial)) => {
            if error.spoils_the_blob() {
                partial.discard();
            }
            Err(error)
        }
        (judged, None) => judged,
    }
}

/// What is wrong with a layer, if anything. Content is judged only after its digest: what cannot
/// be unpacked may have been damaged on its way.
fn judge(
    mut inflow: Inflow<impl Read>,
    unpacked: Result<Unpacked, UnpackError>,
    expected: &Expected,
) -> Result<Unpacked, LayerError> {
    match unpacked {
        Err(error) if !error.may_be_damage() && inflow.failure.is_none() => {
            return Err(LayerError::Unpack(error));
        }
        _ => drain(&mut inflow),
    }
    let Inflow { hasher, failure, .. } = inflow;
    failure.map_or_else(|| verify(hasher, expected), Err)?;
    let unpacked = unpacked.map_err(LayerError::Unpack)?;
    match &expected.diff_id {
        Some(known) if *known != unpacked.diff_id => {
            Err(LayerError::DiffId { expected: known.clone(), found: unpacked.diff_id })
        }
        _ => Ok(unpacked),
    }
}

/// Reads to the end; what goes wrong is kept as the failure.
fn drain(inflow: &mut Inflow<impl Read>) {
    let mut buffer = vec![0; DRAIN_BYTES];
    while inflow.failure.is_none() && !matches!(inflow.read(&mut buffer), Ok(0)) {}
}

fn verify(hasher: Hasher, expected: &Expected) -> Result<(), LayerError> {
    let found = hasher.bytes();
    if found < expected.size {
        return Err(LayerError::TooShort { found, expected: expected.size });
    }
    let found = hasher.finish();
    if found == expected.blob { Ok(()) } else { Err(LayerError::Digest { found }) }
}
