//! `/v2/keys`: reads in etcd 2's JSON.

use std::collections::BTreeSet;

use argosy_kv::{LeaseId, SpaceId, v2};
use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::key_path;
use super::query::Parameters;
use super::ttl::Expiries;
use crate::api::Api;

const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
const ETCD_INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");

/// An answer to a read.
#[derive(Serialize)]
struct Get {
    action: &'static str,
    node: NodeJson,
}

/// A node; what is zero or missing is left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeJson {
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<NodeJson>,
    #[serde(skip_serializing_if = "is_zero")]
    modified_index: i64,
    #[serde(skip_serializing_if = "is_zero")]
    created_index: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// An error, as v2 and v1 show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorJson<'a> {
    error_code: u32,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cause: &'a str,
    index: i64,
}

/// Serves `/v2/keys`.
pub(super) async fn keys(
    State(api): State<Api>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let path = key_path(&request, "/v2/keys");
    match *request.method() {
        Method::GET | Method::HEAD => {
            read(&api, &path, pairs).await.unwrap_or_else(|error| error_response(&api, &error))
        }
        Method::PUT | Method::POST | Method::DELETE => {
            not_offered("writing through /v2/keys is not offered: write through the v3 API")
        }
        _ => method_not_allowed("HEAD,GET,PUT,POST,DELETE"),
    }
}

async fn read(api: &Api, path: &str, pairs: Vec<(String, String)>) -> Result<Response, v2::Error> {
    let parameters = Parameters::parse(pairs)?;
    if parameters.wait {
        return Ok(not_offered(
            "waiting through /v2/keys is not offered: watch through the v3 API",
        ));
    }
    if parameters.quorum && api.linearize().await.is_err() {
        return Err(raft_error());
    }
    let view = api.store.view();
    let node = v2::get(&view, path, parameters.recursive, parameters.sorted)?;
    let mut leases = BTreeSet::new();
    collect_leases(&node, &mut leases);
    let expiries = Expiries::ask(api, leases).await;
    let body = Get { action: "get", node: node_json(node, &expiries) };
    let headers = [
        (CLUSTER_ID, cluster_id(api)),
        (ETCD_INDEX, HeaderValue::from(view.revision(SpaceId::User))),
        (RAFT_INDEX, HeaderValue::from(view.applied_index())),
        (RAFT_TERM, HeaderValue::from(api.raft_term())),
    ];
    Ok((headers, Json(body)).into_response())
}

/// The error for reads that no leader confirmed in time.
pub(super) fn raft_error() -> v2::Error {
    v2::Error {
        code: 300,
        message: "Raft Internal Error",
        cause: "etcdserver: request timed out".to_owned(),
        index: 0,
    }
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

fn error_json(error: &v2::Error) -> ErrorJson<'_> {
    ErrorJson {
        error_code: error.code,
        message: error.message,
        cause: &error.cause,
        index: error.index,
    }
}

/// Returns the answer for what the protocol has and this server does not.
pub(super) fn not_offered(what: &str) -> Response {
    let body = ErrorJson { error_code: 300, message: "Not implemented", cause: what, index: 0 };
    (StatusCode::NOT_IMPLEMENTED, Json(body)).into_response()
}

/// Returns the answer for a method that the protocol does not have.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let headers = [(header::ALLOW, HeaderValue::from_static(allowed))];
    (StatusCode::METHOD_NOT_ALLOWED, headers, "Method Not Allowed\n").into_response()
}

fn cluster_id(api: &Api) -> HeaderValue {
    let text = format!("{:x}", api.cluster_id());
    HeaderValue::from_str(&text).expect("hexadecimal digits are valid in a header")
}

fn collect_leases(node: &v2::Node, leases: &mut BTreeSet<LeaseId>) {
    if node.lease != 0 {
        leases.insert(node.lease);
    }
    node.nodes.iter().for_each(|child| collect_leases(child, leases));
}

/// Renders a node. The root has neither key nor indexes.
fn node_json(node: v2::Node, expiries: &Expiries) -> NodeJson {
    let expiry = expiries.of(node.lease);
    let (expiration, ttl) = expiry.map(|e| (e.expiration, e.ttl)).unzip();
    NodeJson {
        key: if node.key == "/" { String::new() } else { node.key },
        value: node.value.map(|value| String::from_utf8_lossy(&value).into_owned()),
        dir: node.dir,
        expiration,
        ttl,
        nodes: node.nodes.into_iter().map(|child| node_json(child, expiries)).collect(),
        modified_index: node.modified_index,
        created_index: node.created_index,
    }
}

#[cfg(test)]
mod tests;
