//! The ports of a machine that belongs to a cluster: bound together or not at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use argosy_api::{ApiError, ErrorCode};
use argosy_peer::{AccessList, ListenerLimits, PeerListener, TlsConfigs};
use tokio::net::TcpListener;

use crate::failure::chain;

/// Where a machine listens.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    /// For etcd clients.
    pub(crate) clients: Vec<SocketAddr>,
    /// The machine port, at the machine's own address.
    pub(crate) peer_port: u16,
}

/// The bound ports.
pub(crate) struct Ports {
    pub(crate) clients: Vec<TcpListener>,
    pub(crate) machines: PeerListener,
}

impl Listen {
    /// Binds every port. One that cannot be bound gives all back.
    pub(crate) async fn bind(
        &self,
        address: IpAddr,
        tls: Arc<TlsConfigs>,
        access: Arc<AccessList>,
    ) -> Result<Ports, ApiError> {
        let mut clients = Vec::new();
        for address in &self.clients {
            let listener = TcpListener::bind(address).await.map_err(|error| {
                ApiError::new(ErrorCode::Conflict, format!("cannot listen on {address}: {error}"))
                    .with_help("stop what uses the address, or choose others with --client-listen")
            })?;
            clients.push(listener);
        }
        let address = SocketAddr::new(address, self.peer_port);
        let machines = PeerListener::bind(address, tls, access, ListenerLimits::default())
            .await
            .map_err(|error| {
                ApiError::new(ErrorCode::Conflict, chain(&error)).with_help(
                    "give this machine's own address with --address, or another --peer-port",
                )
            })?;
        Ok(Ports { clients, machines })
    }

    /// Returns the client addresses as URLs.
    pub(crate) fn client_urls(&self) -> Vec<String> {
        self.clients.iter().map(|address| format!("http://{address}")).collect()
    }
}
