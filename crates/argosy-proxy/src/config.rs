//! What a proxy is told at its start: listeners, limits, checks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::HealthCheck;

use crate::SocketHolder;

/// What a proxy is started with.
#[derive(Debug, Clone, Default)]
pub struct ProxyConfig {
    /// Where it listens, and for which service.
    pub listeners: Vec<ListenerConfig>,
    /// The address of published ports ([`crate::Table::published`]); `None`: they are for others.
    pub published_at: Option<IpAddr>,
    /// Who holds the sockets of published ports when this process dies; `None`: they are closed.
    pub holder: Option<Arc<dyn SocketHolder>>,
    /// How many threads serve, each with sockets of its own (`SO_REUSEPORT`); 0 means 1.
    pub workers: usize,
    /// Where the last good table is kept; none keeps none. It is read at the start when the
    /// given table has generation 0, and written after each change.
    pub table_path: Option<PathBuf>,
    /// Active health checks, by service name, in place of those that the table says.
    pub checks: BTreeMap<String, Check>,
    /// The check of every other endpoint for which the table says none; without it such an endpoint is
    /// judged by its traffic alone.
    pub default_check: Option<Check>,
    /// Believe `X-Forwarded-*` of clients and add to them, for a proxy behind another one.
    /// Otherwise they are replaced, because anybody can write them.
    pub trust_forwarded: bool,
    /// Time limits.
    pub limits: Limits,
}

/// One listening address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where to listen; port 0 takes a free one, see [`crate::Proxy::addresses`].
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The service whose endpoints get the traffic.
    pub service: String,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: requests are balanced one by one.
    Http,
    /// TCP: connections are balanced one by one.
    Tcp,
}

/// How an endpoint is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: HealthCheck,
    /// The time from the end of one check to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many good answers in a row make a bad endpoint good.
    pub rise: u32,
    /// How many bad answers in a row make a good endpoint bad.
    pub fall: u32,
}

impl Check {
    /// Returns a check with the usual times: every 2 s, 1 s to answer, 2 up, 3 down, as HAProxy.
    pub fn new(kind: HealthCheck) -> Check {
        let (interval, timeout) = (Duration::from_secs(2), Duration::from_secs(1));
        Check { kind, interval, timeout, rise: 2, fall: 3 }
    }
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Opening a connection to an endpoint.
    pub connect: Duration,
    /// From a request handed to an endpoint to the first byte of its response head.
    pub first_byte: Duration,
    /// A client sends a whole request head, or is closed; also how long a client's connection
    /// may stay idle between two requests.
    pub request_head: Duration,
    /// Silence in the middle of a request or response body, and a peer that takes no data.
    pub stalled: Duration,
    /// How long requests and connections to a withdrawn endpoint may go on.
    pub drain: Duration,
}

/// Two machines of one network answer within milliseconds; 1 s spans one lost SYN.
const CONNECT: Duration = Duration::from_millis(1500);
/// As long as common proxies wait, because reports and uploads may take that long.
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// A head is a few kilobytes: whoever needs longer holds a connection on purpose.
const REQUEST_HEAD: Duration = Duration::from_secs(15);
/// One lost link may heal within a minute; nothing is worth holding longer.
const STALLED: Duration = Duration::from_secs(60);
/// What a unit is given to stop, by systemd's `DefaultTimeoutStopSec=`, less some margin.
const DRAIN: Duration = Duration::from_secs(60);

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect: CONNECT,
            first_byte: FIRST_BYTE,
            request_head: REQUEST_HEAD,
            stalled: STALLED,
            drain: DRAIN,
        }
    }
}
