//! The little of Ethernet (IEEE 802.3) and ARP (RFC 826) that a static switch must read.

use super::{PREFIX, Port};

/// Ethernet header and ARP packet for IPv4.
pub(crate) const ARP_REPLY_BYTES: usize = 42;
/// Both addresses and the type.
const HEADER_BYTES: usize = 14;
/// The locally administered prefix of all our addresses.
const MAC_PREFIX: [u8; 5] = [0x02, 0x77, 0, 0, 0];
/// ARP in Ethernet; hardware Ethernet, protocol IPv4, their lengths; operation request.
const ARP_REQUEST: [u8; 10] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1];

/// Where a frame is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Port(Port),
    /// Broadcast or multicast.
    All,
    Unknown,
}

/// The MAC address of a port.
pub(crate) fn mac(port: Port) -> [u8; 6] {
    let [a, b, c, d, e] = MAC_PREFIX;
    [a, b, c, d, e, port]
}

pub(crate) fn destination(frame: &[u8]) -> Destination {
    if frame.len() < HEADER_BYTES {
        Destination::Unknown
    } else if frame[0] & 1 == 1 {
        // The lowest bit of the first byte marks a group.
        Destination::All
    } else if frame[..5] == MAC_PREFIX {
        Destination::Port(frame[5])
    } else {
        Destination::Unknown
    }
}

/// The port whose address an ARP request asks for. Announcements and probes, which name the
/// sender's own address or none, ask for nothing.
pub(crate) fn asked_port(frame: &[u8]) -> Option<Port> {
    if frame.len() < ARP_REPLY_BYTES || frame[12..22] != ARP_REQUEST {
        return None;
    }
    let (sender, target) = (&frame[28..32], &frame[38..42]);
    let asks = target[..3] == PREFIX && sender[..3] == PREFIX && sender != target;
    asks.then(|| target[3])
}

/// The answer to a request of which [`asked_port`] told the port.
pub(crate) fn arp_reply(request: &[u8], port: Port) -> [u8; ARP_REPLY_BYTES] {
    let mut reply = [0; ARP_REPLY_BYTES];
    reply[..6].copy_from_slice(&request[6..12]);
    reply[6..12].copy_from_slice(&mac(port));
    reply[12..22].copy_from_slice(&ARP_REQUEST);
    // Operation: reply.
    reply[21] = 2;
    reply[22..28].copy_from_slice(&mac(port));
    reply[28..32].copy_from_slice(&request[38..42]);
    reply[32..42].copy_from_slice(&request[22..32]);
    reply
}
