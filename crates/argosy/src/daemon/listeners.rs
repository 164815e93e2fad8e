//! The ports of a machine that belongs to a cluster: bound together or not at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use argosy_api::{ApiError, ErrorCode};
use argosy_peer::{AccessList, ListenerLimits, PeerListener, TlsConfigs};
use tokio::net::TcpListener;

/// Where a machine listens.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    /// For etcd clients.
    pub(crate) clients: Vec<SocketAddr>,
    /// The machine port, at the machine's own address.
    pub(crate) peer_port: u16,
}

/// The bound ports, which nobody serves yet.
pub(crate) struct Opened {
    clients: Vec<TcpListener>,
    machines: TcpListener,
}

impl Opened {
    /// Has the machine port speak with those that `access` names.
    pub(crate) fn serve(self, tls: Arc<TlsConfigs>, access: Arc<AccessList>) -> Ports {
        let limits = ListenerLimits::default();
        let machines = PeerListener::new(self.machines, tls, access, limits);
        Ports { clients: self.clients, machines }
    }
}

/// The served ports.
pub(crate) struct Ports {
    pub(crate) clients: Vec<TcpListener>,
    pub(crate) machines: PeerListener,
}

impl Listen {
    /// Binds every port. One that cannot be bound gives all back.
    pub(crate) async fn bind(&self, address: IpAddr) -> Result<Opened, ApiError> {
        let mut clients = Vec::new();
        for address in &self.clients {
            let help = "stop what uses the address, or choose others with --client-listen";
            clients.push(listen(*address, help).await?);
        }
        let address = SocketAddr::new(address, self.peer_port);
        let help = "give this machine's own address with --address, or another --peer-port";
        Ok(Opened { clients, machines: listen(address, help).await? })
    }

    /// Returns the client addresses as URLs.
    pub(crate) fn client_urls(&self) -> Vec<String> {
        self.clients.iter().map(|address| format!("http://{address}")).collect()
    }
}

async fn listen(address: SocketAddr, help: &str) -> Result<TcpListener, ApiError> {
    TcpListener::bind(address).await.map_err(|error| {
        ApiError::new(ErrorCode::Conflict, format!("cannot listen on {address}: {error}"))
            .with_help(help)
    })
}

/// Some address of elsewhere: no packet goes there (RFC 5737, RFC 3849).
const ELSEWHERE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// Returns the address from which this machine speaks with others: the one of its default route,
/// or that of the loopback device if it has none.
pub(crate) fn own_address() -> IpAddr {
    let found = ELSEWHERE.into_iter().find_map(own_address_towards);
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Returns the address from which this machine speaks with `other`, if it has a way there.
pub(crate) fn own_address_towards(other: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match other {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Connecting a datagram socket sends nothing: it only looks for the route (udp(7)).
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(other).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_oneself_is_over_the_loopback_device() {
        let found = own_address_towards("127.0.0.1:9".parse().unwrap());
        assert_eq!(found, Some(Ipv4Addr::LOCALHOST.into()));
    }
}
