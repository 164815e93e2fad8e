//! What pulls in processes of their own ask of this machine's daemon about images of others. Only
//! root may, and the daemon's own user: images may be private.

use std::collections::BTreeSet;
use std::sync::Arc;

use argosy_api::images::{FoundView, NamedRequest, PeerView, SeekRequest};
use argosy_api::{ApiError, ByteStream, ClientError, ErrorCode, Peer as Caller};
use argosy_image::{Errand, Found, Peer, Peers};
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::serve::first_byte;
use super::wire::{self, WordError};
use crate::daemon::app::App;

/// Pieces between the two connections, for each blob.
const PIECES_MAX: usize = 8;

#[derive(Clone)]
struct Shared {
    app: Arc<App>,
    stopped: watch::Receiver<bool>,
}

/// Returns the routes.
pub(in crate::daemon) fn router(app: Arc<App>, stopped: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/v1/images/seek", post(seek))
        .route("/v1/images/named", post(named))
        .route("/v1/images/blobs/{digest}", get(blob))
        .layer(middleware::from_fn(only_owners))
        .with_state(Shared { app, stopped })
}

async fn only_owners(
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if caller.may_write() {
        return next.run(request).await;
    }
    let message = "only root may have images of other machines";
    ApiError::new(ErrorCode::PermissionDenied, message).into_response()
}

fn bad(error: &WordError) -> ApiError {
    ApiError::from_chain(ErrorCode::BadInput, error)
}

/// Says who has something. Who asked is counted on until it hangs up.
async fn seek(
    State(shared): State<Shared>,
    Json(request): Json<SeekRequest>,
) -> Result<Response, ApiError> {
    let sought = wire::sought(&request.what).map_err(|error| bad(&error))?;
    let images = Arc::clone(shared.app.node().await?.images());
    let without: BTreeSet<Peer> =
        request.without.into_iter().map(|id| Peer { id, name: String::new() }).collect();
    let found = match images.store.is(&request.store) {
        true => images.neighbours.seek(&sought, &without).await,
        // What comes into another store nobody could have from this machine.
        false => Found::Nobody,
    };
    let (view, errand) = view(found);
    let mut line = serde_json::to_vec(&view)
        .map_err(|error| ApiError::from_chain(ErrorCode::Internal, &error))?;
    line.push(b'\n');
    let (sender, lines) = mpsc::channel(1);
    // There is room for the one line.
    let _sent = sender.try_send(Ok::<_, std::io::Error>(Bytes::from(line)));
    if let Some(errand) = errand {
        tokio::spawn(hold(errand, sender, shared.stopped));
    }
    let kind = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(ReceiverStream::new(lines))).into_response())
}

/// Keeps an errand until whoever has it hangs up, or the daemon ends.
async fn hold(
    errand: Errand,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    mut stopped: watch::Receiver<bool>,
) {
    tokio::select! {
        () = sender.closed() => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    drop(errand);
}

fn view(found: Found) -> (FoundView, Option<Errand>) {
    let peer = |peer: Peer| PeerView { id: peer.id, name: peer.name };
    match found {
        Found::Nobody => (FoundView::Nobody, None),
        Found::At { peers, errand } => {
            (FoundView::At(peers.into_iter().map(peer).collect()), Some(errand))
        }
        Found::Yours(errand) => (FoundView::Yours, Some(errand)),
        Found::Coming(machine) => (FoundView::Coming(peer(machine)), None),
        Found::Named(named) => (FoundView::Named(wire::named_view(&named)), None),
    }
}

async fn named(
    State(shared): State<Shared>,
    Json(request): Json<NamedRequest>,
) -> Result<StatusCode, ApiError> {
    let name = wire::name(&request.name).map_err(|error| bad(&error))?;
    let named = wire::named(&request.named).map_err(|error| bad(&error))?;
    let images = Arc::clone(shared.app.node().await?.images());
    if images.store.is(&request.store) {
        images.neighbours.named(&name, &named).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct From {
    machine: String,
}

/// Passes on a blob of another machine.
async fn blob(
    State(shared): State<Shared>,
    Path(digest): Path<String>,
    Query(From { machine }): Query<From>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let digest = wire::digest(&digest).map_err(|error| bad(&error))?;
    let machine = wire::machine(&machine).map_err(|error| bad(&error))?;
    let from = first_byte(&headers)?;
    let images = Arc::clone(shared.app.node().await?.images());
    let bytes = images.neighbours.open_at(machine, &digest, from).await.map_err(refused)?;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::spawn(pass_on(bytes, sender, shared.stopped));
    let kind = [(CONTENT_TYPE, "application/octet-stream")];
    let status = if from > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok((status, kind, Body::from_stream(ReceiverStream::new(pieces))).into_response())
}

/// What the other machine says; that it is not reached is not that it is busy.
fn refused(error: ClientError) -> ApiError {
    match error {
        ClientError::Refused(refusal) => refusal,
        other => ApiError::from_chain(ErrorCode::NotFound, &other),
    }
}

async fn pass_on(
    mut bytes: ByteStream,
    sender: mpsc::Sender<Result<Bytes, ClientError>>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let next = tokio::select! {
            next = bytes.next() => next,
            () = sender.closed() => return,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let Some(piece) = next.transpose() else { return };
        let ends = piece.is_err();
        if sender.send(piece).await.is_err() || ends {
            return;
        }
    }
}
