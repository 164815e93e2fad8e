//! `/v1/keys` and `/v1/watch`: in the JSON of etcd 0.1, as etcd 0.4 served it.

use std::collections::BTreeSet;

use argosy_kv::v2::{Change, Error, Verb, Write};
use argosy_kv::{Action, SpaceId, v1};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::form::{Form, refusal};
use super::key_path;
use super::leftovers::{Leftovers, Subject};
use super::node::collect_leases;
use super::parameters::ttl;
use super::poll::Poll;
use super::ttl::Expiries;
use super::v2::{error_response, headers, method_not_allowed};
use super::write::write;
use crate::api::Api;

/// One key or directory; what is empty is left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeJson {
    action: &'static str,
    key: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    new_key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    index: i64,
}

/// Serves `/v1/keys`. v1 clients always read what this member has.
pub(super) async fn keys(State(api): State<Api>, request: Request) -> Response {
    let path = key_path(&request, "/v1/keys");
    let answer = match *request.method() {
        Method::GET | Method::HEAD => read(&api, &path).await,
        Method::PUT | Method::POST => set(&api, path, request).await,
        Method::DELETE => {
            let delete = Write { verb: Verb::Delete, path, ..Write::default() };
            change(&api, delete).await
        }
        _ => return method_not_allowed("HEAD,GET,PUT,POST,DELETE"),
    };
    answer.unwrap_or_else(|error| error_response(&api, &error))
}

/// Serves `/v1/watch`: waits for a change of a key or below it, after now or (by POST) from
/// `index` on.
pub(super) async fn watch(
    State(api): State<Api>,
    Extension(leftovers): Extension<Leftovers>,
    request: Request,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return method_not_allowed("GET,POST");
    }
    let answer = wait(&api, leftovers, request).await;
    answer.unwrap_or_else(|error| error_response(&api, &error))
}

async fn read(api: &Api, path: &str) -> Result<Response, Error> {
    let view = api.store.view();
    let found = v1::get(&view, path)?;
    let nodes = match &found {
        v1::Get::Key(node) => std::slice::from_ref(node),
        v1::Get::Directory(nodes) => nodes,
    };
    let leases: BTreeSet<_> = nodes.iter().map(|n| n.lease).filter(|lease| *lease != 0).collect();
    let expiries = Expiries::ask(api, leases).await;
    let headers = headers(api, view.revision(SpaceId::User), view.applied_index());
    Ok(match found {
        v1::Get::Key(node) => (headers, Json(node_json(node, &expiries))).into_response(),
        v1::Get::Directory(nodes) => {
            let list: Vec<_> = nodes.into_iter().map(|node| node_json(node, &expiries)).collect();
            (headers, Json(list)).into_response()
        }
    })
}

/// Sets a key, or compares and sets one: with the value it must have, or with an empty one if it
/// must not be there.
async fn set(api: &Api, path: String, request: Request) -> Result<Response, Error> {
    let form = Form::of(request).await?;
    let value = Bytes::copy_from_slice(form.bytes("value").unwrap_or_default());
    if value.is_empty() {
        return Err(refusal(200, "Value is Required in POST form", "Set"));
    }
    let ttl_seconds = ttl(&form)
        .map_err(|()| refusal(202, "The given TTL in POST form is not a number", "Set"))?;
    let verb = match form.bytes("prevValue") {
        None => Verb::Set,
        Some(b"") => Verb::Create,
        Some(_) => Verb::CompareAndSwap,
    };
    let prev_value = Bytes::copy_from_slice(form.bytes("prevValue").unwrap_or_default());
    change(api, Write { verb, path, value, ttl_seconds, prev_value, ..Write::default() }).await
}

async fn change(api: &Api, request: Write) -> Result<Response, Error> {
    let done = write(api, request).await?;
    let headers = headers(api, done.revision, api.store.view().applied_index());
    Ok((headers, Json(change_json(done.change, &done.node_expiries))).into_response())
}

async fn wait(api: &Api, leftovers: Leftovers, request: Request) -> Result<Response, Error> {
    let path = key_path(&request, "/v1/watch");
    let form = Form::of(request).await?;
    let subject = Subject { path, recursive: true };
    let (mut poll, index) =
        Poll::open(api.clone(), subject, form.index("index")?, leftovers).await?;
    let api_later = api.clone();
    let body = stream::once(async move {
        let Some(change) = poll.next().await else {
            return Ok::<_, std::convert::Infallible>(Bytes::new());
        };
        poll.finish();
        let mut leases = BTreeSet::new();
        collect_leases(&change.node, &mut leases);
        let expiries = Expiries::ask(&api_later, leases).await;
        Ok(super::json_line(&change_json(change, &expiries)))
    });
    let mut headers = headers(api, index, api.store.view().applied_index());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((headers, Body::from_stream(body)).into_response())
}

fn node_json(node: v1::Node, expiries: &Expiries) -> NodeJson {
    let (expiration, ttl) = expiries.of(node.lease).map(|e| (e.expiration, e.ttl)).unzip();
    NodeJson {
        action: "get",
        key: node.key,
        dir: node.dir,
        value: node.value.as_ref().map(text),
        expiration,
        ttl,
        index: node.index,
        ..NodeJson::default()
    }
}

fn change_json(change: Change, expiries: &Expiries) -> NodeJson {
    let Change { action, node, prev } = change;
    let (expiration, ttl) = expiries.of(node.lease).map(|e| (e.expiration, e.ttl)).unzip();
    NodeJson {
        action: match action {
            Action::Create | Action::CompareAndSwap => "testAndSet",
            action => action.name(),
        },
        key: node.key,
        dir: node.dir,
        new_key: action == Action::Set && prev.is_none(),
        prev_value: prev.and_then(|prev| prev.value).as_ref().map(text),
        value: node.value.as_ref().map(text),
        expiration,
        ttl,
        index: node.modified_index,
    }
}

fn text(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests;
