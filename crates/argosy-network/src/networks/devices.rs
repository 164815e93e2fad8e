//! The bridges of networks, among the interfaces of this machine.

use std::io;

use argosy_netlink::{Link, RouteSocket};

use crate::{Endpoint, Mac, Network, NetworkError};

/// The group of interfaces that all our bridges are in, and by which the packet filter knows them:
/// "argo". Nobody has to list them, and none is missed.
pub(crate) const BRIDGE_GROUP: u32 = u32::from_be_bytes(*b"argo");

/// Makes the bridge of an endpoint's network if it is missing; returns its index. Only under the
/// lock of the networks.
pub(crate) fn make_bridge(socket: &RouteSocket, endpoint: &Endpoint) -> Result<u32, NetworkError> {
    let name = &endpoint.bridge;
    let failed = |action| NetworkError::device(action, name);
    // The address of the bridge stays when ends are plugged in and out; else it would be the
    // lowest of theirs.
    let made = socket.make_bridge(name, Mac::of(endpoint.gateway).0, BRIDGE_GROUP);
    match made {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
        other => other.map_err(failed("make the bridge"))?,
    }
    let links = socket.links().map_err(NetworkError::system("list interfaces"))?;
    let link = links.into_iter().find(|link| link.name == *name);
    let link = link.filter(is_bridge_of_ours);
    let link = link.ok_or_else(|| NetworkError::InterfaceTaken { name: name.clone() })?;
    // All of this again for a bridge that is there: whoever made it may have been killed before.
    socket.set_no_own_address(link.index);
    // No IPv6 packet is taken from a container, and none is forwarded around the walls, which are of
    // IPv4. A machine without IPv6 has no such file; one whose settings cannot be changed still
    // has no address there that a container could send to.
    drop(std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1"));
    let added = socket.add_address(link.index, endpoint.gateway.into(), endpoint.prefix);
    match added {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
        other => other.map_err(failed("give the gateway's address to"))?,
    }
    if !link.is_up {
        socket.set_up(link.index, true).map_err(failed("switch on"))?;
    }
    Ok(link.index)
}

fn is_bridge_of_ours(link: &Link) -> bool {
    link.group == BRIDGE_GROUP && link.kind.as_deref() == Some("bridge")
}

/// Whether an interface is the bridge of one of these networks.
pub(super) fn is_bridge_of(link: &Link, networks: &[Network]) -> bool {
    is_bridge_of_ours(link) && networks.iter().any(|it| it.interface == link.name)
}

/// Removes the bridges of networks, as far as they are there. Only under the lock.
pub(super) fn remove_bridges(networks: &[Network]) -> Result<(), NetworkError> {
    if networks.is_empty() {
        return Ok(());
    }
    let socket = RouteSocket::open().map_err(NetworkError::system("open a netlink socket"))?;
    let links = socket.links().map_err(NetworkError::system("list interfaces"))?;
    for link in links.iter().filter(|link| is_bridge_of(link, networks)) {
        match socket.delete(link.index) {
            Err(error) if is_gone(&error) => {}
            other => other.map_err(NetworkError::device("remove the bridge", &link.name))?,
        }
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENODEV)
}
