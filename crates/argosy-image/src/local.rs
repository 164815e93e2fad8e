//! Layers from this machine: out of archives and directories instead of a registry.

use std::io::Read;
use std::time::Duration;

use crate::assemble::{KnownLayers, ReadyLayer, Tree};
use crate::digest::Digest;
use crate::error::Error;
use crate::ingest::{Expected, LayerError, Meter, ingest, keep};
use crate::manifest::Descriptor;
use crate::progress::{Event, Progress};
use crate::store::{Claim, Session};

/// How often it is looked whether another operation has brought a blob.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);

/// A layer that is to be brought, and what is known about it.
pub(crate) struct LocalLayer {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) chain_id: Digest,
}

/// Brings a layer whose blob `open` reads; waits while another operation brings it.
pub(crate) fn bring(
    session: &Session,
    known: &KnownLayers,
    layer: LocalLayer,
    progress: &Progress,
    open: impl Fn() -> Result<Box<dyn Read>, Error>,
) -> Result<ReadyLayer, Error> {
    let LocalLayer { blob, diff_id, chain_id } = layer;
    let failed =
        |source: LayerError| Error::Layer { digest: blob.digest.clone(), source: Box::new(source) };
    let meter = || -> Meter {
        let (progress, layer) = (progress.clone(), blob.digest.clone());
        Box::new(move |bytes| progress(Event::Moved { layer: layer.clone(), bytes }))
    };
    let expected =
        Expected { blob: blob.digest.clone(), size: blob.size, diff_id: Some(diff_id.clone()) };
    let (tree, bytes) = loop {
        let claim = session.claim(&blob.digest)?;
        let found = known.find(session, &diff_id, &chain_id)?;
        let begun = |have| {
            progress(Event::Begun { layer: blob.digest.clone(), bytes: blob.size, have });
        };
        let (partial, stream): (_, Box<dyn Read>) = match claim {
            Claim::Taken => {
                std::thread::sleep(CLAIM_PAUSE);
                continue;
            }
            Claim::Whole => match found {
                Some(found) => {
                    progress(Event::Present { layer: blob.digest.clone(), bytes: blob.size });
                    break found;
                }
                None => (None, Box::new(session.store().open_blob(&blob.digest)?)),
            },
            Claim::Mine(partial) => {
                let mut stream = open()?;
                let have = partial.have().min(blob.size);
                std::io::copy(&mut stream.by_ref().take(have), &mut std::io::sink())
                    .map_err(|error| failed(LayerError::Source(error)))?;
                (Some(partial), stream)
            }
        };
        begun(partial.as_ref().map_or(0, crate::store::Partial::have));
        let brought = match (found, partial) {
            (Some(found), Some(partial)) => {
                keep(session, partial, stream, blob.size, meter()).map(|()| found)
            }
            (_, partial) => ingest(session, partial, stream, &expected, meter())
                .map(|ingested| (Tree::Staged(ingested.staged), ingested.bytes)),
        };
        let brought = brought.map_err(failed)?;
        progress(Event::Done { layer: blob.digest.clone() });
        break brought;
    };
    Ok(ReadyLayer { blob, diff_id, bytes, tree })
}
