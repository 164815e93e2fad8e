//! How this computer reaches the machines: their stores, their load balancers, and what is
//! announced at their addresses.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argosy_testbed::{Control, ForwardTarget, MachineInfo, Mode};

use crate::demo::cluster::testbed;
use crate::demo::http;
use crate::failure::Failure;

/// How long the store and the unit may take for one request together.
const DIRECT_LIMIT: Duration = Duration::from_millis(500);
/// How long a request through a load balancer may take: people give up about then.
const BALANCED_LIMIT: Duration = Duration::from_secs(5);
/// The port at which a store answers old etcd clients.
const STORE_PORT: u16 = 4001;
/// The port of the load balancers at their machines' addresses.
pub(super) const BALANCER_PORT: u16 = 8080;
/// The load balancer of machine N is reached at this port plus N, if that is free.
const BALANCER_PORTS: u16 = 18080;

/// Every key at which something of the demonstration is announced, and the unit behind it.
pub(super) const ANNOUNCED: [(&str, &str); 7] = [
    ("api@1.service", "services/api/1"),
    ("api@2.service", "services/api/2"),
    ("api@3.service", "services/api/3"),
    ("api@4.service", "services/api/4"),
    ("api@5.service", "services/api/5"),
    ("api@6.service", "services/api/6"),
    ("database.service", "database"),
];

/// A machine as this computer sees it.
#[derive(Debug, Clone)]
struct Seen {
    address: Ipv4Addr,
    store: SocketAddr,
    balancer: SocketAddr,
}

/// All ways to the machines.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    control: Control,
    mode: Mode,
    machines: BTreeMap<String, Seen>,
    /// Where this computer reaches what listens at a machine's address.
    ways: Arc<Mutex<BTreeMap<SocketAddrV4, SocketAddr>>>,
}

/// What a unit answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) unit: String,
    pub(super) machine: String,
    pub(super) database: Option<String>,
}

/// The same as it is sent. The host name, which is sent too, is no machine's in loopback mode.
#[derive(serde::Deserialize)]
struct Sent {
    unit: String,
    address: Ipv4Addr,
    database: Option<String>,
}

impl Outside {
    pub(super) fn new(control: Control, mode: Mode) -> Outside {
        Outside { control, mode, machines: BTreeMap::new(), ways: Arc::default() }
    }

    /// Makes ways to a machine's store and load balancer.
    pub(super) fn add(&mut self, machine: &MachineInfo) -> Result<SocketAddr, Failure> {
        let store = if self.mode == Mode::Loopback {
            (machine.address, STORE_PORT).into()
        } else {
            let target = ForwardTarget::Inside;
            self.control.forward(0, &machine.name, STORE_PORT, target).map_err(testbed)?
        };
        let balancer = balancer_way(&self.control, machine)?;
        let seen = Seen { address: machine.address, store, balancer };
        self.machines.insert(machine.name.clone(), seen);
        Ok(balancer)
    }

    /// Asks inside a machine what the store says of a key, and returns the whole answer.
    pub(super) fn store(&self, machine: &str, key: &str) -> io::Result<String> {
        http::get(self.seen(machine)?.store, &format!("/v1/keys/{key}"), DIRECT_LIMIT)
    }

    /// Reads a key from the store of a machine.
    pub(super) fn key(&self, machine: &str, key: &str) -> io::Result<String> {
        http::key(self.seen(machine)?.store, key, DIRECT_LIMIT)
    }

    /// Asks the store of `machine` where a unit is, and then the unit, once each.
    pub(super) fn ask(&self, machine: &str, key: &str) -> io::Result<Answer> {
        let begun = Instant::now();
        let place = self.key(machine, key)?;
        let bad = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{key} is {place}"));
        let way = self.way(place.parse().map_err(bad)?)?;
        let left = DIRECT_LIMIT.checked_sub(begun.elapsed()).ok_or(io::ErrorKind::TimedOut)?;
        self.read(&http::get(way, "/", left)?)
    }

    /// Asks the load balancer of a machine.
    pub(super) fn through(&self, machine: &str) -> io::Result<Answer> {
        self.read(&http::get(self.seen(machine)?.balancer, "/", BALANCED_LIMIT)?)
    }

    fn read(&self, answer: &str) -> io::Result<Answer> {
        let Sent { unit, address, database } = serde_json::from_str(answer)?;
        let found = self.machines.iter().find(|(_, seen)| seen.address == address);
        let machine = found.map_or_else(|| address.to_string(), |(name, _)| name.clone());
        Ok(Answer { unit, machine, database })
    }

    fn seen(&self, machine: &str) -> io::Result<&Seen> {
        self.machines.get(machine).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn way(&self, place: SocketAddrV4) -> io::Result<SocketAddr> {
        if self.mode == Mode::Loopback {
            return Ok(SocketAddr::V4(place));
        }
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.get(&place) {
            return Ok(*way);
        }
        let found = self.machines.iter().find(|(_, seen)| seen.address == *place.ip());
        let (name, _) = found.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{place} is no machine's address"))
        })?;
        let way = self.control.forward(0, name, place.port(), ForwardTarget::Network);
        let way = way.map_err(io::Error::other)?;
        ways.insert(place, way);
        Ok(way)
    }
}

/// Makes a way from a loopback port of this computer to a machine's load balancer: to a port that
/// is easy to guess, or to any if that one is taken.
pub(super) fn balancer_way(
    control: &Control,
    machine: &MachineInfo,
) -> Result<SocketAddr, Failure> {
    let [.., number] = machine.address.octets();
    let forward =
        |port| control.forward(port, &machine.name, BALANCER_PORT, ForwardTarget::Network);
    forward(BALANCER_PORTS + u16::from(number)).or_else(|_| forward(0)).map_err(testbed)
}
