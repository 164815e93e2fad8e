//! What a connection between machines is for, and its name in ALPN (RFC 7301).

use std::fmt;

/// A service of the machine-to-machine port. The number in the ALPN name is the format of what
/// follows the greeting; a new format is a new name, so that N and N-1 can serve both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A machine without a certificate asks for one. The only service without a client
    /// certificate: the server is pinned by the token.
    Join,
    /// Raft messages between store members.
    Raft,
    /// Bulk snapshots between store members.
    Snapshot,
    /// HTTP/1.1 between daemons: agent sessions, journal, operator requests.
    Http,
    /// A forwarded connection of an etcd client.
    Client,
    /// Beats and fence grants.
    Liveness,
    /// What a machine without the store is told of the registry.
    Feed,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 7] = [
        Service::Join,
        Service::Raft,
        Service::Snapshot,
        Service::Http,
        Service::Client,
        Service::Liveness,
        Service::Feed,
    ];

    /// Returns its ALPN protocol name.
    pub fn alpn(self) -> &'static str {
        match self {
            Service::Join => "argosy-join/1",
            Service::Raft => "argosy-raft/1",
            Service::Snapshot => "argosy-snapshot/1",
            Service::Http => "argosy-http/1",
            Service::Client => "argosy-client/1",
            Service::Liveness => "argosy-liveness/1",
            Service::Feed => "argosy-feed/1",
        }
    }

    /// Finds the service of an ALPN protocol name.
    pub fn from_alpn(name: &[u8]) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.alpn().as_bytes() == name)
    }

    /// Whether only members of the store, learners included, may use it.
    pub fn is_for_store_members(self) -> bool {
        match self {
            Service::Raft | Service::Snapshot => true,
            Service::Join | Service::Http | Service::Client | Service::Liveness | Service::Feed => {
                false
            }
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.alpn())
    }
}
