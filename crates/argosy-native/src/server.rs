//! The supervisor's socket: HTTP with JSON, every handler one call to the loop.

mod journal;

use std::path::PathBuf;
use std::time::Duration;

use argosy_api::local::{
    JobReply, JobRequest, KillRequest, LoadRequest, LocalEvent, LocalUnit, ReloadReply,
};
use argosy_api::{ApiError, ErrorCode};
use argosy_journal::{Cursor, JournalReader};
use argosy_model::UnitName;
use argosy_reconcile::Connection;
use argosy_supervisor::{KillWhom, Verb};
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::backend_wire::{BackendCall, EventsQuery, ForgetBody, StartBody, StopBody};
use crate::call::{Call, Reply};

/// Lines of a stream made before the client has taken them.
const LINES_MAX: usize = 64;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    calls: mpsc::Sender<Call>,
    reader: JournalReader,
    journal_end: watch::Receiver<Cursor>,
    machine: String,
}

impl Api {
    pub(crate) fn new(
        calls: mpsc::Sender<Call>,
        journal_dir: PathBuf,
        journal_end: watch::Receiver<Cursor>,
    ) -> Api {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Api { calls, reader: JournalReader::new(&journal_dir), journal_end, machine }
    }

    /// Asks the loop and waits for its answer.
    async fn ask<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, ApiError> {
        let gone = || ApiError::new(ErrorCode::Unavailable, "the supervisor is ending");
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Returns all paths of the socket.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/units", get(list))
        .route("/v1/units/{name}", get(show).put(load).delete(forget))
        .route("/v1/units/{name}/kill", post(kill))
        .route("/v1/units/{name}/{verb}", post(job))
        .route("/v1/events", get(events))
        .route("/v1/journal", get(journal::read))
        .route("/v1/journal/usage", get(journal::usage))
        .route("/v1/journal/vacuum", post(journal::vacuum))
        .route("/v1/daemon-reload", post(daemon_reload))
        .route("/v1/backend/start", post(backend_start))
        .route("/v1/backend/stop", post(backend_stop))
        .route("/v1/backend/forget", post(backend_forget))
        .with_state(api)
}

fn unit_name(text: &str) -> Result<UnitName, ApiError> {
    let full = match text.contains('.') {
        true => text.to_owned(),
        false => format!("{text}.service"),
    };
    UnitName::new(full).map_err(|error| ApiError::new(ErrorCode::BadInput, error.to_string()))
}

async fn list(State(api): State<Api>) -> Result<Json<Vec<LocalUnit>>, ApiError> {
    api.ask(|reply| Call::List { reply }).await.map(Json)
}

async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<LocalUnit>, ApiError> {
    let unit = unit_name(&name)?;
    api.ask(|reply| Call::Show { unit, reply }).await.map(Json)
}

async fn load(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(request): Json<LoadRequest>,
) -> Result<Json<LocalUnit>, ApiError> {
    let unit = unit_name(&name)?;
    api.ask(|reply| Call::Load { unit, request, reply }).await.map(Json)
}

async fn forget(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let unit = unit_name(&name)?;
    api.ask(|reply| Call::Forget { unit, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn job(
    State(api): State<Api>,
    Path((name, verb)): Path<(String, String)>,
    Json(request): Json<JobRequest>,
) -> Result<Json<JobReply>, ApiError> {
    let unit = unit_name(&name)?;
    let verb = match verb.as_str() {
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        "reload" => Verb::Reload,
        "reset-failed" => Verb::ResetFailed,
        _ => {
            let message = format!("{verb:?} is not start, stop, restart, reload or reset-failed");
            return Err(ApiError::new(ErrorCode::BadInput, message));
        }
    };
    let wait = request.wait;
    api.ask(|reply| Call::Job { unit, verb, wait, reply }).await.map(Json)
}

async fn kill(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(request): Json<KillRequest>,
) -> Result<StatusCode, ApiError> {
    let unit = unit_name(&name)?;
    let whom = if request.main_only { KillWhom::Main } else { KillWhom::All };
    let signal = request.signal;
    api.ask(|reply| Call::Kill { unit, signal, whom, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn daemon_reload(State(api): State<Api>) -> Result<Json<ReloadReply>, ApiError> {
    api.ask(|reply| Call::DaemonReload { reply }).await.map(Json)
}

async fn backend(api: &Api, connection: u64, call: BackendCall) -> Result<StatusCode, ApiError> {
    let connection = Connection(connection);
    api.ask(|reply| Call::Backend { connection, call, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn backend_start(
    State(api): State<Api>,
    Json(body): Json<StartBody>,
) -> Result<StatusCode, ApiError> {
    let StartBody { unit, text, identity, environment, connection, ordered_at } = body;
    let (unit, identity) = (unit_name(&unit)?, identity.into());
    let ordered_at = Duration::from_nanos(ordered_at);
    let call = BackendCall::Start { unit, text, identity, environment, ordered_at };
    backend(&api, connection, call).await
}

async fn backend_stop(
    State(api): State<Api>,
    Json(body): Json<StopBody>,
) -> Result<StatusCode, ApiError> {
    let unit = unit_name(&body.unit)?;
    let call = BackendCall::Stop { unit, epoch: body.epoch.into() };
    backend(&api, body.connection, call).await
}

async fn backend_forget(
    State(api): State<Api>,
    Json(body): Json<ForgetBody>,
) -> Result<StatusCode, ApiError> {
    let unit = unit_name(&body.unit)?;
    backend(&api, body.connection, BackendCall::Forget { unit }).await
}

/// A snapshot and then every change, one JSON line each. The stream of a reader that is too slow
/// ends: with a snapshot in its middle nobody could tell which of the requests on their way it
/// shows the effects of.
async fn events(
    State(api): State<Api>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiError> {
    let backend = query.backend.map(Connection);
    let (snapshot, changes) = api.ask(|reply| Call::Subscribe { backend, reply }).await?;
    let (lines, stream) = mpsc::channel(LINES_MAX);
    tokio::spawn(send_events(snapshot, changes, lines));
    Ok(lines_response(stream))
}

/// Ends when the client is gone or lags, or the loop is gone.
async fn send_events(
    snapshot: LocalEvent,
    mut changes: broadcast::Receiver<LocalEvent>,
    lines: mpsc::Sender<Result<Vec<u8>, serde_json::Error>>,
) {
    let mut next = Ok(snapshot);
    while let Ok(event) = next {
        if lines.send(json_line(&event)).await.is_err() {
            return;
        }
        next = tokio::select! {
            event = changes.recv() => event,
            () = lines.closed() => return,
        };
    }
}

fn json_line<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn lines_response(stream: mpsc::Receiver<Result<Vec<u8>, serde_json::Error>>) -> Response {
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    (headers, Body::from_stream(ReceiverStream::new(stream))).into_response()
}

#[cfg(test)]
mod tests;
