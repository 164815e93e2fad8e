//! The proxy of the machine itself: serves the ports that units publish. The keeper starts it
//! beside supervisor and daemon; while nothing is published it only waits.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::HealthCheck;
use argosy_proxy::{Check, Proxy, ProxyConfig, SocketHolder, Table};
use tokio::sync::watch;

use super::services::Follower;
use super::{Ending, failed, held, run, shutdown};
use crate::args::{Global, ProxyProcess};
use crate::failure::{Exit, Failure};
use crate::session;

/// In the data directory: the last table.
pub(crate) const STORED_TABLE: &str = "tables/services";

/// Requests that are under way at the end get this long: less than the keeper waits.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn process(global: &Global, options: ProxyProcess) -> Result<ExitCode, Failure> {
    run(serve(global, options))
}

async fn serve(global: &Global, options: ProxyProcess) -> Result<(), Failure> {
    let holder = held::by_keeper()?;
    let mut ending = Ending::new()?;
    let path = options.data.data_dir.join(STORED_TABLE);
    let mut follower = Follower::new(session::daemon(global)?)?;
    let first = tokio::select! {
        table = first(&mut follower, &path, holder.as_deref()) => table?,
        () = ending.came() => return Ok(()),
    };
    let config = ProxyConfig {
        published_at: Some(options.listen.proxy_listen),
        holder,
        table_path: Some(path),
        default_check: Some(Check::new(HealthCheck::Tcp)),
        ..ProxyConfig::default()
    };
    let (tables, table) = watch::channel(Arc::new(first));
    let proxy = Proxy::start(config, table).map_err(|error| failed(&error))?;
    let mut following =
        tokio::spawn(follower.serve(tables, proxy.acknowledged(), proxy.unopened()));
    let served = tokio::select! {
        () = ending.came() => Ok(()),
        ended = &mut following => ended.unwrap_or_else(|error| Err(failed(&error))),
    };
    following.abort();
    shutdown(proxy, DRAIN).await;
    served
}

/// Returns the table to begin with: the stored one (which the proxy reads itself in place of none),
/// if it publishes anything, else the first of the daemon's that does. A proxy that serves nothing
/// follows every table at once.
async fn first(
    follower: &mut Follower,
    path: &Path,
    holder: Option<&dyn SocketHolder>,
) -> Result<Table, Failure> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(|error| {
        let message = format!("cannot make {}: {error}", parent.display());
        Failure::new(Exit::BadInput, message)
            .with_help("run as the owner of the data directory, or choose another --data-dir")
    })?;
    match Table::load(path) {
        Ok(Some(stored)) if !stored.published.is_empty() => return Ok(Table::default()),
        Ok(_) => {}
        Err(error) => {
            tracing::error!(error = crate::failure::chain(&error), "no stored table");
        }
    }
    loop {
        let table = follower.next().await?;
        if !table.published.is_empty() {
            return Ok(table);
        }
        if let Some(Err(error)) = holder.map(SocketHolder::release_rest) {
            tracing::warn!(%error, "sockets of closed ports are still held");
        }
        follower.acknowledge(table.generation);
    }
}
