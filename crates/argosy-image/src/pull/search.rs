//! Looking for one content among other machines: whom to ask next, and when to ask the registry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::digest::Digest;
use crate::peers::{Errand, Found, Named, Peer, PeerBlob, PeerError, Peers, Sought};

/// A layer that others bring is waited for that long in all; at 10 MB/s it is 3 GB. Each wait is
/// for somebody who makes progress: others are not waited for.
pub(super) const LAYER_PATIENCE: Duration = Duration::from_secs(300);
/// The same for names, manifests and configurations, which are one request to a registry.
pub(super) const SMALL_PATIENCE: Duration = Duration::from_secs(15);
/// Machines that are asked in vain for one content. What none of so many gives is not given.
const VAIN_MAX: usize = 12;
/// Before machines that were all busy are asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(300);
/// A machine that sends nothing for this long is left. Machines of a cluster are near each other,
/// and there are others.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// Where something comes from next.
#[derive(Debug)]
pub(super) enum Next {
    /// One of these machines.
    Peers(Vec<Peer>, Errand),
    /// The registry; others count on it if there is an errand.
    Registry(Option<Errand>),
    /// It is a name, and known.
    Named(Named),
}

/// A small content, and who counts on its being in the store soon.
pub(super) type Small = (Vec<u8>, Option<Errand>);

/// The search for one content.
pub(super) struct Search {
    peers: Arc<dyn Peers>,
    sought: Sought,
    /// Machines that have failed, or sent something else.
    without: BTreeSet<Peer>,
    waited_since: Instant,
    patience: Duration,
}

impl Search {
    pub(super) fn new(
        peers: &Arc<dyn Peers>,
        sought: Sought,
        without: BTreeSet<Peer>,
        patience: Duration,
    ) -> Self {
        let (peers, waited_since) = (Arc::clone(peers), Instant::now());
        Self { peers, sought, without, waited_since, patience }
    }

    /// Finds out whom to ask next. `coming` is told who is waited for.
    pub(super) async fn next(&mut self, coming: impl Fn(Peer)) -> Next {
        while self.without.len() < VAIN_MAX && self.waited_since.elapsed() < self.patience {
            match self.peers.seek(&self.sought, &self.without).await {
                Found::Nobody => break,
                Found::At { peers, errand } if !peers.is_empty() => {
                    return Next::Peers(peers, errand);
                }
                Found::At { .. } => break,
                Found::Yours(errand) => return Next::Registry(Some(errand)),
                Found::Named(named) => return Next::Named(named),
                Found::Coming(peer) => coming(peer),
            }
        }
        Next::Registry(None)
    }

    /// Takes note of why a machine did not give it. One that is busy may be asked again.
    pub(super) async fn failed(&mut self, peer: Peer, error: &PeerError) {
        match error {
            PeerError::Busy { .. } => tokio::time::sleep(BUSY_PAUSE).await,
            _ => drop(self.without.insert(peer)),
        }
    }
}

/// The next piece of a blob, within the time that a machine has for it.
pub(super) async fn next_piece(
    blob: &mut dyn PeerBlob,
    peer: &Peer,
) -> Result<Option<Bytes>, PeerError> {
    match tokio::time::timeout(SILENCE_LIMIT, blob.next()).await {
        Ok(piece) => piece,
        Err(_) => Err(silent(peer)),
    }
}

/// Opens a blob, within the time that a machine has for it.
pub(super) async fn open(
    peers: &Arc<dyn Peers>,
    digest: &Digest,
    from: u64,
    peer: &Peer,
) -> Result<Box<dyn PeerBlob>, PeerError> {
    match tokio::time::timeout(SILENCE_LIMIT, peers.open(digest, from, peer)).await {
        Ok(opened) => opened,
        Err(_) => Err(silent(peer)),
    }
}

fn silent(peer: &Peer) -> PeerError {
    PeerError::Silent { peer: peer.name.clone(), seconds: SILENCE_LIMIT.as_secs() }
}

/// A small content from another machine, verified; or who counts on the registry being asked. Others
/// look for it here once the errand ends.
pub(super) async fn small(
    peers: &Arc<dyn Peers>,
    digest: &Digest,
    bytes_max: u64,
) -> Result<Small, Option<Errand>> {
    let sought = Sought::Blob(digest.clone());
    let mut search = Search::new(peers, sought, BTreeSet::new(), SMALL_PATIENCE);
    loop {
        let (offered, errand) = match search.next(|_| {}).await {
            Next::Peers(offered, errand) => (offered, errand),
            Next::Registry(errand) => return Err(errand),
            Next::Named(_) => return Err(None),
        };
        for peer in offered {
            match whole(peers, digest, bytes_max, &peer).await {
                Ok(bytes) => return Ok((bytes, Some(errand))),
                Err(error) => search.failed(peer, &error).await,
            }
        }
    }
}

async fn whole(
    peers: &Arc<dyn Peers>,
    digest: &Digest,
    bytes_max: u64,
    peer: &Peer,
) -> Result<Vec<u8>, PeerError> {
    let mut blob = open(peers, digest, 0, peer).await?;
    let wrong = || PeerError::Wrong { peer: peer.name.clone() };
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(blob.as_mut(), peer).await? {
        if (bytes.len() + piece.len()) as u64 > bytes_max {
            return Err(wrong());
        }
        bytes.extend_from_slice(&piece);
    }
    if digest.names(&bytes) { Ok(bytes) } else { Err(wrong()) }
}
