//! The daemon's end of the supervisor's socket: reconcile's unit backend port.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use argosy_api::local::LocalEvent;
use argosy_api::{Client, ClientError, ErrorCode, LineStream, UnitStatusView};
use argosy_model::{UnitName, UnitStatus};
use argosy_reconcile::{BackendEvent, BackendRequest, Connection};
use http::Method;
use tokio::sync::mpsc;

use crate::backend_wire::{ForgetBody, StartBody, StopBody};
use crate::clock;

/// Requests that may wait for the supervisor: as many as one plan gives a machine at once.
const REQUESTS_MAX: usize = 1024;
/// Events that may wait for the daemon; the supervisor's side holds more, then ends the stream.
const EVENTS_MAX: usize = 1024;
/// First and longest pause between two attempts to reach a supervisor that is not there: it is
/// restarted within milliseconds, or broken for long.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The native supervisor as a unit backend.
///
/// It reconnects by itself; every connection begins with a snapshot. A request that does not belong
/// to the connection is dropped, here or by the supervisor: the snapshot that followed it shows
/// whether it is still to be made.
pub struct NativeBackend {
    /// Takes requests, each with the connection whose words it was decided on.
    pub requests: mpsc::Sender<(Connection, BackendRequest)>,
    /// Gives events.
    pub events: mpsc::Receiver<BackendEvent>,
    /// Does the work; runs until one of the other two is dropped.
    pub task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl NativeBackend {
    /// Makes a backend of the supervisor that serves `socket`, now or later.
    pub fn start(socket: PathBuf) -> NativeBackend {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (outbox, events) = mpsc::channel(EVENTS_MAX);
        let connection = Connection::default();
        let link = Link { client: Client::new(socket), connection, inbox, outbox };
        NativeBackend { requests, events, task: Box::pin(link.run()) }
    }
}

struct Link {
    client: Client,
    /// The connection, or the last one.
    connection: Connection,
    inbox: mpsc::Receiver<(Connection, BackendRequest)>,
    outbox: mpsc::Sender<BackendEvent>,
}

/// Why a connection is over.
enum End {
    /// The supervisor went away.
    Lost,
    /// Nobody wants the backend any more.
    Done,
}

impl Link {
    async fn run(mut self) {
        let mut pause = RETRY_MIN;
        loop {
            // By the time since boot: higher than that of any earlier daemon's.
            let now = u64::try_from(clock::boottime().as_nanos()).unwrap_or(u64::MAX - 1);
            self.connection = Connection(now.max(self.connection.0 + 1));
            match self.client.lines(&format!("/v1/events?backend={}", self.connection.0)).await {
                Ok(lines) => {
                    pause = RETRY_MIN;
                    if let End::Done = self.serve(lines).await {
                        return;
                    }
                    if self.outbox.send(BackendEvent::Disconnected).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "the supervisor cannot be reached"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            if self.outbox.is_closed() || self.inbox.is_closed() {
                return;
            }
        }
    }

    async fn serve(&mut self, mut lines: LineStream) -> End {
        let mut begun = false;
        loop {
            tokio::select! {
                line = lines.next::<LocalEvent>() => match line {
                    // An older supervisor says so when this end lags: it has to begin anew.
                    Ok(Some(LocalEvent::Snapshot(_))) if begun => return End::Lost,
                    Ok(Some(event)) => {
                        begun = true;
                        if let Some(event) = translate(event, self.connection)
                            && self.outbox.send(event).await.is_err()
                        {
                            return End::Done;
                        }
                    }
                    Ok(None) => return End::Lost,
                    Err(error) => {
                        tracing::debug!(%error, "the supervisor's event stream broke");
                        return End::Lost;
                    }
                },
                request = self.inbox.recv() => {
                    let Some((connection, request)) = request else { return End::Done };
                    if connection != self.connection {
                        tracing::debug!(unit = %request.unit(), "request of an earlier connection");
                        continue;
                    }
                    match self.ask(request).await {
                        Ok(None) => {}
                        Ok(Some(event)) => {
                            if self.outbox.send(event).await.is_err() {
                                return End::Done;
                            }
                        }
                        Err(error) => {
                            tracing::debug!(%error, "a request to the supervisor broke");
                            return End::Lost;
                        }
                    }
                }
            }
        }
    }

    /// Makes one request; a refusal is an event, a broken connection an error.
    async fn ask(&self, request: BackendRequest) -> Result<Option<BackendEvent>, ClientError> {
        let unit = request.unit().clone();
        let name = unit.to_string();
        let connection = self.connection.0;
        let answer = match request {
            BackendRequest::Start { text, identity, environment, ordered_at, .. } => {
                let ordered_at = u64::try_from(ordered_at.as_nanos()).unwrap_or(u64::MAX);
                let (unit, identity) = (name, identity.into());
                let body = StartBody { unit, text, identity, environment, connection, ordered_at };
                self.post("/v1/backend/start", &body).await
            }
            BackendRequest::Stop { epoch, .. } => {
                let body = StopBody { unit: name, epoch: epoch.into(), connection };
                self.post("/v1/backend/stop", &body).await
            }
            BackendRequest::Forget { .. } => {
                self.post("/v1/backend/forget", &ForgetBody { unit: name, connection }).await
            }
        };
        match answer {
            Ok(()) => Ok(None),
            Err(ClientError::Refused(error)) if error.code == ErrorCode::NotFound => {
                Ok(Some(BackendEvent::Gone(unit)))
            }
            Err(ClientError::Refused(error)) => {
                Ok(Some(BackendEvent::Refused { unit, message: error.message }))
            }
            Err(error) => Err(error),
        }
    }

    async fn post<B: serde::Serialize>(&self, target: &str, body: &B) -> Result<(), ClientError> {
        self.client.send_for_nothing(Method::POST, target, Some(body)).await
    }
}

/// Leaves out the machine's own units, which the cluster did not give.
fn translate(event: LocalEvent, connection: Connection) -> Option<BackendEvent> {
    match event {
        LocalEvent::Snapshot(views) => {
            let units = views.iter().filter_map(of_cluster).collect();
            Some(BackendEvent::Snapshot(connection, units))
        }
        LocalEvent::Changed(view) => of_cluster(&view).map(BackendEvent::Changed),
        LocalEvent::Gone(name) => UnitName::new(name).ok().map(BackendEvent::Gone),
    }
}

fn of_cluster(view: &UnitStatusView) -> Option<UnitStatus> {
    if view.revision == 0 {
        return None;
    }
    match UnitStatus::try_from(view) {
        Ok(status) => Some(status),
        Err(error) => {
            tracing::warn!(%error, "a unit's status cannot be read");
            None
        }
    }
}
