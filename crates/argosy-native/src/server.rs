//! The supervisor's socket: HTTP with JSON, every handler one call to the loop.

mod journal;

use std::path::PathBuf;

use argosy_api::local::{
    JobReply, JobRequest, KillRequest, LoadRequest, LocalEvent, LocalUnit, ReloadReply,
};
use argosy_api::{ApiError, ErrorCode};
use argosy_journal::{Cursor, JournalReader};
use argosy_model::UnitName;
use argosy_supervisor::{KillWhom, Verb};
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::backend_wire::{BackendCall, ForgetBody, StartBody, StopBody};
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

async fn backend(api: &Api, call: BackendCall) -> Result<StatusCode, ApiError> {
    api.ask(|reply| Call::Backend { call, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn backend_start(
    State(api): State<Api>,
    Json(body): Json<StartBody>,
) -> Result<StatusCode, ApiError> {
    let StartBody { unit, text, identity, environment } = body;
    let unit = unit_name(&unit)?;
    let call = BackendCall::Start { unit, text, identity: identity.into(), environment };
    backend(&api, call).await
}

async fn backend_stop(
    State(api): State<Api>,
    Json(body): Json<StopBody>,
) -> Result<StatusCode, ApiError> {
    let unit = unit_name(&body.unit)?;
    backend(&api, BackendCall::Stop { unit, epoch: body.epoch.into() }).await
}

async fn backend_forget(
    State(api): State<Api>,
    Json(body): Json<ForgetBody>,
) -> Result<StatusCode, ApiError> {
    let unit = unit_name(&body.unit)?;
    backend(&api, BackendCall::Forget { unit }).await
}

/// A snapshot and then every change, one JSON line each.
async fn events(State(api): State<Api>) -> Response {
    let (lines, stream) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        // Ends when the client is gone or the loop is.
        while let Ok((snapshot, mut changes)) = api.ask(|reply| Call::Subscribe { reply }).await {
            if lines.send(json_line(&snapshot)).await.is_err() {
                return;
            }
            loop {
                let event: LocalEvent = tokio::select! {
                    event = changes.recv() => match event {
                        Ok(event) => event,
                        // Too slow: a new snapshot holds everything missed.
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return,
                    },
                    () = lines.closed() => return,
                };
                if lines.send(json_line(&event)).await.is_err() {
                    return;
                }
            }
        }
    });
    lines_response(stream)
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
