//! What can go wrong with a network, or with a container's place in it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::Protocol;

/// Why something about networks was not done.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("bridge networks need root; --network host or none works without")]
    NeedsRoot,
    #[error("there is no network {name}")]
    NotFound { name: String },
    #[error("there is a network {name} already")]
    Exists { name: String },
    #[error("{start} begins the ids of several networks")]
    Ambiguous { start: String },
    #[error("the network {name} is made by itself and cannot be removed")]
    Default { name: String },
    #[error("the network {name} is used by {}", containers.join(", "))]
    InUse { name: String, containers: Vec<String> },
    #[error("{name:?} cannot be a network's name: letters, digits, and _.- within, at most 64")]
    BadName { name: String },
    #[error("{name:?} cannot be a container's id: letters, digits, and _.- within, at most 128")]
    BadId { name: String },
    #[error("{name:?} cannot be an interface's name: 1 to 15 letters, digits, and _.-")]
    BadInterface { name: String },
    #[error("there is an interface {name} already, and it is not a bridge of this network")]
    InterfaceTaken { name: String },
    #[error("a network has no option {key:?}; it has mtu and isolate")]
    UnknownOption { key: String },
    #[error("{value:?} is no value of the option {key}: {wanted}")]
    BadOption { key: String, value: String, wanted: &'static str },
    #[error("networks have IPv4 addresses only so far")]
    Ipv6,
    #[error("a network has one subnet so far")]
    SeveralSubnets,
    #[error("the subnet {net} has no room for containers: at most /30")]
    SubnetTooSmall { net: IpNet },
    #[error("the gateway {gateway} is no address for a machine in {net}")]
    BadGateway { gateway: IpAddr, net: IpNet },
    #[error("the range {range} is not within {net}")]
    BadRange { range: IpNet, net: IpNet },
    #[error("the subnet {net} overlaps with {other} of the network {network}")]
    OverlapsNetwork { net: IpNet, other: IpNet, network: String },
    #[error("the subnet {net} overlaps with the route to {other} of this machine")]
    OverlapsRoute { net: IpNet, other: IpNet },
    #[error("there is no free subnet left")]
    NoSubnet,
    #[error("the network {network} has no free address left")]
    NoAddress { network: String },
    #[error("{address} is no address for a container of the network {network}")]
    BadAddress { address: IpAddr, network: String },
    #[error("{address} of the network {network} is given to container {container}")]
    AddressTaken { address: IpAddr, network: String, container: String },
    #[error("the network {network} is named twice")]
    AttachedTwice { network: String },
    #[error("two interfaces of the container are called {name}")]
    InterfaceTwice { name: String },
    #[error("{text:?} is no hardware address: six bytes, 02:42:0a:58:00:02, not of a group")]
    BadMac { text: String },
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("another process holds {}, and seems to be stopped", path.display())]
    Locked { path: PathBuf },
    #[error("{} is no record of a network", path.display())]
    Record { path: PathBuf, source: serde_json::Error },
    #[error("{} is of format {format}, which this version does not know", path.display())]
    Format { path: PathBuf, format: u32 },
    #[error("cannot {action}")]
    System { action: &'static str, source: io::Error },
    #[error("cannot {action} {object}")]
    Device { action: &'static str, object: String, source: io::Error },
}

impl NetworkError {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> NetworkError {
        let path = path.into();
        move |source| NetworkError::File { action, path, source }
    }

    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
        move |source| NetworkError::System { action, source }
    }

    pub(crate) fn device(
        action: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(io::Error) -> NetworkError {
        let object = object.into();
        move |source| NetworkError::Device { action, object, source }
    }
}

/// Why a container's ports could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(
        "{text:?} is no published port: [ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/tcp|/udp]"
    )]
    Syntax { text: String },
    #[error("{text:?}: sctp is not supported, tcp and udp are")]
    Sctp { text: String },
    #[error("{text:?}: the two ranges of ports have different lengths")]
    Lengths { text: String },
    #[error("port {port}/{protocol} is in use on {address}")]
    InUse { address: IpAddr, port: u16, protocol: Protocol },
    #[error("no port from {first} to {last} is free for {protocol} on {address}")]
    NoneFree { address: IpAddr, first: u16, last: u16, protocol: Protocol },
    #[error("this machine has no address {address} to publish port {port} on")]
    NoAddress { address: IpAddr, port: u16 },
    #[error("cannot publish port {port}/{protocol} on {address}")]
    Listen { address: IpAddr, port: u16, protocol: Protocol, source: io::Error },
    #[error("{count} ports are to be published, at most {max} can be")]
    TooMany { count: usize, max: usize },
    #[error("a container that is on internal networks only cannot publish ports")]
    Internal,
}

/// Why a companion could not take up its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompanionError {
    #[error("a companion is started with the path of its request")]
    Arguments,
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(
        "cannot make the packet filter table {name}; it needs Linux 5.12 with nf_tables, NAT and fib"
    )]
    Table { name: String, source: io::Error },
    #[error(
        "cannot make the packet filter table {name} inside the container; it needs Linux 5.12 with \
         nf_tables, TPROXY and socket"
    )]
    InnerTable { name: String, source: io::Error },
    #[error("cannot {action} inside the container's network")]
    Inside { action: &'static str, source: io::Error },
}
