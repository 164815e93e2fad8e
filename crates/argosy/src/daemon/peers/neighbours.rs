//! The other machines, as pulls of this machine ask them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argosy_api::{ApiError, ByteStream, ClientError, ErrorCode};
use argosy_image::{
    Answering, Digest, Errand, Found, Named, Peer, PeerBlob, PeerError, Peers, Reference, Sought,
};
use argosy_model::MachineId;
use axum::body::Bytes;
use tokio::sync::watch;

use super::asks::Asks;
use super::board::Ask;
use super::errands::Errands;
use super::who::{Answer, Origin};
use crate::daemon::machine_port::MachinePort;
use crate::daemon::picture::Picture;

/// How long a machine has to begin to give a blob.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Asks other machines. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Neighbours {
    asks: Asks,
    errands: Arc<Errands>,
    port: MachinePort,
    pictures: watch::Receiver<Picture>,
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Neighbours")
    }
}

impl Neighbours {
    pub(super) fn new(
        asks: Asks,
        errands: Arc<Errands>,
        port: MachinePort,
        pictures: watch::Receiver<Picture>,
    ) -> Neighbours {
        Neighbours { asks, errands, port, pictures }
    }

    /// Opens a blob of a machine, from a byte on.
    pub(super) async fn open_at(
        &self,
        machine: MachineId,
        digest: &Digest,
        from: u64,
    ) -> Result<ByteStream, ClientError> {
        self.errands.comes_from(&Sought::Blob(digest.clone()), Origin::Machine(machine));
        let client = self.port.client_of(machine).with_limit(OPEN_MAX);
        client.bytes(&format!("/v1/images/blobs/{digest}"), from).await
    }

    fn peer(&self, machine: MachineId) -> Peer {
        let picture = self.pictures.borrow();
        let stored = picture.view.machines().get(&machine);
        let name = stored.map_or_else(|| machine.short(), |stored| stored.value.name.clone());
        Peer { id: machine.to_string(), name }
    }

    fn found(&self, sought: &Sought, answer: Answer) -> Found {
        let errand = |origin| Errand::new(self.errands.begin(sought, origin));
        match answer {
            Answer::Nobody => Found::Nobody,
            Answer::Yours => Found::Yours(errand(Origin::Registry)),
            Answer::Named(named) => Found::Named(named),
            Answer::Wait(Some(machine)) => Found::Coming(self.peer(machine)),
            Answer::Wait(None) => {
                let name = "another machine".to_owned();
                Found::Coming(Peer { id: String::new(), name })
            }
            Answer::At(machines) => match machines.first() {
                None => Found::Nobody,
                Some(first) => {
                    let errand = errand(Origin::Machine(*first));
                    let peers = machines.into_iter().map(|id| self.peer(id)).collect();
                    Found::At { peers, errand }
                }
            },
        }
    }
}

impl Peers for Neighbours {
    fn seek<'a>(&'a self, sought: &'a Sought, without: &'a BTreeSet<Peer>) -> Answering<'a, Found> {
        Box::pin(async move {
            // A peer without the id of a machine is none that could be asked.
            let without = without.iter().filter_map(|peer| peer.id.parse().ok()).collect();
            let answer = self.asks.ask(Ask { sought: sought.clone(), without }).await;
            self.found(sought, answer)
        })
    }

    fn open<'a>(
        &'a self,
        digest: &'a Digest,
        from: u64,
        peer: &'a Peer,
    ) -> Answering<'a, Result<Box<dyn PeerBlob>, PeerError>> {
        Box::pin(async move {
            let failed = |source: Box<dyn std::error::Error + Send + Sync>| PeerError::Failed {
                peer: peer.name.clone(),
                source,
            };
            let machine = peer.id.parse::<MachineId>().map_err(|error| failed(error.into()))?;
            match self.open_at(machine, digest, from).await {
                Ok(bytes) => Ok(Box::new(Given { bytes, peer: peer.clone() }) as Box<dyn PeerBlob>),
                Err(ClientError::Refused(ApiError { code: ErrorCode::Unavailable, .. })) => {
                    Err(PeerError::Busy { peer: peer.name.clone() })
                }
                Err(error) => Err(failed(error.into())),
            }
        })
    }

    fn named<'a>(&'a self, name: &'a Reference, named: &'a Named) -> Answering<'a, ()> {
        self.errands.told(name.clone(), named.clone());
        Box::pin(std::future::ready(()))
    }
}

/// A blob as another machine gives it.
struct Given {
    bytes: ByteStream,
    peer: Peer,
}

impl PeerBlob for Given {
    fn next(&mut self) -> Answering<'_, Result<Option<Bytes>, PeerError>> {
        Box::pin(async move {
            self.bytes.next().await.map_err(|error| PeerError::Failed {
                peer: self.peer.name.clone(),
                source: error.into(),
            })
        })
    }
}
