//! Everything on the client ports that is not gRPC: version, health, v2 and v1 keys.

mod form;
mod leftovers;
mod node;
mod parameters;
mod poll;
mod ttl;
mod v1;
mod v2;
mod write;

pub(crate) use leftovers::Leftovers;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::api::{Api, CLUSTER_VERSION, ETCD_VERSION};

/// Returns the HTTP half of the client API.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/health", get(health))
        .route("/v2/machines", get(machines))
        .route("/v2/keys", any(v2::keys))
        .route("/v2/keys/", any(v2::keys))
        .route("/v2/keys/{*path}", any(v2::keys))
        .route("/v1/keys", any(v1::keys))
        .route("/v1/keys/", any(v1::keys))
        .route("/v1/keys/{*path}", any(v1::keys))
        .route("/v1/watch", any(v1::watch))
        .route("/v1/watch/", any(v1::watch))
        .route("/v1/watch/{*path}", any(v1::watch))
        .with_state(api)
}

/// Answers what nothing else does, to a gRPC client in its own way.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    let grpc = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        return Status::unimplemented("unknown service or method").into_http();
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

#[derive(Serialize)]
struct Version {
    etcdserver: &'static str,
    etcdcluster: &'static str,
}

async fn version() -> Json<Version> {
    Json(Version { etcdserver: ETCD_VERSION, etcdcluster: CLUSTER_VERSION })
}

#[derive(Deserialize)]
struct HealthQuery {
    /// `true`: say whether this member can serve stale reads, without asking a quorum.
    serializable: Option<String>,
}

#[derive(Serialize)]
struct Health {
    health: &'static str,
    reason: &'static str,
}

/// Tells whether the member can serve (`server/etcdserver/api/etcdhttp/health.go`).
async fn health(State(api): State<Api>, Query(query): Query<HealthQuery>) -> Response {
    let local = query.serializable.as_deref() == Some("true");
    let reason = match (local, api.leader()) {
        (true, _) => None,
        (false, None) => Some("RAFT NO LEADER"),
        (false, Some(_)) => api.linearize().await.err().map(|_| "RANGE ERROR"),
    };
    match reason {
        None => Json(Health { health: "true", reason: "" }).into_response(),
        Some(reason) => {
            let body = Json(Health { health: "false", reason });
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// Lists where clients can connect (v2, text).
async fn machines(State(api): State<Api>) -> String {
    api.info.client_urls.join(", ")
}

/// Returns the part of a request's path behind `prefix`, decoded and cleaned: one leading
/// slash, none at the end, no empty, `.` or `..` part, as etcd's multiplexer leaves it.
fn key_path(request: &Request, prefix: &str) -> String {
    let path = request.uri().path();
    let path = percent_decode(path.strip_prefix(prefix).unwrap_or(path).as_bytes());
    // v2 keys are text.
    clean(&String::from_utf8_lossy(&path))
}

fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Renders an answer as a line, as etcd's encoder ends them.
fn json_line(answer: &impl Serialize) -> Bytes {
    let mut json = serde_json::to_vec(answer).expect("answers have only text for keys");
    json.push(b'\n');
    json.into()
}

/// Decodes `%xx`.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push((high << 4 | low) as u8);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
