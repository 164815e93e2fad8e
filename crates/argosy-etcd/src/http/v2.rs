//! `/v2/keys`: reads, writes and long polls in etcd 2's JSON.

use std::collections::BTreeSet;
use std::convert::Infallible;

use argosy_kv::{SpaceId, v2};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::form::Form;
use super::key_path;
use super::leftovers::{Leftovers, Subject};
use super::node::{ActionJson, change_json, collect_leases, error_json, node_json};
use super::parameters::Parameters;
use super::poll::Poll;
use super::ttl::Expiries;
use super::write::{Written, write};
use crate::api::Api;

const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
const ETCD_INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");

/// Serves `/v2/keys`.
pub(super) async fn keys(
    State(api): State<Api>,
    Extension(leftovers): Extension<Leftovers>,
    request: Request,
) -> Response {
    let known = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];
    if !known.contains(request.method()) {
        return method_not_allowed("HEAD,GET,PUT,POST,DELETE");
    }
    let answer = answer(&api, leftovers, request).await;
    answer.unwrap_or_else(|error| error_response(&api, &error))
}

async fn answer(api: &Api, leftovers: Leftovers, request: Request) -> Result<Response, v2::Error> {
    let path = key_path(&request, "/v2/keys");
    let method = request.method().clone();
    let form = Form::of(request).await?;
    let parameters = Parameters::parse(&form, &method)?;
    match method {
        Method::GET | Method::HEAD if parameters.wait => {
            wait(api, leftovers, path, &parameters).await
        }
        Method::GET | Method::HEAD => read(api, &path, &parameters).await,
        _ => {
            let silent = parameters.no_value_on_success;
            Ok(written(api, write(api, parameters.write(&method, path)).await?, silent))
        }
    }
}

async fn read(api: &Api, path: &str, parameters: &Parameters) -> Result<Response, v2::Error> {
    if parameters.quorum && api.linearize().await.is_err() {
        return Err(raft_error());
    }
    let view = api.store.view();
    let node = v2::get(&view, path, parameters.recursive, parameters.sorted)?;
    let mut leases = BTreeSet::new();
    collect_leases(&node, &mut leases);
    let expiries = Expiries::ask(api, leases).await;
    let node = Some(node_json(node, &expiries));
    let body = ActionJson { action: "get", node, prev_node: None };
    let headers = headers(api, view.revision(SpaceId::User), view.applied_index());
    Ok((headers, Json(body)).into_response())
}

fn written(api: &Api, done: Written, silent: bool) -> Response {
    let status = if done.change.is_creation() { StatusCode::CREATED } else { StatusCode::OK };
    let headers = headers(api, done.revision, api.store.view().applied_index());
    // etcd leaves nodes out where the client sent them itself.
    let sent = !matches!(
        done.change.action,
        argosy_kv::Action::Delete | argosy_kv::Action::CompareAndDelete
    );
    let mut body = change_json(done.change, &done.node_expiries, &done.prev_expiries);
    if silent && sent {
        (body.node, body.prev_node) = (None, None);
    }
    (status, headers, Json(body)).into_response()
}

/// Answers at once with the headers, and with the body when something changes.
async fn wait(
    api: &Api,
    leftovers: Leftovers,
    path: String,
    parameters: &Parameters,
) -> Result<Response, v2::Error> {
    let subject = Subject { path, recursive: parameters.recursive };
    let (poll, index) = Poll::open(api.clone(), subject, parameters.wait_index, leftovers).await?;
    let forever = parameters.stream;
    let changes = stream::unfold(Some(poll), move |poll| async move {
        let mut poll = poll?;
        let change = poll.next().await?;
        let text = change_text(poll.api(), change).await;
        let rest = match forever {
            true => Some(poll),
            false => {
                poll.finish();
                None
            }
        };
        Some((Ok::<_, Infallible>(text), rest))
    });
    let mut headers = headers(api, index, api.store.view().applied_index());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((headers, Body::from_stream(changes)).into_response())
}

/// Renders a change as a line.
async fn change_text(api: &Api, change: v2::Change) -> Bytes {
    let mut leases = BTreeSet::new();
    collect_leases(&change.node, &mut leases);
    let expiries = Expiries::ask(api, leases).await;
    super::json_line(&change_json(change, &expiries, &Expiries::none()))
}

/// The error for what no leader confirmed in time.
pub(super) fn raft_error() -> v2::Error {
    super::form::refusal(300, "Raft Internal Error", "etcdserver: request timed out")
}

/// Returns an error with etcd's HTTP status for its code.
pub(super) fn error_response(api: &Api, error: &v2::Error) -> Response {
    let status = match error.code {
        100 => StatusCode::NOT_FOUND,
        101 | 105 => StatusCode::PRECONDITION_FAILED,
        102 | 108 => StatusCode::FORBIDDEN,
        110 => StatusCode::UNAUTHORIZED,
        300 | 301 => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let headers = [(CLUSTER_ID, cluster_id(api)), (ETCD_INDEX, HeaderValue::from(error.index))];
    (status, headers, Json(error_json(error))).into_response()
}

/// Returns the answer for a method that the protocol does not have.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let headers = [(header::ALLOW, HeaderValue::from_static(allowed))];
    (StatusCode::METHOD_NOT_ALLOWED, headers, "Method Not Allowed\n").into_response()
}

/// Returns the headers of an answer about the store at an index.
pub(super) fn headers(api: &Api, index: i64, raft_index: u64) -> HeaderMap {
    HeaderMap::from_iter([
        (CLUSTER_ID, cluster_id(api)),
        (ETCD_INDEX, HeaderValue::from(index)),
        (RAFT_INDEX, HeaderValue::from(raft_index)),
        (RAFT_TERM, HeaderValue::from(api.raft_term())),
    ])
}

fn cluster_id(api: &Api) -> HeaderValue {
    let text = format!("{:x}", api.cluster_id());
    HeaderValue::from_str(&text).expect("hexadecimal digits are valid in a header")
}
