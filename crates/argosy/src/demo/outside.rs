//! A client that is on none of the machines: it asks a store where a unit is, then the unit.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use argosy_testbed::{Control, ForwardTarget, MachineInfo, Mode};

use crate::demo::cluster::testbed;
use crate::demo::http;
use crate::failure::Failure;

/// How long the store and the unit may take for one request together.
const REQUEST_LIMIT: Duration = Duration::from_millis(500);
/// Pause between two requests to one unit.
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
/// The ports of the units, and the key under which each is announced.
pub(super) const TARGETS: [(&str, &str, u16); 7] = [
    ("api@1.service", "services/api/1", 8001),
    ("api@2.service", "services/api/2", 8002),
    ("api@3.service", "services/api/3", 8003),
    ("api@4.service", "services/api/4", 8004),
    ("api@5.service", "services/api/5", 8005),
    ("api@6.service", "services/api/6", 8006),
    ("database.service", "database", 5432),
];
/// The port at which a store answers old etcd clients.
const STORE_PORT: u16 = 4001;

/// How this computer reaches the machines.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside {
    stores: BTreeMap<String, SocketAddr>,
    /// Where this computer reaches what listens at a machine's address; without an entry, there.
    ways: BTreeMap<SocketAddrV4, SocketAddr>,
}

/// What a unit answered.
#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct Answer {
    pub(super) machine: String,
    pub(super) database: Option<String>,
}

impl Outside {
    /// Makes ways to a machine's store and to every port of the units at its address.
    pub(super) fn add(
        &mut self,
        control: &Control,
        mode: Mode,
        machine: &MachineInfo,
    ) -> Result<(), Failure> {
        if mode == Mode::Loopback {
            self.stores.insert(machine.name.clone(), (machine.address, STORE_PORT).into());
            return Ok(());
        }
        let name = &machine.name;
        let store = control.forward(0, name, STORE_PORT, ForwardTarget::Inside).map_err(testbed)?;
        self.stores.insert(name.clone(), store);
        for (_, _, port) in TARGETS {
            let way = control.forward(0, name, port, ForwardTarget::Network).map_err(testbed)?;
            self.ways.insert(SocketAddrV4::new(machine.address, port), way);
        }
        Ok(())
    }

    /// Reads a key from the store of a machine.
    pub(super) fn key(&self, machine: &str, key: &str) -> Option<String> {
        http::key(*self.stores.get(machine)?, key, REQUEST_LIMIT).ok()
    }

    /// Asks the store of `machine` where a unit is, and then the unit, once each.
    pub(super) fn ask(&self, machine: &str, key: &str, port: u16) -> Option<Answer> {
        let begun = Instant::now();
        let place = self.key(machine, key)?;
        let left = REQUEST_LIMIT.checked_sub(begun.elapsed())?;
        let address = SocketAddrV4::new(address_of(&place)?, port);
        let way = self.ways.get(&address).copied().unwrap_or(SocketAddr::V4(address));
        serde_json::from_str(&http::get(way, "/", left).ok()?).ok()
    }
}

/// The address that an announced place names, with a port behind it or not.
pub(super) fn address_of(place: &str) -> Option<Ipv4Addr> {
    let with_port = || place.parse::<SocketAddrV4>().ok().map(|place| *place.ip());
    place.parse().ok().or_else(with_port)
}

/// One request: when it was made, when it was over, and who answered, if anybody did.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) unit: &'static str,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) machine: Option<String>,
}

/// One thread for each unit, asking it again and again.
pub(super) struct Asking {
    lines: Arc<Mutex<Vec<Line>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Asking {
    /// Begins to ask, always at the store of `machine`. It ends after the failover, whose step has
    /// a limit, so the lines stay few.
    pub(super) fn begin(outside: &Outside, machine: &str) -> Asking {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = TARGETS.map(|(unit, key, port)| {
            let (lines, stop) = (Arc::clone(&lines), Arc::clone(&stop));
            let (outside, machine) = (outside.clone(), machine.to_owned());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let answer = outside.ask(&machine, key, port);
                    let machine = answer.map(|answer| answer.machine);
                    let line = Line { unit, begun, ended: Instant::now(), machine };
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                    std::thread::sleep(REQUEST_INTERVAL);
                }
            })
        });
        Asking { lines, stop, threads: threads.into() }
    }

    /// The requests so far, in the order of their ends.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends asking and returns all requests.
    pub(super) fn end(mut self) -> Vec<Line> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has made no line; its unit then counts as silent.
            drop(thread.join());
        }
        self.lines()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
