//! Connections that the kernel remembers, and how to make it forget some (ctnetlink).

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::NETFILTER;

use crate::message::{Message, NESTED, find};
use crate::socket::Socket;

/// `NFNL_SUBSYS_CTNETLINK`, in the upper byte of each message's kind.
const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = 1;
const DELETE: u16 = 2;
/// struct nfgenmsg: family, version, resource.
const HEADER: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];
/// Attributes: of a connection, of a direction of it, of its addresses, and of its protocol.
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_DST: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;

/// A socket to the connections of a network namespace.
#[derive(Debug)]
pub struct Connections {
    socket: Socket,
}

impl Connections {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Connections> {
        Ok(Connections { socket: Socket::open(Some(NETFILTER))? })
    }

    /// Makes the kernel forget to where it sent the datagrams for some addresses and ports: the
    /// next one of each peer is looked at as if it were the first. Returns how many it forgot.
    pub fn forget_datagrams(&self, is_for: impl Fn(Ipv4Addr, u16) -> bool) -> io::Result<usize> {
        let mut found = Vec::new();
        let mut request = Message::new(SUBSYSTEM | GET, libc::NLM_F_DUMP);
        request.push(&HEADER);
        self.socket.list(request, |message| {
            let attributes = message.payload.get(HEADER.len()..).unwrap_or_default();
            let meant = find(attributes, CTA_TUPLE_ORIG).and_then(|it| Some((it, meant(it)?)));
            if let Some((tuple, (address, port))) = meant
                && is_for(address, port)
            {
                let zone = find(attributes, CTA_ZONE).map(<[u8]>::to_vec);
                found.push((tuple.to_vec(), zone));
            }
        })?;
        let mut forgotten = 0;
        for (tuple, zone) in found {
            let mut request = Message::new(SUBSYSTEM | DELETE, 0);
            request.push(&HEADER);
            request.attribute(CTA_TUPLE_ORIG | NESTED, &tuple);
            if let Some(zone) = zone {
                request.attribute(CTA_ZONE, &zone);
            }
            match self.socket.ask(request) {
                Ok(()) => forgotten += 1,
                // It was forgotten in the meantime.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(forgotten)
    }
}

/// Where a datagram was sent to, by whoever sent it.
fn meant(tuple: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let protocol = find(tuple, CTA_TUPLE_PROTO)?;
    if find(protocol, CTA_PROTO_NUM)? != [libc::IPPROTO_UDP as u8] {
        return None;
    }
    let address: [u8; 4] = find(find(tuple, CTA_TUPLE_IP)?, CTA_IP_V4_DST)?.try_into().ok()?;
    let port: [u8; 2] = find(protocol, CTA_PROTO_DST_PORT)?.try_into().ok()?;
    Some((address.into(), u16::from_be_bytes(port)))
}
