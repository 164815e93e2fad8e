//! Logs of the long-running processes: lines on standard error, filtered by `ARGOSY_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Begins to log. The keeper passes standard error on to whoever started it.
pub(crate) fn begin() {
    let filter = EnvFilter::try_from_env("ARGOSY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // Each process begins once.
    drop(tracing::subscriber::set_global_default(subscriber));
}
