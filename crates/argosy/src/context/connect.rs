//! A connection to whichever machine of a context can speak for the cluster.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use argosy_api::operator::MachineReport;
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
            let look = client.get::<MachineReport>("/v1/status");
            match tokio::time::timeout(LOOK_LIMIT, look).await {
                Ok(Ok(report)) => {
                    if report.cluster.is_some_and(|cluster| cluster.leader.is_some()) {
                        return Ok(socket);
                    }
                    answered = answered.or(Some(socket));
                }
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
