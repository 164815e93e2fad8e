//! One layer of a pull: found, waited for, unpacked, or brought from a registry.

use std::sync::Arc;
use std::time::Duration;

use super::blocking;
use crate::assemble::{KnownLayers, ReadyLayer, Tree};
use crate::digest::Digest;
use crate::error::Error;
use crate::ingest::{Expected, LayerError, Meter, ingest, keep};
use crate::manifest::Descriptor;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::registry::{Download, RegistryClient, Source};
use crate::store::{Claim, Partial, Session};

/// How often it is looked whether another operation has brought a blob.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);

/// One layer to bring.
pub(super) struct LayerJob {
    pub(super) session: Arc<Session>,
    pub(super) client: RegistryClient,
    pub(super) reference: Reference,
    pub(super) source: Source,
    pub(super) known: Arc<KnownLayers>,
    pub(super) blob: Descriptor,
    pub(super) diff_id: Digest,
    pub(super) chain_id: Digest,
    pub(super) progress: Progress,
}

impl LayerJob {
    pub(super) async fn run(self) -> Result<ReadyLayer, Error> {
        let mut waiting = false;
        loop {
            let job = (Arc::clone(&self.session), self.blob.digest.clone());
            let claim = blocking(move || Ok(job.0.claim(&job.1)?)).await?;
            let found = self.known.find(&self.session, &self.diff_id, &self.chain_id)?;
            match (claim, found) {
                (Claim::Taken, _) => {
                    if !waiting {
                        waiting = true;
                        (self.progress)(Event::Waiting { layer: self.blob.digest.clone() });
                    }
                    tokio::time::sleep(CLAIM_PAUSE).await;
                }
                (Claim::Whole, Some((tree, bytes))) => {
                    let (layer, size) = (self.blob.digest.clone(), self.blob.size);
                    (self.progress)(Event::Present { layer, bytes: size });
                    return Ok(self.ready(tree, bytes));
                }
                (Claim::Whole, None) => return self.unpack_blob().await,
                (Claim::Mine(partial), found) => return self.bring(partial, found).await,
            }
        }
    }

    /// The blob is here, but not its directory.
    async fn unpack_blob(self) -> Result<ReadyLayer, Error> {
        self.begun(0);
        let (session, expected, meter) = (Arc::clone(&self.session), self.expected(), self.meter());
        let digest = self.blob.digest.clone();
        let ingested = blocking(move || {
            let blob = session.store().open_blob(&expected.blob)?;
            ingest(&session, None, blob, &expected, meter).map_err(|error| layer(digest, error))
        })
        .await?;
        (self.progress)(Event::Done { layer: self.blob.digest.clone() });
        Ok(self.ready(Tree::Staged(ingested.staged), ingested.bytes))
    }

    async fn bring(
        self,
        partial: Partial,
        found: Option<(Tree, u64)>,
    ) -> Result<ReadyLayer, Error> {
        let from = partial.have().min(self.blob.size);
        self.begun(from);
        let endpoints = self.endpoints()?;
        let digest = self.blob.digest.clone();
        let download = Download { endpoints, digest, size: self.blob.size, from };
        let (retried, name) = (Arc::clone(&self.progress), self.blob.digest.clone());
        let (stream, downloading) = self.client.download(download, move |error| {
            let error = error.to_string();
            retried(Event::Retried { layer: name.clone(), error });
        });
        let (session, expected, meter) = (Arc::clone(&self.session), self.expected(), self.meter());
        let (digest, size) = (self.blob.digest.clone(), self.blob.size);
        let writing = blocking(move || {
            let result = match found {
                Some((tree, bytes)) => {
                    keep(&session, partial, stream, size, meter).map(|()| (tree, bytes))
                }
                None => ingest(&session, Some(partial), stream, &expected, meter)
                    .map(|ingested| (Tree::Staged(ingested.staged), ingested.bytes)),
            };
            result.map_err(|error| layer(digest, error))
        });
        let ((), written) = tokio::join!(downloading, writing);
        let (tree, bytes) = written?;
        (self.progress)(Event::Done { layer: self.blob.digest.clone() });
        Ok(self.ready(tree, bytes))
    }

    /// The place that had the manifest first, then the others.
    fn endpoints(&self) -> Result<Vec<Source>, Error> {
        let all = self.client.places(&self.reference).map_err(|error| Error::Registry {
            reference: self.reference.clone(),
            source: Box::new(error),
        })?;
        let others = all.into_iter().filter(|endpoint| *endpoint != self.source);
        Ok(std::iter::once(self.source.clone()).chain(others).collect())
    }

    fn begun(&self, have: u64) {
        let (layer, bytes) = (self.blob.digest.clone(), self.blob.size);
        (self.progress)(Event::Begun { layer, bytes, have });
    }

    fn expected(&self) -> Expected {
        Expected {
            blob: self.blob.digest.clone(),
            size: self.blob.size,
            diff_id: Some(self.diff_id.clone()),
        }
    }

    fn meter(&self) -> Meter {
        let (progress, layer) = (Arc::clone(&self.progress), self.blob.digest.clone());
        Box::new(move |bytes| progress(Event::Moved { layer: layer.clone(), bytes }))
    }

    fn ready(self, tree: Tree, bytes: u64) -> ReadyLayer {
        ReadyLayer { blob: self.blob, diff_id: self.diff_id, bytes, tree }
    }
}

fn layer(digest: Digest, error: LayerError) -> Error {
    Error::Layer { digest, source: Box::new(error) }
}
