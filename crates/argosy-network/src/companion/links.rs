//! The cables of a container: one end on each network's bridge, the other inside.

use std::io;
use std::net::Ipv4Addr;

use argosy_netlink::{End, Namespace, RouteSocket};

use super::namespaces::Namespaces;
use crate::error::CompanionError;
use crate::files::Lock;
use crate::networks::make_bridge;
use crate::{CompanionRequest, Endpoint, NetworkError, texts};

/// Lays all cables of a container and gives it its addresses and its way out. If one cannot be
/// laid, none stays.
pub(super) fn lay(
    request: &CompanionRequest,
    namespaces: &Namespaces,
    publishes: bool,
) -> Result<(), CompanionError> {
    let laid = (|| {
        let socket = RouteSocket::open().map_err(NetworkError::system("open a netlink socket"))?;
        for endpoint in &request.endpoints {
            let lock = Lock::take(&request.run_dir)?;
            let bridge = make_bridge(&socket, endpoint)?;
            drop(lock);
            plug(&socket, bridge, endpoint, namespaces, publishes)?;
        }
        let outside = texts::outside(&request.endpoints);
        namespaces
            .inside(|| set_up(&request.endpoints, outside.map(|it| it.gateway)))
            .map_err(|source| CompanionError::Inside { action: "set up the interfaces", source })
    })();
    if laid.is_err() {
        take_away(&request.endpoints);
    }
    laid
}

/// Removes the cables of a container whose namespace may live on.
pub(super) fn take_away(endpoints: &[Endpoint]) {
    if let Ok(socket) = RouteSocket::open() {
        for endpoint in endpoints {
            // One that was not laid cannot be removed.
            drop(remove(&socket, &name(endpoint.address)));
        }
    }
}

fn plug(
    socket: &RouteSocket,
    bridge: u32,
    endpoint: &Endpoint,
    namespaces: &Namespaces,
    publishes: bool,
) -> Result<(), NetworkError> {
    let name = name(endpoint.address);
    let mut ours = End::new(&name, outer_mac(endpoint));
    (ours.bridge, ours.mtu) = (Some(bridge), endpoint.mtu);
    let mut theirs = End::new(&endpoint.interface, endpoint.mac.0);
    (theirs.namespace, theirs.mtu) = (Namespace::Open(namespaces.container()), endpoint.mtu);
    let failed = |action| NetworkError::device(action, &name);
    match socket.make_cable(ours, theirs) {
        // The namespace of whoever had the address before is not quite gone. Whoever has the
        // reservation has the name.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            remove(socket, &name).map_err(failed("remove the old cable"))?;
            socket.make_cable(ours, theirs)
        }
        other => other,
    }
    .map_err(failed("make the cable"))?;
    let index = socket.index(&name).map_err(failed("find the cable"))?;
    socket.set_no_own_address(index);
    if publishes {
        // A container that reaches its own published port gets its own frames, if the packet
        // filter sees what bridges carry.
        socket.set_hairpin(index).map_err(failed("plug in the cable"))?;
    }
    socket.set_up(index, true).map_err(failed("switch on the cable"))
}

fn remove(socket: &RouteSocket, name: &str) -> io::Result<()> {
    match socket.index(name).and_then(|index| socket.delete(index)) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}

/// Inside the container's namespace.
fn set_up(endpoints: &[Endpoint], gateway: Option<Ipv4Addr>) -> io::Result<()> {
    let socket = RouteSocket::open()?;
    socket.set_up(socket.index("lo")?, true)?;
    for endpoint in endpoints {
        let index = socket.index(&endpoint.interface)?;
        socket.set_no_own_address(index);
        socket.add_address(index, endpoint.address.into(), endpoint.prefix)?;
        socket.set_up(index, true)?;
        if gateway == Some(endpoint.gateway) {
            socket.add_default_route(endpoint.gateway.into(), index)?;
        }
    }
    Ok(())
}

/// The name of the machine's end: an address is given once on a machine.
pub(super) fn name(address: Ipv4Addr) -> String {
    format!("agv{:08x}", u32::from(address))
}

/// The machine's end has an address of its own, which nobody ever uses.
fn outer_mac(endpoint: &Endpoint) -> [u8; 6] {
    let [a, b, c, d] = endpoint.address.octets();
    [0x02, 0x62, a, b, c, d]
}
