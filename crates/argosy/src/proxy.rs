//! `argosy proxy`: a load balancer that follows keys of the store.
//!
//! Every key below a prefix whose value is `address:port` is one endpoint of a service. What is
//! announced with `Announce=` is such a key, and so is what any etcd client writes. The last good
//! table is used while the store cannot be reached.

mod follow;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use argosy_proxy::{Check, CheckKind, ListenerConfig, Protocol, Proxy, ProxyConfig, Table};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::ProxyOptions;
use crate::failure::{Exit, Failure};
use crate::{logging, notify};

/// How long the first table may take until the proxy counts as ready all the same.
const FIRST_TABLE_LIMIT: Duration = Duration::from_secs(5);
/// Requests that are under way at the end get this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn main(options: ProxyOptions) -> Result<ExitCode, Failure> {
    logging::begin();
    let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::BadInput, error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(serve(options))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: ProxyOptions) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::BadInput, error);
    let config = config(&options)?;
    let prefixes: Vec<String> = config.listeners.iter().map(|l| l.service.clone()).collect();
    let (tables, table) = watch::channel(Arc::new(Table::default()));
    let mut first = tables.subscribe();
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let proxy = Proxy::start(config, table).map_err(|error| {
        failed(&error).with_help("stop what uses the address, or choose another")
    })?;
    for address in proxy.addresses() {
        tracing::info!(%address, "proxy listens");
    }
    let follower = tokio::spawn(follow::run(options.store, prefixes, tables));
    let serve = async {
        // Without a store there is what the last table said, late or not.
        drop(tokio::time::timeout(FIRST_TABLE_LIMIT, first.changed()).await);
        if let Err(error) = notify::ready() {
            tracing::warn!(%error, "cannot say that the proxy is ready");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = serve => {}
    }
    follower.abort();
    let ended = proxy.shutdown(DRAIN).await;
    if ended.cut > 0 {
        tracing::warn!(connections = ended.cut, "cut while they were busy");
    }
    Ok(())
}

/// One `ADDRESS=PREFIX` of the command line.
fn listener(text: &str, protocol: Protocol) -> Result<ListenerConfig, Failure> {
    let bad = || {
        Failure::new(Exit::BadInput, format!("{text:?} is no listener"))
            .with_help("write ADDRESS:PORT=PREFIX, such as 0.0.0.0:8080=/services/api/")
    };
    let (address, prefix) = text.split_once('=').ok_or_else(bad)?;
    let address: SocketAddr = address.parse().map_err(|_| bad())?;
    if !prefix.starts_with('/') {
        return Err(bad());
    }
    Ok(ListenerConfig { address, protocol, service: prefix.to_owned() })
}

fn config(options: &ProxyOptions) -> Result<ProxyConfig, Failure> {
    let http = options.http.iter().map(|text| listener(text, Protocol::Http));
    let tcp = options.tcp.iter().map(|text| listener(text, Protocol::Tcp));
    let listeners = http.chain(tcp).collect::<Result<Vec<_>, _>>()?;
    let kind = || options.check_path.clone().map_or(CheckKind::Connect, CheckKind::Get);
    let checks: BTreeMap<String, Check> = listeners
        .iter()
        .map(|listener| {
            let check = match listener.protocol {
                Protocol::Http => Check::new(kind()),
                Protocol::Tcp => Check::new(CheckKind::Connect),
            };
            (listener.service.clone(), check)
        })
        .collect();
    let table_path = options.table.clone();
    Ok(ProxyConfig { listeners, table_path, checks, ..ProxyConfig::default() })
}
