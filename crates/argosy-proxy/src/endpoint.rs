//! An endpoint at run time: its counters and its health, common to all workers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Check;
use crate::health::{Blocked, Health};
use crate::{Endpoint, EndpointState, EndpointStatus};

/// `blocked_until` of an endpoint that may be used.
const FREE: u64 = 0;
/// `blocked_until` of an endpoint whose checks fail.
const UNHEALTHY: u64 = u64::MAX;

/// The time base of a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(Instant::now())
    }

    /// Returns the time since the proxy's start.
    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// One endpoint as all workers share it.
#[derive(Debug)]
pub(crate) struct EndpointCell {
    /// What the table says of it.
    pub(crate) endpoint: Endpoint,
    clock: Clock,
    requests: AtomicU64,
    failures: AtomicU64,
    outstanding: AtomicU64,
    withdrawn: AtomicBool,
    health: Mutex<Health>,
    /// What `health` says, readable without the lock: milliseconds of `clock`.
    blocked_until: AtomicU64,
    /// Whether a success would change `health`.
    has_failures: AtomicBool,
}

impl EndpointCell {
    pub(crate) fn new(endpoint: Endpoint, clock: Clock) -> EndpointCell {
        EndpointCell {
            endpoint,
            clock,
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            outstanding: AtomicU64::new(0),
            withdrawn: AtomicBool::new(false),
            health: Mutex::new(Health::default()),
            blocked_until: AtomicU64::new(FREE),
            has_failures: AtomicBool::new(false),
        }
    }

    /// From now on nothing new goes there.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    pub(crate) fn outstanding(&self) -> u64 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Returns whether neither its record nor its checks speak against it.
    pub(crate) fn is_available(&self) -> bool {
        match self.blocked_until.load(Ordering::Relaxed) {
            FREE => true,
            UNHEALTHY => false,
            until => Duration::from_millis(until) <= self.clock.now(),
        }
    }

    /// A response head came, or a connection opened.
    pub(crate) fn succeeded(&self) {
        // The usual case costs one load.
        if self.has_failures.load(Ordering::Relaxed) {
            self.judge(|health, _| health.succeeded());
        }
    }

    /// It gave no connection, no response, or only a part of one.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let before = self.is_available();
        self.judge(Health::failed);
        if before && !self.is_available() {
            let Endpoint { instance, address, .. } = &self.endpoint;
            tracing::warn!(%instance, %address, "endpoint left out: it fails");
        }
    }

    /// A check of it has ended.
    pub(crate) fn checked(&self, good: bool, check: &Check) {
        self.judge(|health, _| health.checked(good, check.rise, check.fall));
    }

    fn judge(&self, change: impl FnOnce(&mut Health, Duration)) {
        let now = self.clock.now();
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut health, now);
        let blocked = match health.blocked(now) {
            Blocked::No => FREE,
            Blocked::Unhealthy => UNHEALTHY,
            // Not above the rounded time, and never 0, which means free.
            Blocked::Until(until) => u64::try_from(until.as_millis()).unwrap_or(u64::MAX - 1) + 1,
        };
        self.blocked_until.store(blocked, Ordering::Relaxed);
        self.has_failures.store(health.has_failures(), Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> EndpointStatus {
        let state = match self.blocked_until.load(Ordering::Relaxed) {
            _ if self.is_withdrawn() => EndpointState::Draining,
            UNHEALTHY => EndpointState::Unhealthy,
            _ if self.is_available() => EndpointState::Ready,
            _ => EndpointState::Ejected,
        };
        EndpointStatus {
            instance: self.endpoint.instance.clone(),
            machine: self.endpoint.machine,
            epoch: self.endpoint.epoch,
            address: self.endpoint.address,
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            outstanding: self.outstanding(),
            state,
        }
    }
}

/// One request or connection that runs at an endpoint, counted until dropped.
#[derive(Debug)]
pub(crate) struct Running(Arc<EndpointCell>);

impl Running {
    pub(crate) fn new(endpoint: &Arc<EndpointCell>) -> Running {
        endpoint.outstanding.fetch_add(1, Ordering::Relaxed);
        endpoint.requests.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(endpoint))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
