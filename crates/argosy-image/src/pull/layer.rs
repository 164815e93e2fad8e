//! One layer of a pull: found, waited for, unpacked, or brought from a registry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::blocking;
use super::feed::{Fed, Feed};
use crate::assemble::{KnownLayers, ReadyLayer, Tree};
use crate::digest::Digest;
use crate::error::Error;
use crate::ingest::{Expected, LayerError, Meter, ingest, keep};
use crate::manifest::Descriptor;
use crate::peers::{Peer, Peers};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::registry::{BlobStream, Download, RegistryClient, Source};
use crate::store::{Claim, Partial, Session};

/// How often it is looked whether another operation has brought a blob.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);
/// How often a layer is brought anew because other machines have sent something else. At the last
/// only the registry is asked.
const ANEW_MAX: usize = 3;

/// One layer to bring.
pub(super) struct LayerJob {
    pub(super) session: Arc<Session>,
    pub(super) client: RegistryClient,
    pub(super) peers: Option<Arc<dyn Peers>>,
    pub(super) reference: Reference,
    pub(super) source: Source,
    pub(super) known: Arc<KnownLayers>,
    pub(super) blob: Descriptor,
    pub(super) diff_id: Digest,
    pub(super) chain_id: Digest,
    pub(super) progress: Progress,
}

/// A layer that came, or did not, and who gave bytes of it.
struct Brought {
    result: Result<(Tree, u64), LayerError>,
    gave: BTreeSet<Peer>,
    /// Whether some of it was here before.
    resumed: bool,
}

impl LayerJob {
    pub(super) async fn run(mut self) -> Result<ReadyLayer, Error> {
        let mut waiting = false;
        // Machines that have given wrong bytes, and whether what is here is of no use.
        let (mut liars, mut anew, mut spoilt) = (BTreeSet::new(), 0, false);
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
                (Claim::Mine(partial), _) if spoilt && partial.have() > 0 => partial.discard(),
                (Claim::Mine(partial), found) => {
                    let Brought { result, gave, resumed } =
                        self.bring(partial, found, &liars).await?;
                    match result {
                        Ok((tree, bytes)) => return Ok(self.ready(tree, bytes)),
                        Err(error) if anew == ANEW_MAX || !error.may_be_a_lie() => {
                            return Err(layer(self.blob.digest.clone(), error));
                        }
                        // What was here may be another machine's, too.
                        Err(error) if gave.is_empty() && !(resumed && self.peers.is_some()) => {
                            return Err(layer(self.blob.digest.clone(), error));
                        }
                        Err(error) => self.begin_anew(&error),
                    }
                    (anew, spoilt) = (anew + 1, true);
                    liars.extend(gave);
                    if anew == ANEW_MAX {
                        self.peers = None;
                    }
                }
            }
        }
    }

    fn begin_anew(&self, error: &LayerError) {
        let (layer, error) = (self.blob.digest.clone(), error.to_string());
        (self.progress)(Event::Retried { layer, error });
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
        &self,
        partial: Partial,
        found: Option<(Tree, u64)>,
        liars: &BTreeSet<Peer>,
    ) -> Result<Brought, Error> {
        let from = partial.have().min(self.blob.size);
        self.begun(from);
        let endpoints = self.endpoints()?;
        let digest = self.blob.digest.clone();
        let feed = Feed {
            client: self.client.clone(),
            peers: self.peers.clone(),
            download: Download { endpoints, digest, size: self.blob.size, from },
            without: liars.clone(),
            progress: Arc::clone(&self.progress),
        };
        let (pieces, stream) = BlobStream::new();
        let (session, expected, meter) = (Arc::clone(&self.session), self.expected(), self.meter());
        let size = self.blob.size;
        let writing = blocking(move || {
            Ok(match found {
                Some((tree, bytes)) => {
                    keep(&session, partial, stream, size, meter).map(|()| (tree, bytes))
                }
                None => ingest(&session, Some(partial), stream, &expected, meter)
                    .map(|ingested| (Tree::Staged(ingested.staged), ingested.bytes)),
            })
        });
        let (Fed { errand, gave }, written) = tokio::join!(feed.run(pieces), writing);
        // Whoever counts on this looks for the blob now.
        drop(errand);
        let result = written?;
        if result.is_ok() {
            (self.progress)(Event::Done { layer: self.blob.digest.clone() });
        }
        Ok(Brought { result, gave, resumed: from > 0 })
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
