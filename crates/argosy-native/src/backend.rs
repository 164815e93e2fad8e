//! The daemon's end of the supervisor's socket: reconcile's unit backend port.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use argosy_api::local::LocalEvent;
use argosy_api::{Client, ClientError, ErrorCode, LineStream, UnitStatusView};
use argosy_model::{UnitName, UnitStatus};
use argosy_reconcile::{BackendEvent, BackendRequest};
use http::Method;
use tokio::sync::mpsc;

use crate::backend_wire::{ForgetBody, StartBody, StopBody};

/// Requests that may wait for the supervisor: as many as one plan gives a machine at once.
const REQUESTS_MAX: usize = 1024;
/// Events that may wait for the daemon; the supervisor's side holds more, then sends a snapshot.
const EVENTS_MAX: usize = 1024;
/// First and longest pause between two attempts to reach a supervisor that is not there: it is
/// restarted within milliseconds, or broken for long.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The native supervisor as a unit backend.
///
/// It reconnects by itself; every connection begins with a snapshot. A request that falls into a
/// broken connection is dropped: the snapshot that follows shows that it is still to be made.
pub struct NativeBackend {
    /// Takes requests.
    pub requests: mpsc::Sender<BackendRequest>,
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
        let link = Link { client: Client::new(socket), inbox, outbox };
        NativeBackend { requests, events, task: Box::pin(link.run()) }
    }
}

struct Link {
    client: Client,
    inbox: mpsc::Receiver<BackendRequest>,
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
            match self.client.lines("/v1/events").await {
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
            // What was asked of a supervisor that is gone is asked again after the snapshot.
            while let Ok(request) = self.inbox.try_recv() {
                tracing::debug!(unit = %request.unit(), "request dropped: no supervisor");
            }
            if self.outbox.is_closed() || self.inbox.is_closed() {
                return;
            }
        }
    }

    async fn serve(&mut self, mut lines: LineStream) -> End {
        loop {
            tokio::select! {
                line = lines.next::<LocalEvent>() => match line {
                    Ok(Some(event)) => {
                        if let Some(event) = translate(event)
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
                    let Some(request) = request else { return End::Done };
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
        let answer = match request {
            BackendRequest::Start { text, identity, environment, .. } => {
                let body = StartBody { unit: name, text, identity: identity.into(), environment };
                self.post("/v1/backend/start", &body).await
            }
            BackendRequest::Stop { epoch, .. } => {
                let body = StopBody { unit: name, epoch: epoch.into() };
                self.post("/v1/backend/stop", &body).await
            }
            BackendRequest::Forget { .. } => {
                self.post("/v1/backend/forget", &ForgetBody { unit: name }).await
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
fn translate(event: LocalEvent) -> Option<BackendEvent> {
    match event {
        LocalEvent::Snapshot(views) => {
            Some(BackendEvent::Snapshot(views.iter().filter_map(of_cluster).collect()))
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
