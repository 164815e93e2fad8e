//! The operator API's routes: who may call them, and which part answers.

use std::sync::Arc;
use std::time::Duration;

use argosy_api::journal_line::JournalQuery;
use argosy_api::operator::{
    CheckRequest, ClusterNumbers, DaemonView, InitRequest, JoinRequest, MachineReport, MachineView,
    ReexecReply, ReexecRequest, ScaleReply, ScaleRequest, SubmitReply, SubmitRequest, TokenReply,
    TokenRequest, TokenView, UnitText, UnitView, VerbRequest, WhyReport,
};
use argosy_api::traffic::{FollowRequest, TableView};
use argosy_api::{ApiError, ErrorCode, Peer};
use argosy_model::UnitName;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use tokio::sync::watch;

use super::app::App;
use super::{admission, check, edit, glance, journal, peers, scale, to_leader, why};

/// Largest request: a hundred unit files of 64 KiB, and room.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;

/// Longest life of a join token: a week.
const TOKEN_SECONDS_MAX: u64 = 7 * 86_400;

#[derive(Clone)]
struct Shared {
    app: Arc<App>,
    stopped: watch::Receiver<bool>,
}

type Reply<T> = Result<Json<T>, ApiError>;

/// Returns the router of the daemon's socket.
pub(crate) fn router(app: Arc<App>, stopped: watch::Receiver<bool>) -> Router {
    let shared = Shared { app: Arc::clone(&app), stopped: stopped.clone() };
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/cluster/init", post(init))
        .route("/v1/cluster/join", post(join))
        .route("/v1/journal", get(read_journal))
        .route("/v1/traffic", post(follow))
        .route("/v1/daemon", get(daemon))
        .route("/v1/daemon/reexec", post(reexec))
        .with_state(shared)
        .merge(peers::local_router(Arc::clone(&app), stopped.clone()))
        .merge(leader_router(app, stopped))
        .fallback(async || ApiError::new(ErrorCode::NotFound, "there is nothing at this path"))
        .layer(middleware::from_fn(only_owners_write))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Returns the routes that the leader answers, whoever is asked: it alone has every machine's
/// report.
pub(crate) fn leader_router(app: Arc<App>, stopped: watch::Receiver<bool>) -> Router {
    let to_leader = middleware::from_fn_with_state(Arc::clone(&app), to_leader::pass_on);
    Router::new()
        .route("/v1/cluster", get(cluster))
        .route("/v1/machines", get(machines))
        .route("/v1/tokens", get(tokens).post(create_token))
        .route("/v1/tokens/{id}", delete(revoke_token))
        .route("/v1/check", post(check_verb))
        .route("/v1/units", get(units).post(submit))
        .route("/v1/units/{name}", get(unit).delete(destroy))
        .route("/v1/units/{name}/text", get(text))
        .route("/v1/units/{name}/why", get(explain))
        .route("/v1/units/{name}/scale", post(scale_unit))
        .route("/v1/units/{name}/{verb}", post(verb))
        .with_state(Shared { app, stopped })
        .layer(to_leader)
}

/// Lets everybody who may connect read, and only root or the daemon's own user change.
async fn only_owners_write(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::GET || peer.may_write() {
        return next.run(request).await;
    }
    let who = peer.uid.map_or_else(|| "an unknown user".into(), |uid| format!("user {uid}"));
    ApiError::new(ErrorCode::PermissionDenied, format!("{who} may only read"))
        .with_help("run the command as root")
        .into_response()
}

fn unit_name(text: String) -> Result<UnitName, ApiError> {
    UnitName::new(text).map_err(|error| ApiError::from_chain(ErrorCode::BadInput, &error))
}

async fn status(State(shared): State<Shared>) -> Reply<MachineReport> {
    shared.app.report().await.map(Json)
}

async fn daemon(State(shared): State<Shared>) -> Reply<DaemonView> {
    Ok(Json(shared.app.daemon()))
}

async fn reexec(
    State(shared): State<Shared>,
    Json(request): Json<ReexecRequest>,
) -> Reply<ReexecReply> {
    shared.app.begin_anew(request.force).await.map(Json)
}

async fn init(
    State(shared): State<Shared>,
    Json(request): Json<InitRequest>,
) -> Reply<MachineReport> {
    shared.app.init(request).await.map(Json)
}

async fn join(
    State(shared): State<Shared>,
    Json(request): Json<JoinRequest>,
) -> Reply<MachineReport> {
    shared.app.join(request).await.map(Json)
}

async fn tokens(State(shared): State<Shared>) -> Reply<Vec<TokenView>> {
    let node = shared.app.node().await?;
    admission::list_tokens(&node).await.map(Json)
}

async fn create_token(
    State(shared): State<Shared>,
    Json(request): Json<TokenRequest>,
) -> Reply<TokenReply> {
    let node = shared.app.node().await?;
    let life = Duration::from_secs(request.seconds.min(TOKEN_SECONDS_MAX));
    admission::create_token(&node, life).await.map(Json)
}

async fn revoke_token(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let node = shared.app.node().await?;
    admission::revoke_token(&node, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cluster(State(shared): State<Shared>) -> Reply<ClusterNumbers> {
    Ok(Json(glance::numbers(&*shared.app.node().await?)))
}

async fn machines(State(shared): State<Shared>) -> Reply<Vec<MachineView>> {
    Ok(Json(shared.app.node().await?.picture().machines()))
}

async fn units(State(shared): State<Shared>) -> Reply<Vec<UnitView>> {
    Ok(Json(shared.app.node().await?.picture().units()))
}

async fn submit(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<SubmitRequest>,
) -> Reply<SubmitReply> {
    let node = shared.app.node().await?;
    let author = peer.uid.map_or_else(|| "unknown".into(), |uid| format!("uid {uid}"));
    edit::submit(&node, request, &author).await.map(Json)
}

async fn unit(State(shared): State<Shared>, Path(name): Path<String>) -> Reply<UnitView> {
    let name = unit_name(name)?;
    let picture = shared.app.node().await?.picture();
    picture.unit_with_instances(&name).map(Json).ok_or_else(|| edit::unknown(&name))
}

async fn destroy(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name = unit_name(name)?;
    let node = shared.app.node().await?;
    edit::destroy(&node, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn text(State(shared): State<Shared>, Path(name): Path<String>) -> Reply<UnitText> {
    let name = unit_name(name)?;
    let picture = shared.app.node().await?.picture();
    picture.text(&name).map(Json).ok_or_else(|| edit::unknown(&name))
}

async fn explain(State(shared): State<Shared>, Path(name): Path<String>) -> Reply<WhyReport> {
    let name = unit_name(name)?;
    let node = shared.app.node().await?;
    why::explain(&node, &name).await.map(Json)
}

async fn check_verb(
    State(shared): State<Shared>,
    Json(request): Json<CheckRequest>,
) -> Reply<Vec<String>> {
    let node = shared.app.node().await?;
    check::check(&node, request).await.map(Json)
}

async fn verb(
    State(shared): State<Shared>,
    Path((name, verb)): Path<(String, String)>,
    Json(request): Json<VerbRequest>,
) -> Reply<UnitView> {
    let name = unit_name(name)?;
    let node = shared.app.node().await?;
    edit::verb(&node, &name, &verb, request).await.map(Json)
}

async fn scale_unit(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(request): Json<ScaleRequest>,
) -> Reply<ScaleReply> {
    let name = unit_name(name)?;
    let node = shared.app.node().await?;
    scale::scale(&node, &name, request).await.map(Json)
}

async fn follow(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<FollowRequest>,
) -> Reply<Option<TableView>> {
    let node = shared.app.node().await?;
    let followers = Arc::clone(node.followers());
    drop(node);
    let mut stopped = shared.stopped;
    tokio::select! {
        answer = followers.follow(request, peer.pid) => match answer {
            Some(table) => Ok(Json(table.map(|table| TableView::clone(&table)))),
            None => Err(ApiError::new(ErrorCode::Unavailable, "too many proxies follow already")),
        },
        _ = stopped.wait_for(|stop| *stop) => {
            Err(ApiError::new(ErrorCode::Unavailable, "the daemon is stopping"))
        }
    }
}

async fn read_journal(
    State(shared): State<Shared>,
    Query(query): Query<JournalQuery>,
) -> Result<Response, ApiError> {
    let node = shared.app.node().await?;
    let unit = query.unit.clone().and_then(|name| UnitName::new(name).ok());
    let client = match unit {
        Some(unit) => node.journal_of(&unit).await?,
        None => node.supervisor().clone(),
    };
    journal::stream(&client, &query, shared.stopped).await
}
