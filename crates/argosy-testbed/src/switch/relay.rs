//! The switch's network: cables to machines, and the thread that carries frames between them.
//!
//! Laying, cutting and closing a cable makes the kernel wait for all its processors, tens of
//! milliseconds at times. All of that happens outside the carrier's lock, so that one machine's
//! end delays no frame of another.

mod carrier;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use argosy_netlink::{End, Namespace, RouteSocket};

use crate::init::INTERFACE;
use crate::network::{Delay, HOST_PORT, PREFIX, PREFIX_BITS, Port, mac};
use crate::{Counters, sys};

use carrier::Carrier;

/// What a port may hold that was not taken yet: some tens of the longest frames, so that a burst
/// outlives one turn of the others.
const RECEIVE_BYTES: i32 = 4 * 1024 * 1024;
/// The name of the host's own end.
const HOST_INTERFACE: &str = "host0";
/// How often it is looked whether the carrier has let go of a socket, which takes it one turn.
const LET_GO_INTERVAL: Duration = Duration::from_micros(200);

/// A machine's cable, as its interface here and the socket that takes and gives its frames.
#[derive(Debug)]
struct Cable {
    index: u32,
    socket: Arc<OwnedFd>,
}

/// All cables, and the carrier with the faults and the frames on their way.
#[derive(Debug)]
pub(super) struct Relay {
    netlink: RouteSocket,
    cables: BTreeMap<Port, Cable>,
    carrier: Arc<Carrier>,
}

impl Relay {
    /// Begins with the host's port, in this process's network namespace.
    pub(super) fn new(seed: u64) -> io::Result<Relay> {
        let carrier = Carrier::start(seed)?;
        let mut relay = Relay { netlink: RouteSocket::open()?, cables: BTreeMap::new(), carrier };
        relay.attach(HOST_PORT, End::new(HOST_INTERFACE, mac(HOST_PORT)))?;
        let index = relay.netlink.index(HOST_INTERFACE)?;
        relay.netlink.set_no_own_address(index);
        relay.netlink.add_address(index, address(HOST_PORT).into(), PREFIX_BITS)?;
        relay.netlink.set_up(index, true)?;
        relay.netlink.set_up(relay.netlink.index("lo")?, true)?;
        Ok(relay)
    }

    /// Lays a cable to a machine, into the network namespace of its init.
    pub(super) fn attach_machine(&mut self, port: Port, init: i32) -> io::Result<()> {
        let namespace = Namespace::OfProcess(init);
        let end = End { namespace, ..End::new(INTERFACE, mac(port)) };
        self.attach(port, end)
    }

    fn attach(&mut self, port: Port, theirs: End<'_>) -> io::Result<()> {
        let name = format!("port{port}");
        // Its address is never used: what the machine sends is for others.
        let ours = End::new(&name, [0x02, 0x78, 0, 0, 0, port]);
        self.netlink.make_cable(ours, theirs)?;
        let index = self.netlink.index(&name)?;
        self.netlink.set_silent(index)?;
        let socket = Arc::new(sys::packet_socket(index, RECEIVE_BYTES)?);
        let plugged = self.carrier.attach(port, socket.clone());
        self.cables.insert(port, Cable { index, socket });
        self.netlink.set_up(index, plugged)
    }

    /// Carries nothing from or to a port any more, from this moment on.
    pub(super) fn silence(&self, port: Port) {
        self.carrier.detach(port);
    }

    /// Takes a machine's cable away, with what is on its way to it.
    pub(super) fn detach(&mut self, port: Port) -> io::Result<()> {
        self.carrier.detach(port);
        let Some(Cable { index, socket }) = self.cables.remove(&port) else { return Ok(()) };
        while Arc::strong_count(&socket) > 1 {
            thread::sleep(LET_GO_INTERVAL);
        }
        drop(socket);
        match self.netlink.delete(index) {
            // The machine's namespace took it with it.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Plugs a machine's cable in or out.
    pub(super) fn plug(&self, port: Port, plugged: bool) -> io::Result<()> {
        self.carrier.faults(|network| network.plug(port, plugged));
        self.cables.get(&port).map_or(Ok(()), |it| self.netlink.set_up(it.index, plugged))
    }

    /// Ends all faults.
    pub(super) fn heal(&self) -> io::Result<()> {
        let unplugged = |port: &Port| !self.carrier.faults(|network| network.is_plugged(*port));
        let unplugged: Vec<Port> = self.cables.keys().copied().filter(unplugged).collect();
        self.carrier.faults(|network| network.heal());
        unplugged.into_iter().try_for_each(|port| self.plug(port, true))
    }

    pub(super) fn delay_port(&self, port: Port, delay: Delay) {
        self.carrier.faults(|network| network.set_port_delay(port, delay));
    }

    pub(super) fn delay_pair(&self, a: Port, b: Port, delay: Delay) {
        self.carrier.faults(|network| network.set_pair_delay(a, b, delay));
    }

    pub(super) fn lose(&self, a: Port, b: Port, percent: f64) {
        self.carrier.faults(|network| network.set_loss(a, b, percent));
    }

    pub(super) fn cut(&self, from: Port, to: Port) {
        self.carrier.faults(|network| network.cut(from, to));
    }

    pub(super) fn partition(&self, groups: &[BTreeSet<Port>]) {
        self.carrier.faults(|network| network.partition(groups));
    }

    /// What became of a port's frames, and whether its cable is plugged in.
    pub(super) fn report(&self, port: Port) -> (Counters, bool) {
        self.carrier.faults(|network| (network.counters(port), network.is_plugged(port)))
    }
}

/// The address of a port.
pub(super) fn address(port: Port) -> Ipv4Addr {
    let [a, b, c] = PREFIX;
    Ipv4Addr::new(a, b, c, port)
}
