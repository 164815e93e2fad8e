//! Which frame goes where, and when: the switch's decisions, free of sockets and clocks.
//!
//! Every port has a fixed MAC address and a fixed IPv4 address; nothing is learnt. The switch
//! itself answers who has which address, for machines that are cut off or gone too: a partition is
//! silence, as behind a router, and one way of it can be cut without the other.

mod delay_line;
mod frame;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) use delay_line::{DelayLine, Offer};
pub(crate) use frame::{ARP_REPLY_BYTES, mac};

use crate::Counters;

/// The last byte of a port's address.
pub(crate) type Port = u8;

/// The port by which the computer itself reaches the machines.
pub(crate) const HOST_PORT: Port = 254;
/// The name by which faults may mean that port.
pub(crate) const HOST_NAME: &str = "host";
/// Machines of a testbed: what is left of a /24 below the host's and the probe's port.
pub(crate) const MACHINES_MAX: usize = 252;
/// The port of the machine by which a mode is tried out.
pub(crate) const PROBE_PORT: Port = 253;

/// The first three bytes of every address.
pub(crate) const PREFIX: [u8; 3] = [10, 77, 0];
/// Their length.
pub(crate) const PREFIX_BITS: u8 = 24;

/// A one-way delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Delay {
    pub(crate) base: Duration,
    /// Evenly distributed on top.
    pub(crate) jitter: Duration,
}

#[derive(Debug, Default)]
struct PortState {
    unplugged: bool,
    delay: Delay,
    counters: Counters,
}

/// Faults between two ports, each way.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    delay: Delay,
    /// A frame is lost if the dice show less, of 2^32.
    loss: u64,
}

/// What is to be done with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Send this back to where it came from.
    Answer([u8; ARP_REPLY_BYTES]),
    /// Send it to these ports, each after its delay.
    Carry(Vec<(Port, Duration)>),
}

/// All ports and faults.
#[derive(Debug)]
pub(crate) struct Network {
    ports: BTreeMap<Port, PortState>,
    /// Keyed by the lower port first.
    pairs: BTreeMap<(Port, Port), Pair>,
    /// From and to.
    cuts: BTreeSet<(Port, Port)>,
    dice: u64,
}

impl Network {
    /// A network of the host's port alone. The same seed loses the same frames.
    pub(crate) fn new(seed: u64) -> Network {
        let ports = BTreeMap::from([(HOST_PORT, PortState::default())]);
        Network { ports, pairs: BTreeMap::new(), cuts: BTreeSet::new(), dice: seed }
    }

    /// Adds a port. One that is there keeps its faults and counters.
    pub(crate) fn add(&mut self, port: Port) {
        self.ports.entry(port).or_default();
    }

    pub(crate) fn plug(&mut self, port: Port, plugged: bool) {
        if let Some(state) = self.ports.get_mut(&port) {
            state.unplugged = !plugged;
        }
    }

    pub(crate) fn is_plugged(&self, port: Port) -> bool {
        self.ports.get(&port).is_some_and(|state| !state.unplugged)
    }

    pub(crate) fn set_port_delay(&mut self, port: Port, delay: Delay) {
        if let Some(state) = self.ports.get_mut(&port) {
            state.delay = delay;
        }
    }

    pub(crate) fn set_pair_delay(&mut self, a: Port, b: Port, delay: Delay) {
        self.pairs.entry(ordered(a, b)).or_default().delay = delay;
    }

    /// Sets the share of frames that is lost between two ports; `percent` is 0 to 100.
    pub(crate) fn set_loss(&mut self, a: Port, b: Port, percent: f64) {
        let loss = (percent / 100.0 * 4_294_967_296.0) as u64;
        self.pairs.entry(ordered(a, b)).or_default().loss = loss;
    }

    pub(crate) fn cut(&mut self, from: Port, to: Port) {
        self.cuts.insert((from, to));
    }

    /// Replaces all cuts by those between machines without a common group. The host is never cut.
    pub(crate) fn partition(&mut self, groups: &[BTreeSet<Port>]) {
        let together = |a: &Port, b: &Port| {
            a == b || groups.iter().any(|group| group.contains(a) && group.contains(b))
        };
        let machines: Vec<Port> =
            self.ports.keys().copied().filter(|it| *it != HOST_PORT).collect();
        self.cuts.clear();
        for a in &machines {
            let others = machines.iter().filter(|b| !together(a, b));
            self.cuts.extend(others.map(|b| (*a, *b)));
        }
    }

    /// Ends every fault.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.pairs.clear();
        for state in self.ports.values_mut() {
            state.unplugged = false;
            state.delay = Delay::default();
        }
    }

    pub(crate) fn counters(&self, port: Port) -> Counters {
        self.ports.get(&port).map(|state| state.counters).unwrap_or_default()
    }

    /// Whether a frame may pass now: asked again when a delayed frame is due, so that a cut holds
    /// from the moment it is made.
    pub(crate) fn is_open(&self, from: Port, to: Port) -> bool {
        self.is_plugged(from) && self.is_plugged(to) && !self.cuts.contains(&(from, to))
    }

    /// Decides on a frame that came in at `from`.
    pub(crate) fn route(&mut self, from: Port, bytes: &[u8]) -> Route {
        if !self.is_plugged(from) {
            self.count(from, |it| it.cut += 1);
            return Route::Carry(Vec::new());
        }
        let known = |asked: &Port| *asked != from && self.ports.contains_key(asked);
        if let Some(asked) = frame::asked_port(bytes).filter(known) {
            return Route::Answer(frame::arp_reply(bytes, asked));
        }
        let to: Vec<Port> = match frame::destination(bytes) {
            frame::Destination::Port(port) if self.ports.contains_key(&port) => vec![port],
            frame::Destination::All => self.ports.keys().copied().collect(),
            _ => Vec::new(),
        };
        let to = to.into_iter().filter(|to| *to != from);
        Route::Carry(to.filter_map(|to| Some((to, self.fate(from, to)?))).collect())
    }

    /// Counts a frame that was delivered.
    pub(crate) fn delivered(&mut self, from: Port) {
        self.count(from, |it| it.delivered += 1);
    }

    /// Counts a frame that was cut while it waited.
    pub(crate) fn cut_off(&mut self, from: Port) {
        self.count(from, |it| it.cut += 1);
    }

    /// Counts a frame for which there was no room.
    pub(crate) fn overflowed(&mut self, to: Port) {
        self.count(to, |it| it.overflowed += 1);
    }

    /// How long a frame takes; `None` if it does not arrive.
    fn fate(&mut self, from: Port, to: Port) -> Option<Duration> {
        if !self.is_open(from, to) {
            self.count(from, |it| it.cut += 1);
            return None;
        }
        let pair = self.pairs.get(&ordered(from, to)).copied().unwrap_or_default();
        if pair.loss > 0 && (self.roll() >> 32) < pair.loss {
            self.count(from, |it| it.lost += 1);
            return None;
        }
        let of_port = |port: &Port| self.ports.get(port).map(|it| it.delay).unwrap_or_default();
        let delays = [of_port(&from), of_port(&to), pair.delay];
        Some(delays.into_iter().map(|delay| self.one_delay(delay)).sum())
    }

    fn one_delay(&mut self, delay: Delay) -> Duration {
        if delay.jitter.is_zero() {
            return delay.base;
        }
        let share = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        delay.base + delay.jitter.mul_f64(share)
    }

    fn count(&mut self, port: Port, change: impl FnOnce(&mut Counters)) {
        if let Some(state) = self.ports.get_mut(&port) {
            change(&mut state.counters);
        }
    }

    /// The next random number (SplitMix64, Steele, Lea and Flood 2014).
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn ordered(a: Port, b: Port) -> (Port, Port) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests;
