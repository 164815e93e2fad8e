//! Links, addresses and routes: the few kinds of rtnetlink(7) message that are needed.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::netdevice::name_to_index;

use crate::message::{Message, find, text, word};
use crate::socket::Socket;

/// `VETH_INFO_PEER` of linux/veth.h.
const VETH_INFO_PEER: u16 = 1;
/// `IN6_ADDR_GEN_MODE_NONE` and its attribute, of linux/if_link.h.
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
/// `IFLA_BRPORT_MODE` of linux/if_link.h: whether a bridge sends a frame back where it came from.
const IFLA_BRPORT_MODE: u16 = 4;
/// struct ifinfomsg and struct rtmsg.
const LINK_HEADER_BYTES: usize = 16;
const ROUTE_HEADER_BYTES: usize = 12;
/// struct ifaddrmsg.
const ADDRESS_HEADER_BYTES: usize = 8;
/// `RTA_TABLE`: the number of a table beyond 255.
const RTA_TABLE: u16 = 15;
/// The routes that the kernel makes for its own addresses.
const LOCAL_TABLE: u32 = 255;

/// Where an end of a cable is made.
#[derive(Debug, Clone, Copy)]
pub enum Namespace<'a> {
    /// The namespace of the socket.
    Own,
    OfProcess(i32),
    /// An open file of a namespace.
    Open(BorrowedFd<'a>),
}

/// An end of a cable to be made.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub name: &'a str,
    pub mac: [u8; 6],
    pub namespace: Namespace<'a>,
    /// The bridge it is plugged into.
    pub bridge: Option<u32>,
    /// The longest packet; the kernel's own default if none is told.
    pub mtu: Option<u32>,
}

impl<'a> End<'a> {
    /// An end with nothing special, in the namespace of the socket.
    pub fn new(name: &'a str, mac: [u8; 6]) -> End<'a> {
        End { name, mac, namespace: Namespace::Own, bridge: None, mtu: None }
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub group: u32,
    /// `bridge`, `veth`...; `None` for hardware and the loopback device.
    pub kind: Option<String>,
    pub is_up: bool,
}

/// A route to a part of the network, other than those of the kernel's own addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: IpAddr,
    pub prefix: u8,
    /// The interface it leaves by, if it is one.
    pub interface: Option<u32>,
}

/// A socket to the links, addresses and routes of a network namespace.
#[derive(Debug)]
pub struct RouteSocket {
    socket: Socket,
}

impl RouteSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<RouteSocket> {
        Ok(RouteSocket { socket: Socket::open(None)? })
    }

    /// Makes a cable with two ends.
    pub fn make_cable(&self, ours: End<'_>, theirs: End<'_>) -> io::Result<()> {
        let mut message = new_link();
        end(&mut message, ours);
        message.nest(libc::IFLA_LINKINFO, |info| {
            info.attribute(libc::IFLA_INFO_KIND, b"veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| {
                    link_header(peer, 0, 0, 0);
                    end(peer, theirs);
                });
            });
        });
        self.socket.ask(message)
    }

    /// Makes a bridge, in a group of interfaces by which packet filters may know it.
    pub fn make_bridge(&self, name: &str, mac: [u8; 6], group: u32) -> io::Result<()> {
        let mut message = new_link();
        message.text(libc::IFLA_IFNAME, name);
        message.attribute(libc::IFLA_ADDRESS, &mac);
        message.attribute(libc::IFLA_GROUP, &group.to_ne_bytes());
        message.nest(libc::IFLA_LINKINFO, |info| info.attribute(libc::IFLA_INFO_KIND, b"bridge"));
        self.socket.ask(message)
    }

    pub fn index(&self, name: &str) -> io::Result<u32> {
        Ok(name_to_index(self.socket.descriptor(), name)?)
    }

    /// Switches an interface on or off.
    pub fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        let flags = if up { libc::IFF_UP } else { 0 } as u32;
        self.socket.ask(link(libc::RTM_NEWLINK, 0, index, flags, libc::IFF_UP as u32))
    }

    /// Makes an interface a mere hole for frames: the kernel behind it answers no ARP and makes
    /// itself no address.
    pub fn set_silent(&self, index: u32) -> io::Result<()> {
        let noarp = libc::IFF_NOARP as u32;
        self.socket.ask(link(libc::RTM_NEWLINK, 0, index, noarp, noarp))?;
        self.set_no_own_address(index);
        Ok(())
    }

    /// Keeps the kernel from making itself an IPv6 address, which sends frames nobody asked for.
    pub fn set_no_own_address(&self, index: u32) {
        let mut message = link(libc::RTM_NEWLINK, 0, index, 0, 0);
        message.nest(libc::IFLA_AF_SPEC, |families| {
            families.nest(libc::AF_INET6 as u16, |inet6| {
                inet6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]);
            });
        });
        // A kernel without IPv6 refuses, and does not need it.
        drop(self.socket.ask(message));
    }

    /// Lets the bridge of a plugged-in end send a frame back to the end it came from.
    pub fn set_hairpin(&self, index: u32) -> io::Result<()> {
        let mut message = link(libc::RTM_NEWLINK, 0, index, 0, 0);
        message.nest(libc::IFLA_LINKINFO, |info| {
            info.attribute(libc::IFLA_INFO_SLAVE_KIND, b"bridge");
            info.nest(libc::IFLA_INFO_SLAVE_DATA, |port| port.attribute(IFLA_BRPORT_MODE, &[1]));
        });
        self.socket.ask(message)
    }

    /// Gives an interface an address.
    pub fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        message.push(&[family(address), prefix, 0, 0]);
        message.push(&index.to_ne_bytes());
        message.attribute(libc::IFA_LOCAL, &octets(address));
        message.attribute(libc::IFA_ADDRESS, &octets(address));
        self.socket.ask(message)
    }

    /// Sends what has no other route to a gateway.
    pub fn add_default_route(&self, gateway: IpAddr, index: u32) -> io::Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut message = Message::new(libc::RTM_NEWROUTE, flags);
        // struct rtmsg: family, lengths of destination and source, type of service, table,
        // protocol, scope, type, flags.
        let (table, protocol) = (libc::RT_TABLE_MAIN, libc::RTPROT_STATIC);
        message.push(&[family(gateway), 0, 0, 0, table, protocol, 0, libc::RTN_UNICAST]);
        message.push(&[0; 4]);
        message.attribute(libc::RTA_GATEWAY, &octets(gateway));
        message.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.socket.ask(message)
    }

    /// Takes an interface away, and the other end of its cable with it.
    pub fn delete(&self, index: u32) -> io::Result<()> {
        self.socket.ask(link(libc::RTM_DELLINK, 0, index, 0, 0))
    }

    pub fn links(&self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        let request = link(libc::RTM_GETLINK, libc::NLM_F_DUMP, 0, 0, 0);
        self.socket.list(request, |message| links.extend(read_link(message.payload)))?;
        Ok(links)
    }

    /// Returns the IPv4 addresses of all interfaces.
    pub fn addresses(&self) -> io::Result<BTreeSet<Ipv4Addr>> {
        let mut addresses = BTreeSet::new();
        let mut request = Message::new(libc::RTM_GETADDR, libc::NLM_F_DUMP);
        request.push(&[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0]);
        self.socket.list(request, |message| {
            let attributes = message.payload.get(ADDRESS_HEADER_BYTES..).unwrap_or_default();
            let local = find(attributes, libc::IFA_LOCAL).map(<[u8; 4]>::try_from);
            addresses.extend(local.and_then(Result::ok).map(Ipv4Addr::from));
        })?;
        Ok(addresses)
    }

    /// Returns the routes of one family's tables, without the default ones.
    pub fn routes(&self, v6: bool) -> io::Result<Vec<Route>> {
        let mut routes = Vec::new();
        let mut request = Message::new(libc::RTM_GETROUTE, libc::NLM_F_DUMP);
        let mut header = [0; ROUTE_HEADER_BYTES];
        header[0] = if v6 { libc::AF_INET6 } else { libc::AF_INET } as u8;
        request.push(&header);
        self.socket.list(request, |message| routes.extend(read_route(message.payload)))?;
        Ok(routes)
    }
}

fn new_link() -> Message {
    link(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, 0, 0, 0)
}

fn link(kind: u16, flags: i32, index: u32, values: u32, change: u32) -> Message {
    let mut message = Message::new(kind, flags);
    link_header(&mut message, index, values, change);
    message
}

/// struct ifinfomsg: family and type (both unspecified), index, flags, mask of flags.
fn link_header(message: &mut Message, index: u32, values: u32, change: u32) {
    message.push(&[0; 4]);
    for word in [index, values, change] {
        message.push(&word.to_ne_bytes());
    }
}

fn end(message: &mut Message, end: End<'_>) {
    message.text(libc::IFLA_IFNAME, end.name);
    message.attribute(libc::IFLA_ADDRESS, &end.mac);
    match end.namespace {
        Namespace::Own => {}
        Namespace::OfProcess(pid) => {
            message.attribute(libc::IFLA_NET_NS_PID, &pid.to_ne_bytes());
        }
        Namespace::Open(file) => {
            message.attribute(libc::IFLA_NET_NS_FD, &file.as_raw_fd().to_ne_bytes());
        }
    }
    if let Some(bridge) = end.bridge {
        message.attribute(libc::IFLA_MASTER, &bridge.to_ne_bytes());
    }
    if let Some(mtu) = end.mtu {
        message.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
    }
}

fn read_link(payload: &[u8]) -> Option<Link> {
    let attributes = payload.get(LINK_HEADER_BYTES..)?;
    let info = find(attributes, libc::IFLA_LINKINFO);
    Some(Link {
        index: word(payload, 4)?,
        name: text(find(attributes, libc::IFLA_IFNAME)?),
        group: find(attributes, libc::IFLA_GROUP).and_then(|it| word(it, 0)).unwrap_or(0),
        kind: info.and_then(|info| find(info, libc::IFLA_INFO_KIND)).map(text),
        is_up: word(payload, 8)? & libc::IFF_UP as u32 != 0,
    })
}

fn read_route(payload: &[u8]) -> Option<Route> {
    let attributes = payload.get(ROUTE_HEADER_BYTES..)?;
    let table = find(attributes, RTA_TABLE).and_then(|it| word(it, 0));
    let table = table.unwrap_or(u32::from(payload[4]));
    let (prefix, kind) = (payload[1], payload[7]);
    if table == LOCAL_TABLE || kind != libc::RTN_UNICAST || prefix == 0 {
        return None;
    }
    let destination = find(attributes, libc::RTA_DST)?;
    let destination = <[u8; 4]>::try_from(destination)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(destination).map(IpAddr::from))
        .ok()?;
    let interface = find(attributes, libc::RTA_OIF).and_then(|it| word(it, 0));
    Some(Route { destination, prefix, interface })
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
