//! What a running proxy tells about itself.

use std::net::SocketAddr;

use argosy_model::{Epoch, MachineId};

use crate::Protocol;

/// What a proxy does right now, and has done since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyStatus {
    /// The generation of the table it follows.
    pub generation: u64,
    /// The generation that every worker follows.
    pub acknowledged: u64,
    /// Its listeners, as configured.
    pub listeners: Vec<ListenerStatus>,
    /// The services of its table, by name.
    pub services: Vec<ServiceStatus>,
}

/// A listener's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// Which service it leads to.
    pub service: String,
    /// Connections accepted.
    pub accepted: u64,
    /// Client connections open now.
    pub open: u64,
    /// Requests taken (HTTP).
    pub requests: u64,
    /// Requests or connections refused for what they are, before any endpoint was asked.
    pub refused: u64,
    /// Requests or connections that no endpoint could answer (502, 503, 504).
    pub failed: u64,
    /// Tries beyond a request's or connection's first.
    pub retries: u64,
}

/// A service of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Its endpoints, by instance; withdrawn ones are shown while something still runs there.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// The instance.
    pub instance: String,
    /// Its machine.
    pub machine: MachineId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Where it answers.
    pub address: SocketAddr,
    /// Requests or connections handed to it.
    pub requests: u64,
    /// Those that it failed: no connection, no response, or a response cut short.
    pub failures: u64,
    /// Those that run now.
    pub outstanding: u64,
    /// Whether it is given new ones.
    pub state: EndpointState,
}

/// Whether an endpoint is given new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// It is.
    Ready,
    /// It is left out for a while, because it failed several times in a row.
    Ejected,
    /// It is left out, because its checks fail.
    Unhealthy,
    /// It is withdrawn; what runs there may finish.
    Draining,
}
