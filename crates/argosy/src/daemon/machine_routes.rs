//! What machines ask of one another over the machine port: reports, journals, and operators'
//! requests that only the leader can answer; and images ([`super::peers`]).

use std::sync::Arc;

use argosy_api::journal_line::JournalQuery;
use argosy_api::{ApiError, ErrorCode, Peer};
use argosy_kv::{Command, CommandKind};
use argosy_model::MachineId;
use argosy_peer::SigningRequest;
use argosy_reconcile::MachineReport;
use argosy_registry::Revision;
use argosy_registry::feed::guarded_commit;
use axum::body::Bytes;
use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::admission;
use super::app::App;
use super::certificate::{RenewRequest, Renewed};
use super::feed::CommitReply;
use super::journal;
use super::peers::{self, PeerImages};
use super::report_wire::ReportWire;
use super::store_access::propose;
use super::{routes, traffic};

/// Largest request: the report of a machine with 2,000 units of about 2 KiB, and room.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Reports that wait for the control loop. Each replaces the one before of its machine, so a
/// few for each of a thousand machines are never useful at once.
pub(crate) const REPORTS_WAITING_MAX: usize = 256;

/// The machine at the other end, as its certificate says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) MachineId);

#[derive(Clone)]
struct Shared {
    app: Arc<App>,
    reports: mpsc::Sender<MachineReport>,
    stopped: watch::Receiver<bool>,
}

/// Returns the router of the machine port's HTTP service. Each connection adds its [`Caller`].
pub(crate) fn router(
    app: Arc<App>,
    reports: mpsc::Sender<MachineReport>,
    images: Arc<PeerImages>,
    stopped: watch::Receiver<bool>,
) -> Router {
    let images = peers::machine_router(images, stopped.clone());
    // A machine of the cluster speaks for an operator whom it has checked itself.
    let operator = MockConnectInfo(Peer { uid: Some(0), pid: None });
    let operators = routes::leader_router(Arc::clone(&app), stopped.clone()).layer(operator);
    Router::new()
        .route("/v1/report", post(report))
        .route("/v1/journal", get(read_journal))
        .route("/v1/acknowledged", get(acknowledged))
        .route("/v1/commit", post(commit))
        .route("/v1/certificate", post(certificate))
        .with_state(Shared { app, reports, stopped })
        .merge(images)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .nest("/operator", operators)
}

async fn report(
    State(shared): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    Json(wire): Json<ReportWire>,
) -> Result<StatusCode, ApiError> {
    let report = MachineReport::try_from(wire)
        .map_err(|error| ApiError::from_chain(ErrorCode::BadInput, &error))?;
    if report.machine != caller {
        let message = format!("{caller} reports for {}", report.machine);
        return Err(ApiError::new(ErrorCode::PermissionDenied, message));
    }
    match shared.reports.try_send(report) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(_) => Err(ApiError::new(ErrorCode::Unavailable, "too many reports wait")),
    }
}

#[derive(Deserialize)]
struct Acknowledged {
    revision: Revision,
}

/// Answers once every proxy follows a revision, or that it is not so after a while.
async fn acknowledged(
    State(shared): State<Shared>,
    Query(query): Query<Acknowledged>,
) -> Result<Json<bool>, ApiError> {
    let node = shared.app.node().await?;
    if !node.leads() {
        return Err(ApiError::new(ErrorCode::Conflict, "this machine does not lead"));
    }
    let mut stopped = shared.stopped;
    let followed = tokio::select! {
        followed = traffic::is_followed(node.pictures(), query.revision) => followed,
        _ = stopped.wait_for(|stop| *stop) => false,
    };
    Ok(Json(followed))
}

/// Proposes what a worker's agent publishes or takes back: its own endpoints, and nothing else.
async fn commit(
    State(shared): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    body: Bytes,
) -> Result<Json<CommitReply>, ApiError> {
    let node = shared.app.node().await?;
    let bad = |error: &dyn std::error::Error| ApiError::from_chain(ErrorCode::BadInput, error);
    let command = Command::decode(&body).map_err(|error| bad(&error))?;
    let CommandKind::Txn(txn) = command.kind else {
        return Err(ApiError::new(ErrorCode::BadInput, "not a transaction"));
    };
    let txn = guarded_commit(&node.picture().view, caller, txn)
        .map_err(|error| ApiError::from_chain(ErrorCode::PermissionDenied, &error))?;
    Ok(Json(propose(node.store()?, txn).await.into()))
}

/// Certifies the caller's key anew: its connection has just proven that it is of the cluster.
async fn certificate(
    State(shared): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    Json(request): Json<RenewRequest>,
) -> Result<Json<Renewed>, ApiError> {
    let node = shared.app.node().await?;
    let request = SigningRequest::from_pem(&request.signing_request)
        .map_err(|error| ApiError::from_chain(ErrorCode::BadInput, &error))?;
    let renewed = admission::certify(node.store()?, caller, &request);
    Ok(Json(renewed.map_err(|error| ApiError::from_chain(ErrorCode::Internal, &error))?))
}

async fn read_journal(
    State(shared): State<Shared>,
    Query(query): Query<JournalQuery>,
) -> Result<Response, ApiError> {
    let node = shared.app.node().await?;
    journal::stream(node.supervisor(), &query, shared.stopped).await
}
