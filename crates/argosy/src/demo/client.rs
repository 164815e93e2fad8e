//! The outside client: it is on none of the machines, notes every request, and retries nothing.
//!
//! It asks through load balancers in turn, as browsers would, and it asks some units themselves,
//! where the store says that they are, to see when each of them is back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::demo::outside::{Answer, Outside};

/// Requests through load balancers that may be under way at a time: one that hangs does not keep
/// the others from being made.
const BALANCED_CLIENTS: usize = 4;
/// Pause of each of them between two requests.
const BALANCED_INTERVAL: Duration = Duration::from_millis(60);
/// Pause between two requests to one unit; it bounds the precision of when the unit was back.
const DIRECT_INTERVAL: Duration = Duration::from_millis(30);
/// Requests that are kept: minutes of them. Later ones are made and counted, but not kept.
const LINES_MAX: usize = 50_000;

/// Who was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The load balancer of this machine.
    Balancer(String),
    /// This unit itself.
    Unit(&'static str),
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) target: Target,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) result: Result<Answer, String>,
}

/// The running client.
pub(super) struct Client {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    outside: Outside,
    lines: Mutex<Vec<Line>>,
    stop: AtomicBool,
    turn: AtomicUsize,
}

impl Shared {
    fn note(&self, target: Target, begun: Instant, result: std::io::Result<Answer>) {
        let result = result.map_err(|error| error.to_string());
        let line = Line { target, begun, ended: Instant::now(), result };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES_MAX {
            lines.push(line);
        }
    }

    fn balanced(&self, machines: &[String]) {
        while !self.stop.load(Ordering::Relaxed) {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let machine = &machines[turn % machines.len()];
            let begun = Instant::now();
            let result = self.outside.through(machine);
            self.note(Target::Balancer(machine.clone()), begun, result);
            std::thread::sleep(BALANCED_INTERVAL);
        }
    }

    fn direct(&self, store: &str, unit: &'static str, key: &str) {
        while !self.stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let result = self.outside.ask(store, key);
            self.note(Target::Unit(unit), begun, result);
            std::thread::sleep(DIRECT_INTERVAL);
        }
    }
}

impl Client {
    /// Begins to ask: through the load balancers of `machines`, and `units`, of which the store of
    /// the first machine knows where they are.
    pub(super) fn begin(
        outside: Outside,
        machines: Vec<String>,
        units: Vec<(&'static str, &'static str)>,
    ) -> Client {
        let shared = Arc::new(Shared {
            outside,
            lines: Mutex::default(),
            stop: AtomicBool::default(),
            turn: AtomicUsize::default(),
        });
        let mut threads = Vec::new();
        let store = machines.first().cloned().unwrap_or_default();
        let machines = Arc::new(machines);
        for _ in 0..BALANCED_CLIENTS {
            let (shared, machines) = (Arc::clone(&shared), Arc::clone(&machines));
            threads.push(std::thread::spawn(move || shared.balanced(&machines)));
        }
        for (unit, key) in units {
            let (shared, store) = (Arc::clone(&shared), store.clone());
            threads.push(std::thread::spawn(move || shared.direct(&store, unit, key)));
        }
        Client { shared, threads }
    }

    /// The requests so far, in the order of their ends.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets what is under way end, and returns all requests.
    pub(super) fn end(mut self) -> Vec<Line> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has made no line; what it asked then counts as silent.
            drop(thread.join());
        }
        self.lines()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}
