//! Other machines' images, for a pull in a process of its own: asked through this machine's daemon.
//! Where there is none, or it belongs to no cluster, nothing is known and nothing is lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argosy_api::images::{FoundView, NamedRequest, NamedView, PeerView, SeekRequest, SoughtView};
use argosy_api::{ApiError, ByteStream, Client, ClientError, ErrorCode};
use argosy_image::{
    Answering, Digest, Errand, Found, Named, Peer, PeerBlob, PeerError, Peers, Reference, Sought,
    Store,
};
use bytes::Bytes;
use http::Method;

use crate::daemon::mark_of;

/// How long the daemon has for an answer: it asks the leader, which waits some seconds for news.
const SEEK_MAX: Duration = Duration::from_secs(12);
/// How long it has until another machine begins to give a blob.
const OPEN_MAX: Duration = Duration::from_secs(8);
/// How long it has to hear of a name.
const TELL_MAX: Duration = Duration::from_secs(2);

/// The way through the daemon.
#[derive(Debug)]
struct ThroughDaemon {
    client: Client,
    /// Which store the images come into.
    store: String,
    /// Whether the daemon has not answered: it is not asked again by this process.
    gave_up: AtomicBool,
}

/// Returns the other machines, if there is a daemon to ask.
pub(crate) fn peers(socket: &Path, store: &Store) -> Option<Arc<dyn Peers>> {
    if !socket.exists() {
        return None;
    }
    let store = mark_of(store.root())?;
    let (client, gave_up) = (Client::new(socket), AtomicBool::new(false));
    Some(Arc::new(ThroughDaemon { client, store, gave_up }))
}

impl ThroughDaemon {
    async fn find(&self, sought: &Sought, without: &BTreeSet<Peer>) -> Result<Found, ClientError> {
        let what = match sought {
            Sought::Blob(digest) => SoughtView::Blob(digest.to_string()),
            Sought::Name(name) => SoughtView::Name(name.to_string()),
        };
        let without = without.iter().map(|peer| peer.id.clone()).collect();
        let request = SeekRequest { store: self.store.clone(), what, without };
        let client = self.client.clone().with_limit(SEEK_MAX);
        let path = "/v1/images/seek";
        let mut lines = client.lines_of(Method::POST, path, Some(&request)).await?;
        let Some(view) = lines.next::<FoundView>().await? else { return Ok(Found::Nobody) };
        // The daemon counts on this process for as long as the connection is there.
        let errand = || Errand::new(lines);
        Ok(match view {
            FoundView::Nobody => Found::Nobody,
            FoundView::At(peers) => {
                Found::At { peers: peers.into_iter().map(peer).collect(), errand: errand() }
            }
            FoundView::Yours => Found::Yours(errand()),
            FoundView::Coming(view) => Found::Coming(peer(view)),
            FoundView::Named(NamedView { digest, pulled }) => match digest.parse() {
                Ok(digest) => Found::Named(Named { digest, pulled }),
                Err(_) => Found::Nobody,
            },
        })
    }
}

fn peer(view: PeerView) -> Peer {
    Peer { id: view.id, name: view.name }
}

impl Peers for ThroughDaemon {
    fn seek<'a>(&'a self, sought: &'a Sought, without: &'a BTreeSet<Peer>) -> Answering<'a, Found> {
        Box::pin(async move {
            if self.gave_up.load(Ordering::Relaxed) {
                return Found::Nobody;
            }
            self.find(sought, without).await.unwrap_or_else(|_| {
                self.gave_up.store(true, Ordering::Relaxed);
                Found::Nobody
            })
        })
    }

    fn open<'a>(
        &'a self,
        digest: &'a Digest,
        from: u64,
        peer: &'a Peer,
    ) -> Answering<'a, Result<Box<dyn PeerBlob>, PeerError>> {
        Box::pin(async move {
            let target = format!("/v1/images/blobs/{digest}?machine={}", peer.id);
            match self.client.clone().with_limit(OPEN_MAX).bytes(&target, from).await {
                Ok(bytes) => Ok(Box::new(Given { bytes, peer: peer.clone() }) as Box<dyn PeerBlob>),
                Err(ClientError::Refused(ApiError { code: ErrorCode::Unavailable, .. })) => {
                    Err(PeerError::Busy { peer: peer.name.clone() })
                }
                Err(error) => Err(failed(peer, error)),
            }
        })
    }

    fn named<'a>(&'a self, name: &'a Reference, named: &'a Named) -> Answering<'a, ()> {
        Box::pin(async move {
            let request = NamedRequest {
                store: self.store.clone(),
                name: name.to_string(),
                named: NamedView { digest: named.digest.to_string(), pulled: named.pulled },
            };
            let client = self.client.clone().with_limit(TELL_MAX);
            let telling = client.send_for_nothing(Method::POST, "/v1/images/named", Some(&request));
            // Others then ask the registry themselves.
            drop(telling.await);
        })
    }
}

fn failed(peer: &Peer, error: ClientError) -> PeerError {
    PeerError::Failed { peer: peer.name.clone(), source: error.into() }
}

/// A blob of another machine, passed on by the daemon.
struct Given {
    bytes: ByteStream,
    peer: Peer,
}

impl PeerBlob for Given {
    fn next(&mut self) -> Answering<'_, Result<Option<Bytes>, PeerError>> {
        Box::pin(async move { self.bytes.next().await.map_err(|error| failed(&self.peer, error)) })
    }
}
