//! How traffic reaches a unit: its endpoints, and where they are published.

use std::fmt;

/// What is spoken at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointProtocol {
    /// HTTP/1.1: requests are balanced one by one.
    Http,
    /// TCP: connections are balanced one by one.
    Tcp,
}

impl EndpointProtocol {
    /// Every protocol with its word.
    pub const ALL: [(&str, EndpointProtocol); 2] =
        [("http", EndpointProtocol::Http), ("tcp", EndpointProtocol::Tcp)];

    /// Returns the word used in unit files, JSON and stored records.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointProtocol::Http => "http",
            EndpointProtocol::Tcp => "tcp",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<EndpointProtocol> {
        Self::ALL.iter().find(|(word, _)| *word == text).map(|(_, protocol)| *protocol)
    }
}

impl fmt::Display for EndpointProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `Endpoint=NAME:PORT/PROTO`: a port on which the unit answers for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The service.
    pub service: String,
    /// The port; `None` for one that the cluster chooses (`auto`).
    pub port: Option<u16>,
    /// What is spoken there.
    pub protocol: EndpointProtocol,
}

/// `Publish=PORT [NAME]`: the port of every machine on which a service is reachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The port.
    pub port: u16,
    /// The service: one of the unit's endpoints.
    pub service: String,
    /// What is spoken there.
    pub protocol: EndpointProtocol,
}

/// How a unit is asked whether it is well, beside being ready.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HealthCheck {
    /// A TCP connection that opens is a good answer.
    Tcp,
    /// A GET of this path whose status is 2xx or 3xx is a good answer.
    Http(String),
}

impl HealthCheck {
    /// What stands before the path of an HTTP check.
    const HTTP: &'static str = "http:";

    /// Reads what `Display` writes: `tcp` or `http:/PATH`.
    pub fn parse(text: &str) -> Option<HealthCheck> {
        match text.strip_prefix(Self::HTTP) {
            Some(path) if path.starts_with('/') => Some(HealthCheck::Http(path.to_owned())),
            Some(_) => None,
            None => (text == "tcp").then_some(HealthCheck::Tcp),
        }
    }
}

impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthCheck::Tcp => f.pad("tcp"),
            HealthCheck::Http(path) => write!(f, "{}{path}", Self::HTTP),
        }
    }
}

/// Everything a unit file says of traffic to the unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// `Endpoint=`, in the order of the file; each service once.
    pub endpoints: Vec<EndpointSpec>,
    /// `Publish=`, each port once.
    pub publish: Vec<Publish>,
    /// `HealthCheck=`; `None`: a connection, and only of units that do not say when they are ready.
    pub health_check: Option<HealthCheck>,
}

impl Traffic {
    /// Returns how one of the endpoints is checked: an HTTP check asks the first HTTP endpoint,
    /// the others are connected to.
    pub fn check_of(&self, endpoint: &EndpointSpec) -> HealthCheck {
        let first = self.endpoints.iter().find(|one| one.protocol == EndpointProtocol::Http);
        match &self.health_check {
            Some(check) if first == Some(endpoint) => check.clone(),
            Some(_) | None => HealthCheck::Tcp,
        }
    }
}
