//! Images between machines: an image that a machine of the cluster has is not fetched from the
//! registry again, and one that many want at once is fetched by one of them.
//!
//! ```text
//! a pull --Peers--> Neighbours --asks--> the leader's Board --Who decides--> from whom
//!        <--bytes-- another machine's blobs (machine port, mutual TLS)
//! News: what this machine has and what it is bringing --> the leader's Board
//! ```
//!
//! A pull in a process of its own asks its machine's daemon, over the local socket. Nothing of this
//! is stored: a leader that is new is told all of it anew, and until then pulls ask registries.

mod asks;
mod board;
mod errands;
mod leader;
mod local_routes;
mod machine_routes;
mod neighbours;
mod news;
mod own_store;
mod serve;
mod who;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use argosy_model::MachineId;
use tokio::sync::watch;

use super::machine_port::MachinePort;
use super::picture::Picture;
use super::store_access::StoreAccess;
use asks::Asks;
use board::Board;
use errands::Errands;
use leader::Leader;
use neighbours::Neighbours;
use news::Reporter;
use own_store::OwnStore;
use serve::Server;

pub(crate) use own_store::mark_of;

pub(super) use local_routes::router as local_router;
pub(super) use machine_routes::router as machine_router;

/// What it is begun with.
pub(super) struct Parts {
    pub(super) data_dir: PathBuf,
    pub(super) machine: MachineId,
    pub(super) access: StoreAccess,
    pub(super) port: MachinePort,
    pub(super) pictures: watch::Receiver<Picture>,
}

/// Images between this machine and the others.
pub(crate) struct PeerImages {
    board: Arc<Board>,
    server: Server,
    neighbours: Neighbours,
    store: Arc<OwnStore>,
}

/// What runs as long as the node does.
pub(super) struct Tasks {
    board: Arc<Board>,
    asks: asks::Task,
    reporter: Reporter,
    parts: Following,
}

struct Following {
    pictures: watch::Receiver<Picture>,
    access: StoreAccess,
}

impl PeerImages {
    pub(super) fn new(parts: Parts) -> (Arc<PeerImages>, Tasks) {
        let Parts { data_dir, machine, access, port, pictures } = parts;
        let board = Arc::new(Board::default());
        let store = Arc::new(OwnStore::below(&data_dir));
        let leader = Leader {
            machine,
            board: Arc::clone(&board),
            leadership: access.leadership(),
            port: port.clone(),
        };
        let errands = Arc::new(Errands::default());
        let (asks, asking) = Asks::new(leader.clone());
        let reporter = Reporter::new(leader, Arc::clone(&errands), Arc::clone(&store));
        let neighbours = Neighbours::new(asks, errands, port, pictures.clone());
        let server = Server::new(Arc::clone(&store));
        let images = PeerImages { board: Arc::clone(&board), server, neighbours, store };
        let parts = Following { pictures, access };
        (Arc::new(images), Tasks { board, asks: asking, reporter, parts })
    }

    /// Returns what pulls of this process ask.
    pub(super) fn neighbours(&self) -> Neighbours {
        self.neighbours.clone()
    }
}

impl Tasks {
    /// Runs for ever.
    pub(super) async fn run(self) {
        let Following { pictures, access } = self.parts;
        tokio::join!(
            self.board.follow(pictures, access.leadership()),
            self.asks.run(),
            self.reporter.run(),
        );
    }
}
