//! `/v1/keys`: reads in the JSON of etcd 0.1, as etcd 0.4 served it.

use std::collections::BTreeSet;

use argosy_kv::{SpaceId, v1};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::key_path;
use super::ttl::Expiries;
use super::v2::{error_response, method_not_allowed, not_offered};
use crate::api::Api;

/// One key or directory; what is empty is left out.
#[derive(Debug, Serialize)]
struct NodeJson {
    action: &'static str,
    key: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    index: i64,
}

/// Serves `/v1/keys`. v1 clients always read what this member has.
pub(super) async fn keys(State(api): State<Api>, request: Request) -> Response {
    let path = key_path(&request, "/v1/keys");
    match *request.method() {
        Method::GET | Method::HEAD => read(&api, &path).await,
        Method::PUT | Method::POST | Method::DELETE => {
            not_offered("writing through /v1/keys is not offered: write through the v3 API")
        }
        _ => method_not_allowed("HEAD,GET,PUT,POST,DELETE"),
    }
}

async fn read(api: &Api, path: &str) -> Response {
    let view = api.store.view();
    let found = match v1::get(&view, path) {
        Ok(found) => found,
        Err(error) => return error_response(api, &error),
    };
    let nodes = match &found {
        v1::Get::Key(node) => std::slice::from_ref(node),
        v1::Get::Directory(nodes) => nodes,
    };
    let leases: BTreeSet<_> = nodes.iter().map(|n| n.lease).filter(|lease| *lease != 0).collect();
    let expiries = Expiries::ask(api, leases).await;
    let headers = [("x-etcd-index", view.revision(SpaceId::User).to_string())];
    match found {
        v1::Get::Key(node) => (headers, Json(node_json(node, &expiries))).into_response(),
        v1::Get::Directory(nodes) => {
            let list: Vec<_> = nodes.into_iter().map(|node| node_json(node, &expiries)).collect();
            (headers, Json(list)).into_response()
        }
    }
}

fn node_json(node: v1::Node, expiries: &Expiries) -> NodeJson {
    let (expiration, ttl) = expiries.of(node.lease).map(|e| (e.expiration, e.ttl)).unzip();
    NodeJson {
        action: "get",
        key: node.key,
        dir: node.dir,
        value: node.value.map(|value| String::from_utf8_lossy(&value).into_owned()),
        expiration,
        ttl,
        index: node.index,
    }
}

#[cfg(test)]
mod tests;
