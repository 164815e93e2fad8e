//! What a companion is told, and what it tells: two JSON files beside each other.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Endpoint, NetworkError, Protocol, Publish, files};

/// What a companion is to do for one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanionRequest {
    pub container_id: String,
    /// That of the [`crate::Networks`] that reserved the endpoints.
    pub run_dir: PathBuf,
    /// As they were reserved.
    pub endpoints: Vec<Endpoint>,
    pub publish: Vec<Publish>,
    /// Asked instead of the networks' and the machine's own servers.
    pub dns_servers: Vec<IpAddr>,
    /// Where the machine's servers stand: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    pub store_ports: Vec<StorePort>,
}

/// A port on the container's 127.0.0.1 behind which something of the machine answers, unless a
/// program of the container listens there itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePort {
    pub port: u16,
    /// Where it is, seen from the machine.
    pub to: SocketAddr,
}

/// What a companion really did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Published {
    pub ports: Vec<PublishedPort>,
    /// Settings of the machine that were changed, as in sysctl: `net.ipv4.ip_forward=1`.
    pub changed: Vec<String>,
    /// What may keep it from working, in sentences for the user.
    pub warnings: Vec<String>,
}

/// One port that is reached through the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The address of the machine; 0.0.0.0 and `::` for all of them.
    pub address: IpAddr,
    pub port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// Returns what was really published for a request, once its companion is ready; `None` before.
pub fn published(request: &Path) -> Result<Option<Published>, NetworkError> {
    files::read(&published_path(request))
}

/// `X.json` has its answer in `X.published.json`.
pub(crate) fn published_path(request: &Path) -> PathBuf {
    request.with_extension("published.json")
}
