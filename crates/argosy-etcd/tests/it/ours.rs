//! The server under test on a store in a temporary directory.

use argosy_etcd::{Server, ServerInfo};
use argosy_model::ClusterId;
use argosy_store::{MemberId, Store, StoreConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clients::Clients;

/// A running server.
pub(crate) struct Ours {
    pub(crate) endpoint: String,
    pub(crate) clients: Clients,
    store: Store,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    dir: TempDir,
}

impl Ours {
    /// Starts a fresh store with two listeners and returns when it leads.
    pub(crate) async fn start() -> Ours {
        let dir = TempDir::new().unwrap();
        Store::initialise(&config(&dir)).unwrap();
        Ours::open(dir).await
    }

    /// Ends the server and starts another one on the same store.
    pub(crate) async fn restart(self) -> Ours {
        Ours::open(self.close().await).await
    }

    async fn open(dir: TempDir) -> Ours {
        let store = Store::open(config(&dir)).unwrap();
        store.handle().leadership().wait_for(|now| now.is_leader).await.unwrap();
        let (first, second) = (listener().await, listener().await);
        let endpoint = format!("http://{}", first.local_addr().unwrap());
        let info = ServerInfo {
            name: "mole".to_owned(),
            client_urls: vec![endpoint.clone(), "http://192.0.2.1:2379".to_owned()],
            peer_urls: vec![],
            others: None,
        };
        let server = Server::new(store.handle(), info);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let shutdown = async { stopped.await.unwrap_or(()) };
            server.serve(vec![first, second], shutdown).await.unwrap();
        });
        let clients = Clients::new(&endpoint);
        Ours { endpoint, clients, store, stop, serving, dir }
    }

    /// Tells the server to end and waits until it has.
    pub(crate) async fn end(self) {
        drop(self.close().await);
    }

    async fn close(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
        self.store.shutdown();
        self.dir
    }
}

fn config(dir: &TempDir) -> StoreConfig {
    StoreConfig::new(dir.path().join("store"), ClusterId(0xc1), MemberId(0xa7))
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
