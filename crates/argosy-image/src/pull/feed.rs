//! The bytes of one layer: from machines that have it, as long as they give it, and else from the
//! registry. Whoever takes over goes on where the one before has broken off.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::search::{LAYER_PATIENCE, Next, Search, next_piece, open};
use crate::digest::Digest;
use crate::peers::{Errand, Peer, PeerError, Peers, Sought};
use crate::progress::{Event, Progress};
use crate::registry::{Download, Pieces, RegistryClient, RegistryError};

/// Brings the bytes of a layer.
pub(super) struct Feed {
    pub(super) client: RegistryClient,
    pub(super) peers: Option<Arc<dyn Peers>>,
    pub(super) download: Download,
    /// Machines whose bytes were wrong before.
    pub(super) without: BTreeSet<Peer>,
    pub(super) progress: Progress,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Fed {
    /// Others count on the layer until this is dropped.
    pub(super) errand: Option<Errand>,
    /// Who has given bytes of it, whatever they are worth.
    pub(super) gave: BTreeSet<Peer>,
}

/// How it went with one machine.
enum Given {
    /// All is there.
    Whole,
    /// Nobody reads any more.
    Unwanted,
    Failed(PeerError),
}

impl Feed {
    pub(super) async fn run(mut self, sender: Pieces) -> Fed {
        let mut fed = Fed::default();
        if let Some(peers) = self.peers.take()
            && self.download.from < self.download.size
        {
            match self.ask_peers(&peers, &sender, &mut fed).await {
                Some(errand) => fed.errand = errand,
                None => return fed,
            }
        }
        let (progress, name) = (Arc::clone(&self.progress), self.download.digest.clone());
        let retried = move |error: &RegistryError| retry(&progress, &name, error);
        self.client.download(self.download, sender, retried).await;
        fed
    }

    /// Asks machines until one of them has given all of it; tells otherwise whether others count on
    /// the registry being asked.
    async fn ask_peers(
        &mut self,
        peers: &Arc<dyn Peers>,
        sender: &Pieces,
        fed: &mut Fed,
    ) -> Option<Option<Errand>> {
        let layer = self.download.digest.clone();
        let (without, sought) = (std::mem::take(&mut self.without), Sought::Blob(layer.clone()));
        let mut search = Search::new(peers, sought, without, LAYER_PATIENCE);
        loop {
            let coming = |peer: Peer| {
                (self.progress)(Event::Coming { layer: layer.clone(), peer: peer.name });
            };
            let (offered, errand) = match search.next(coming).await {
                Next::Peers(offered, errand) => (offered, errand),
                Next::Registry(errand) => return Some(errand),
                Next::Named(_) => return Some(None),
            };
            for peer in offered {
                match self.ask_peer(peers, &peer, sender, fed).await {
                    Given::Whole | Given::Unwanted => {
                        fed.errand = Some(errand);
                        return None;
                    }
                    Given::Failed(error) => {
                        if !matches!(error, PeerError::Busy { .. }) {
                            retry(&self.progress, &layer, &error);
                        }
                        search.failed(peer, &error).await;
                    }
                }
            }
        }
    }

    async fn ask_peer(
        &mut self,
        peers: &Arc<dyn Peers>,
        peer: &Peer,
        sender: &Pieces,
        fed: &mut Fed,
    ) -> Given {
        let digest: Digest = self.download.digest.clone();
        let mut blob = match open(peers, &digest, self.download.from, peer).await {
            Ok(blob) => blob,
            Err(error) => return Given::Failed(error),
        };
        (self.progress)(Event::From { layer: digest, peer: peer.name.clone() });
        loop {
            match next_piece(blob.as_mut(), peer).await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    if !fed.gave.contains(peer) {
                        fed.gave.insert(peer.clone());
                    }
                    self.download.from = self.download.from.saturating_add(piece.len() as u64);
                    if sender.send(Ok(piece)).await.is_err() {
                        return Given::Unwanted;
                    }
                }
                Ok(None) if self.download.from < self.download.size => {
                    let (peer, source) = (peer.name.clone(), "it ended before the blob did".into());
                    return Given::Failed(PeerError::Failed { peer, source });
                }
                Ok(None) => return Given::Whole,
                Err(error) => return Given::Failed(error),
            }
        }
    }
}

fn retry(progress: &Progress, layer: &Digest, error: &dyn std::error::Error) {
    progress(Event::Retried { layer: layer.clone(), error: error.to_string() });
}
