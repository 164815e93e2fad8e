//! What machines ask of one another about images, over the machine port. Every machine of the
//! cluster may have every blob of every other one.

use std::sync::Arc;

use argosy_api::{ApiError, ErrorCode};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use tokio::sync::watch;

use super::board::NotLeading;
use super::leader::{ASK, NEWS};
use super::wire::{self, AnswerWire, AskWire, NewsWire, WordError};
use super::{PeerImages, who::News};
use crate::daemon::machine_routes::Caller;

#[derive(Clone)]
struct Shared {
    images: Arc<PeerImages>,
    stopped: watch::Receiver<bool>,
}

/// Returns the routes. Each connection adds its [`Caller`].
pub(in crate::daemon) fn router(images: Arc<PeerImages>, stopped: watch::Receiver<bool>) -> Router {
    Router::new()
        .route(ASK, post(ask))
        .route(NEWS, post(news))
        .route("/v1/images/blobs/{digest}", get(blob))
        .with_state(Shared { images, stopped })
}

fn bad(error: &WordError) -> ApiError {
    ApiError::from_chain(ErrorCode::BadInput, error)
}

fn not_leading(NotLeading: NotLeading) -> ApiError {
    ApiError::new(ErrorCode::Conflict, "this machine does not lead")
}

/// Answers what a machine looks for once there is something to tell.
async fn ask(
    State(shared): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    Json(asks): Json<Vec<AskWire>>,
) -> Result<Json<Vec<AnswerWire>>, ApiError> {
    let asks = wire::asks(&asks).map_err(|error| bad(&error))?;
    let mut stopped = shared.stopped;
    let answers = tokio::select! {
        answers = shared.images.board.answer(caller, &asks) => answers.map_err(not_leading)?,
        _ = stopped.wait_for(|stopped| *stopped) => return Err(not_leading(NotLeading)),
    };
    Ok(Json(answers.iter().map(AnswerWire::from).collect()))
}

/// Hears what a machine has; tells whether that was understood.
async fn news(
    State(shared): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    Json(news): Json<NewsWire>,
) -> Result<Json<bool>, ApiError> {
    let news = News::try_from(news).map_err(|error| bad(&error))?;
    let heard = shared.images.board.hear(caller, news).map_err(not_leading)?;
    Ok(Json(heard.is_ok()))
}

async fn blob(
    State(shared): State<Shared>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let digest = wire::digest(&digest).map_err(|error| bad(&error))?;
    shared.images.server.blob(digest, &headers, shared.stopped).await
}
