//! The five kinds of rtnetlink(7) message that a testbed needs.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::netdevice::name_to_index;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// The kernel's answer to one request is far smaller.
const ANSWER_BYTES_MAX: usize = 8192;
const HEADER_BYTES: usize = 16;
/// `VETH_INFO_PEER` of linux/veth.h.
const VETH_INFO_PEER: u16 = 1;
/// `IN6_ADDR_GEN_MODE_NONE` and its attribute, of linux/if_link.h.
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;

/// A link end to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: [u8; 6],
    /// A process in whose network namespace it is made; `None` is ours.
    pub(crate) namespace_of: Option<i32>,
}

/// A socket to the kernel's routing tables of this network namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Netlink> {
        // Protocol 0 is NETLINK_ROUTE.
        let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
        Ok(Netlink { socket: socket_with(kind.0, kind.1, kind.2, None)? })
    }

    /// Makes a cable with two ends; the first end is in this namespace.
    pub(crate) fn make_cable(&self, ours: End<'_>, theirs: End<'_>) -> io::Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut message = Message::link(libc::RTM_NEWLINK, flags, 0, 0, 0);
        message.end(ours);
        message.nest(libc::IFLA_LINKINFO, |info| {
            info.attribute(libc::IFLA_INFO_KIND, b"veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| {
                    peer.link_header(0, 0, 0);
                    peer.end(theirs);
                });
            });
        });
        self.ask(message)
    }

    pub(crate) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(name_to_index(&self.socket, name)?)
    }

    /// Switches an interface on or off.
    pub(crate) fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        let flags = if up { libc::IFF_UP } else { 0 } as u32;
        self.ask(Message::link(libc::RTM_NEWLINK, 0, index, flags, libc::IFF_UP as u32))
    }

    /// Makes an interface a mere hole for frames: the kernel behind it answers no ARP and makes
    /// itself no address.
    pub(crate) fn set_silent(&self, index: u32) -> io::Result<()> {
        let noarp = libc::IFF_NOARP as u32;
        self.ask(Message::link(libc::RTM_NEWLINK, 0, index, noarp, noarp))?;
        self.set_no_own_address(index);
        Ok(())
    }

    /// Keeps the kernel from making itself an IPv6 address, which sends frames nobody asked for.
    pub(crate) fn set_no_own_address(&self, index: u32) {
        let mut message = Message::link(libc::RTM_NEWLINK, 0, index, 0, 0);
        message.nest(libc::IFLA_AF_SPEC, |families| {
            families.nest(libc::AF_INET6 as u16, |inet6| {
                inet6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]);
            });
        });
        // A kernel without IPv6 refuses, and does not need it.
        drop(self.ask(message));
    }

    /// Gives an interface an address in a /24.
    pub(crate) fn add_address(&self, index: u32, address: Ipv4Addr) -> io::Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut message = Message::new(libc::RTM_NEWADDR, flags);
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        message.bytes.extend([libc::AF_INET as u8, 24, 0, 0]);
        message.bytes.extend(index.to_ne_bytes());
        message.attribute(libc::IFA_LOCAL, &address.octets());
        message.attribute(libc::IFA_ADDRESS, &address.octets());
        self.ask(message)
    }

    /// Takes an interface away, and the other end of its cable with it.
    pub(crate) fn delete(&self, index: u32) -> io::Result<()> {
        self.ask(Message::link(libc::RTM_DELLINK, 0, index, 0, 0))
    }

    fn ask(&self, message: Message) -> io::Result<()> {
        send(&self.socket, &message.finish(), SendFlags::empty())?;
        let mut bytes = [0; ANSWER_BYTES_MAX];
        let (length, _) = recv(&self.socket, &mut bytes, RecvFlags::empty())?;
        // struct nlmsghdr, then struct nlmsgerr, which begins with a negative errno or 0.
        let kind = bytes.get(4..6).filter(|_| length >= HEADER_BYTES + 4);
        let is_answer = kind == Some(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        let [a, b, c, d] = [16, 17, 18, 19].map(|at| bytes[at]);
        match i32::from_ne_bytes([a, b, c, d]) {
            _ if !is_answer => Err(io::ErrorKind::InvalidData.into()),
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        }
    }
}

/// A request being written.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: i32) -> Message {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Message { bytes }
    }

    fn link(kind: u16, flags: i32, index: u32, values: u32, change: u32) -> Message {
        let mut message = Message::new(kind, flags);
        message.link_header(index, values, change);
        message
    }

    /// struct ifinfomsg: family and type (both unspecified), index, flags, mask of flags.
    fn link_header(&mut self, index: u32, values: u32, change: u32) {
        self.bytes.extend([0; 4]);
        for word in [index, values, change] {
            self.bytes.extend(word.to_ne_bytes());
        }
    }

    fn end(&mut self, end: End<'_>) {
        self.attribute(libc::IFLA_IFNAME, &[end.name.as_bytes(), b"\0"].concat());
        self.attribute(libc::IFLA_ADDRESS, &end.mac);
        if let Some(pid) = end.namespace_of {
            self.attribute(libc::IFLA_NET_NS_PID, &pid.to_ne_bytes());
        }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |message| message.bytes.extend(value));
    }

    /// An attribute with others, or plain bytes, in it: its length counts without the padding.
    fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Message)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        write(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests;
