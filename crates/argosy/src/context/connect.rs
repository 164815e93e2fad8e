//! A connection to whichever machine of a context can speak for the cluster.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use argosy_api::operator::DaemonView;
use argosy_api::{Client, Connect, Connecting, Stream};
use tokio::net::UnixStream;

use super::Context;

/// How long a machine may take to say how it is: it asks nobody else. One that is paused takes
/// connections and never answers.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// The machines of a context.
pub(super) struct Machines(Context);

impl Machines {
    pub(super) fn new(context: Context) -> Machines {
        Machines(context)
    }

    /// The first machine that knows a leader; else, while there is none, the first that answers.
    async fn best(&self) -> io::Result<&PathBuf> {
        let mut answered = None;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it names no machine");
        for socket in &self.0.sockets {
            let client = Client::new(socket);
            let look = client.get::<DaemonView>("/v1/daemon");
            match tokio::time::timeout(LOOK_LIMIT, look).await {
                Ok(Ok(daemon)) if daemon.knows_leader => return Ok(socket),
                Ok(Ok(_)) => answered = answered.or(Some(socket)),
                Ok(Err(error)) => last = io::Error::other(crate::failure::chain(&error)),
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        answered.ok_or(last)
    }
}

impl Connect for Machines {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let stream = UnixStream::connect(self.best().await?).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn name(&self) -> String {
        format!("any machine of context {}", self.0.name)
    }
}

#[cfg(test)]
mod tests {
    //! Tests of whom a command asks.

    use std::path::Path;

    use axum::routing::get;
    use axum::{Json, Router};
    use tokio::net::UnixListener;

    use super::*;

    /// A machine that says how it is at once, and waits for somebody else with everything else.
    fn machine(directory: &Path, name: &str, knows_leader: bool) -> PathBuf {
        let path = directory.join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let version = String::new();
        let daemon = DaemonView { pid: 1, version, began_at: 0, knows_leader };
        let daemon = get(move || std::future::ready(Json(daemon.clone())));
        let others = get(std::future::pending::<()>);
        let router = Router::new().route("/v1/daemon", daemon).fallback(others);
        tokio::spawn(async move { axum::serve(listener, router).await });
        path
    }

    #[tokio::test]
    async fn a_machine_that_waits_for_its_leader_is_still_one_that_answers() {
        let dir = tempfile::tempdir().unwrap();
        // Nobody takes what is said there.
        let paused = dir.path().join("paused");
        let _listener = UnixListener::bind(&paused).unwrap();
        let machines =
            |sockets: Vec<PathBuf>| Machines(Context { name: "some".into(), sockets, owner: None });
        let alone = machine(dir.path(), "alone", false);
        let missing = dir.path().join("missing");
        let some = machines(vec![missing.clone(), paused.clone(), alone.clone()]);
        assert_eq!(some.best().await.unwrap(), &alone);
        let knows = machine(dir.path(), "knows", true);
        let some = machines(vec![alone, knows.clone()]);
        assert_eq!(some.best().await.unwrap(), &knows);
        let error = machines(vec![missing, paused]).best().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
