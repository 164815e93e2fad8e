//! An answer of the resolver as a whole packet (RFC 791, RFC 768): it comes from the address and
//! port that were asked, where no socket of the companion is.

use std::net::SocketAddrV4;

const IP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
/// Version 4, and a header of five words.
const VERSION_AND_LENGTH: u8 = 0x45;
/// It goes over the loopback only.
const TIME_TO_LIVE: u8 = 64;
/// What a packet holds at most.
pub(super) const DATA_BYTES_MAX: usize = 65_535 - IP_HEADER_BYTES - UDP_HEADER_BYTES;

/// Returns the packet, with the checksum of its header left to the kernel (raw(7)). A datagram
/// over IPv4 needs no checksum of its own, and memory needs none at all.
pub(super) fn packet(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let data = &data[..data.len().min(DATA_BYTES_MAX)];
    let udp_length = (UDP_HEADER_BYTES + data.len()) as u16;
    let length = (IP_HEADER_BYTES + UDP_HEADER_BYTES + data.len()) as u16;
    let mut packet = vec![VERSION_AND_LENGTH, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, TIME_TO_LIVE, libc::IPPROTO_UDP as u8, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(data);
    packet
}
