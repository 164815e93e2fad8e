//! `argosy proxy`: a load balancer that follows services or keys of the store.
//!
//! A service's endpoints come from this machine's daemon, which is told how far the proxy is. Every
//! key below a prefix whose value is `address:port` is one endpoint too: what is announced with
//! `Announce=` is such a key, and so is what any etcd client writes. The last good table is used
//! while daemon or store cannot be reached.

mod follow;
mod held;
mod internal;
mod services;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::HealthCheck;
use argosy_proxy::{Check, ListenerConfig, Protocol, Proxy, ProxyConfig, Table};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::args::{Global, ProxyOptions};
use crate::failure::{Exit, Failure};
use crate::{logging, notify, session};

pub(crate) use internal::{STORED_TABLE, process};

/// How long the first table may take until the proxy counts as ready all the same.
const FIRST_TABLE_LIMIT: Duration = Duration::from_secs(5);
/// Requests that are under way at the end get this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn main(global: &Global, options: ProxyOptions) -> Result<ExitCode, Failure> {
    run(serve(global, options))
}

/// Runs a proxy on an event loop of its own.
fn run(serve: impl Future<Output = Result<(), Failure>>) -> Result<ExitCode, Failure> {
    logging::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(serve)?;
    Ok(ExitCode::SUCCESS)
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(Exit::BadInput, error)
}

/// What ends a proxy.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    fn new() -> Result<Ending, Failure> {
        let terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
        let interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
        Ok(Ending { terminate, interrupt })
    }

    async fn came(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn shutdown(proxy: Proxy, drain: Duration) {
    let ended = proxy.shutdown(drain).await;
    if ended.cut > 0 {
        tracing::warn!(connections = ended.cut, "cut while they were busy");
    }
}

async fn serve(global: &Global, options: ProxyOptions) -> Result<(), Failure> {
    let config = config(&options)?;
    let names: Vec<String> = config.listeners.iter().map(|l| l.service.clone()).collect();
    let prefixes = names.iter().filter(|name| is_prefix(name)).count();
    if prefixes > 0 && prefixes < names.len() {
        let message = "one proxy follows either services or prefixes of the store";
        return Err(Failure::new(Exit::BadInput, message).with_help("start two of them"));
    }
    let (tables, table) = watch::channel(Arc::new(Table::default()));
    let mut first = tables.subscribe();
    let mut ending = Ending::new()?;
    let proxy = Proxy::start(config, table).map_err(|error| {
        failed(&error).with_help("stop what uses the address, or choose another")
    })?;
    for address in proxy.addresses() {
        tracing::info!(%address, "proxy listens");
    }
    let mut follower = if prefixes > 0 {
        let following = follow::run(options.store, names, tables);
        tokio::spawn(async {
            following.await;
            Ok(())
        })
    } else {
        let follower = services::Follower::new(session::daemon(global)?)?;
        tokio::spawn(follower.serve(tables, proxy.acknowledged(), proxy.unopened()))
    };
    let serve = async {
        // Without a store there is what the last table said, late or not.
        drop(tokio::time::timeout(FIRST_TABLE_LIMIT, first.changed()).await);
        if let Err(error) = notify::ready() {
            tracing::warn!(%error, "cannot say that the proxy is ready");
        }
        std::future::pending::<()>().await;
    };
    let served = tokio::select! {
        () = ending.came() => Ok(()),
        () = serve => Ok(()),
        ended = &mut follower => ended.unwrap_or_else(|error| Err(failed(&error))),
    };
    follower.abort();
    shutdown(proxy, DRAIN).await;
    served
}

/// Tells whether a listener leads to keys of the store, not to a service.
fn is_prefix(name: &str) -> bool {
    name.starts_with('/')
}

/// One `ADDRESS=SERVICE` or `ADDRESS=PREFIX` of the command line.
fn listener(text: &str, protocol: Protocol) -> Result<ListenerConfig, Failure> {
    let bad = || {
        Failure::new(Exit::BadInput, format!("{text:?} is no listener")).with_help(
            "write ADDRESS:PORT=SERVICE or ADDRESS:PORT=PREFIX, such as 0.0.0.0:8080=api",
        )
    };
    let (address, service) = text.split_once('=').ok_or_else(bad)?;
    let address: SocketAddr = address.parse().map_err(|_| bad())?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !is_prefix(service) && (service.is_empty() || !service.chars().all(allowed)) {
        return Err(bad());
    }
    Ok(ListenerConfig { address, protocol, service: service.to_owned() })
}

fn config(options: &ProxyOptions) -> Result<ProxyConfig, Failure> {
    let http = options.http.iter().map(|text| listener(text, Protocol::Http));
    let tcp = options.tcp.iter().map(|text| listener(text, Protocol::Tcp));
    let listeners = http.chain(tcp).collect::<Result<Vec<_>, _>>()?;
    // Asked for on the command line it goes before what units say.
    let path = options.check_path.clone().map(HealthCheck::Http);
    let asked = path.iter().flat_map(|check| {
        let http = listeners.iter().filter(|listener| listener.protocol == Protocol::Http);
        http.map(|listener| (listener.service.clone(), Check::new(check.clone())))
    });
    let checks: BTreeMap<String, Check> = asked.collect();
    let default_check = Some(Check::new(HealthCheck::Tcp));
    let table_path = options.table.clone();
    Ok(ProxyConfig { listeners, table_path, checks, default_check, ..ProxyConfig::default() })
}
