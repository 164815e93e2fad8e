//! `argosy daemon-reexec`: the daemon begins anew, and units run on.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_api::operator::{DaemonView, ReexecReply, ReexecRequest};
use argosy_api::{Client, ClientError};
use http::Method;
use serde::Serialize;

use crate::args::{Global, Reexec};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// How long the next daemon may take until it answers: it reads its store first.
const BEGIN_MAX: Duration = Duration::from_secs(60);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What happened.
#[derive(Debug, Serialize)]
struct Begun {
    #[serde(flatten)]
    daemon: DaemonView,
    version_before: String,
    away_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    may_be_away_ms: Option<u64>,
}

pub(crate) async fn run(
    options: &Reexec,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let client = session::daemon(global)?;
    printer.progress("the cluster is asked for time to be away ...");
    let request = ReexecRequest { force: options.force };
    let reply: ReexecReply = client.send(Method::POST, "/v1/daemon/reexec", &request).await?;
    let asked = Instant::now();
    printer.progress("the daemon begins anew ...");
    let daemon = next_daemon(&client, &reply.daemon, asked).await?;
    let away_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
    let begun = Begun {
        daemon,
        version_before: reply.daemon.version,
        away_ms,
        may_be_away_ms: reply.may_be_away_ms,
    };
    printer.show(&begun, line)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for the daemon that comes after `before`.
async fn next_daemon(
    client: &Client,
    before: &DaemonView,
    asked: Instant,
) -> Result<DaemonView, Failure> {
    loop {
        match client.get::<DaemonView>("/v1/daemon").await {
            Ok(daemon) if daemon.began_at != before.began_at => return Ok(daemon),
            // Still the one before, or none for the moment.
            Ok(_) | Err(ClientError::Connect { .. }) => {}
            Err(error) => tracing::debug!(%error, "a daemon that ends or begins"),
        }
        if asked.elapsed() > BEGIN_MAX {
            let message = format!("no daemon answers after {} s", BEGIN_MAX.as_secs());
            return Err(Failure::new(Exit::Unreachable, message)
                .with_help("see what the supervisor prints; units run on without a daemon"));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn line(begun: &Begun) -> String {
    let Begun { daemon, version_before, away_ms, may_be_away_ms } = begun;
    let seconds = |ms: u64| format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10);
    let version = match version_before == &daemon.version {
        true => format!("version {version_before}"),
        false => format!("version {version_before} -> {}", daemon.version),
    };
    let limit = may_be_away_ms.map_or_else(String::new, |ms| format!(" of {}", seconds(ms)));
    format!("daemon {} began anew, {version}, away for {}{limit}", daemon.pid, seconds(*away_ms))
}
