//! The switch's hands: moves frames between packet sockets as [`Network`] decides.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::init::INTERFACE;
use crate::netlink::{End, Netlink};
use crate::network::{
    ARP_REPLY_BYTES, DelayLine, HOST_PORT, Network, Offer, PREFIX, Port, Route, mac,
};
use crate::sys;

/// The virtio network header that stands before each frame (packet(7), `PACKET_VNET_HDR`).
const VNET_HEADER_BYTES: usize = 10;
/// The longest frame: a segment of 64 KiB that is cut up only by a real network card, with its
/// headers.
const FRAME_BYTES_MAX: usize = 64 * 1024 + 256;
/// Frames taken from one port before the others have their turn.
const TURN_FRAMES: usize = 64;
/// What a port may hold that was not taken yet: some tens of the longest frames, so that a burst
/// outlives one turn of the others.
const RECEIVE_BYTES: i32 = 4 * 1024 * 1024;
/// The name of the host's own end.
const HOST_INTERFACE: &str = "host0";

#[derive(Debug)]
struct Attached {
    socket: OwnedFd,
    index: u32,
}

/// All ports with their sockets, the faults, and the frames on their way.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) network: Network,
    netlink: Netlink,
    attached: BTreeMap<Port, Attached>,
    line: DelayLine,
    buffer: Vec<u8>,
}

impl Relay {
    /// Begins with the host's port, in this process's network namespace.
    pub(super) fn new(seed: u64) -> io::Result<Relay> {
        let mut relay = Relay {
            network: Network::new(seed),
            netlink: Netlink::open()?,
            attached: BTreeMap::new(),
            line: DelayLine::default(),
            buffer: vec![0; VNET_HEADER_BYTES + FRAME_BYTES_MAX],
        };
        let end = End { name: HOST_INTERFACE, mac: mac(HOST_PORT), namespace_of: None };
        relay.attach(HOST_PORT, end)?;
        let index = relay.netlink.index(HOST_INTERFACE)?;
        relay.netlink.set_no_own_address(index);
        relay.netlink.add_address(index, address(HOST_PORT))?;
        relay.netlink.set_up(index, true)?;
        relay.netlink.set_up(relay.netlink.index("lo")?, true)?;
        Ok(relay)
    }

    /// Lays a cable to a machine, into the network namespace of its init.
    pub(super) fn attach_machine(&mut self, port: Port, init: i32) -> io::Result<()> {
        let end = End { name: INTERFACE, mac: mac(port), namespace_of: Some(init) };
        self.attach(port, end)
    }

    fn attach(&mut self, port: Port, theirs: End<'_>) -> io::Result<()> {
        let name = format!("port{port}");
        // Its address is never used: what the machine sends is for others.
        let ours = End { name: &name, mac: [0x02, 0x78, 0, 0, 0, port], namespace_of: None };
        self.netlink.make_cable(ours, theirs)?;
        let index = self.netlink.index(&name)?;
        self.netlink.set_silent(index)?;
        let socket = sys::packet_socket(index, RECEIVE_BYTES)?;
        self.network.add(port);
        self.netlink.set_up(index, self.network.is_plugged(port))?;
        self.attached.insert(port, Attached { socket, index });
        Ok(())
    }

    /// Takes a machine's cable away, with what is on its way to it.
    pub(super) fn detach(&mut self, port: Port) -> io::Result<()> {
        self.line.forget(port);
        let Some(attached) = self.attached.remove(&port) else { return Ok(()) };
        match self.netlink.delete(attached.index) {
            // The machine's namespace took it with it.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Lets nothing pass from or to a port any more, at once; its cable stays up.
    pub(super) fn silence(&mut self, port: Port) {
        self.line.forget(port);
        if let Some(attached) = self.attached.get(&port) {
            // A machine that cannot be silenced is about to lose the cable anyhow.
            drop(self.netlink.set_up(attached.index, false));
        }
    }

    /// Plugs a machine's cable in or out.
    pub(super) fn plug(&mut self, port: Port, plugged: bool) -> io::Result<()> {
        self.network.plug(port, plugged);
        match self.attached.get(&port) {
            Some(attached) => self.netlink.set_up(attached.index, plugged),
            None => Ok(()),
        }
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) -> io::Result<()> {
        self.network.heal();
        self.attached.values().try_for_each(|it| self.netlink.set_up(it.index, true))
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = (Port, BorrowedFd<'_>)> {
        self.attached.iter().map(|(port, it)| (*port, it.socket.as_fd()))
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.line.next_due()
    }

    /// Sends what waited long enough.
    pub(super) fn send_due(&mut self, now: Duration) {
        while let Some((from, to, bytes)) = self.line.pop(now) {
            if self.network.is_open(from, to) {
                deliver(&mut self.network, &self.attached, from, to, &bytes);
            } else {
                self.network.cut_off(from);
            }
        }
    }

    /// Takes the frames that came in at a port, a turn's worth of them.
    pub(super) fn take_frames(&mut self, port: Port, now: Duration) {
        for _ in 0..TURN_FRAMES {
            let Some(attached) = self.attached.get(&port) else { return };
            // An error is either "nothing more" or "the interface is gone", which its machine's
            // end will tell.
            let Ok((length, _)) = recv(&attached.socket, &mut *self.buffer, RecvFlags::empty())
            else {
                return;
            };
            let packet = &self.buffer[..length];
            let Some(frame) = packet.get(VNET_HEADER_BYTES..) else { continue };
            match self.network.route(port, frame) {
                Route::Answer(reply) => {
                    let mut packet = [0; VNET_HEADER_BYTES + ARP_REPLY_BYTES];
                    packet[VNET_HEADER_BYTES..].copy_from_slice(&reply);
                    // The machine asks again if it does not arrive.
                    let _lost = send(&attached.socket, &packet, SendFlags::empty());
                }
                Route::Carry(copies) => {
                    for (to, delay) in copies {
                        match self.line.offer((port, to), now, delay, packet) {
                            Offer::Kept => {}
                            Offer::Full => self.network.overflowed(to),
                            Offer::SendNow => {
                                deliver(&mut self.network, &self.attached, port, to, packet);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn deliver(
    network: &mut Network,
    attached: &BTreeMap<Port, Attached>,
    from: Port,
    to: Port,
    packet: &[u8],
) {
    // A machine that is down takes nothing, and nobody is told.
    let Some(target) = attached.get(&to) else { return };
    match send(&target.socket, packet, SendFlags::empty()) {
        Ok(_) => network.delivered(from),
        Err(_) => network.overflowed(to),
    }
}

/// The address of a port.
pub(super) fn address(port: Port) -> Ipv4Addr {
    let [a, b, c] = PREFIX;
    Ipv4Addr::new(a, b, c, port)
}
