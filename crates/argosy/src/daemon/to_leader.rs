//! Has the leader answer: it alone has every machine's report, and sees the end of what it begins.

use std::sync::Arc;
use std::time::Duration;

use argosy_api::{ApiError, Client, ClientError, ErrorCode, Forwarded, HOPS_HEADER, NOTE_HEADER};
use argosy_store::MemberId;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::node::Node;
use super::routes::BODY_BYTES_MAX;
use crate::failure::chain;

/// How often a request is passed on: by a worker, and by a member that has ceased to lead since the
/// worker was told so.
const HOPS_MAX: u32 = 2;
/// Leaders asked one after the other: one that is stopped while it is asked is followed by the next.
const ATTEMPTS_MAX: usize = 2;
/// How long a change waits for an election to end.
const LEADER_WAIT: Duration = Duration::from_secs(10);

/// Passes a request on to the machine that leads, unless it is this one. Without a leader that
/// answers, a member shows what it last knew, and says so; a worker asks a member that is there.
pub(super) async fn pass_on(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let node = match app.node().await {
        Ok(node) => node,
        Err(error) => return error.into_response(),
    };
    let changes = request.method() != Method::GET;
    if changes && node.store().is_ok() {
        until_led(&node).await;
    }
    if node.leads() {
        return lead(&node, request, next).await;
    }
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => {
            return ApiError::from_chain(ErrorCode::BadInput, &error).into_response();
        }
    };
    let hops = hops(&parts);
    for _ in 0..ATTEMPTS_MAX {
        let others = if hops < HOPS_MAX { node.better_informed() } else { Vec::new() };
        tokio::select! {
            answer = ask(&others, &parts, &body, hops + 1) => match answer {
                Some(answer) => return answer,
                None => break,
            },
            // It may be stopped in the middle of the answer.
            () = until_led_by_another(&node) => {
                if changes {
                    let message = "another machine has come to lead meanwhile";
                    return unknown_outcome(message.to_owned()).into_response();
                }
            }
        }
    }
    if let Err(error) = node.store() {
        return error.into_response();
    }
    // It might have come to lead in between.
    if changes && !node.leads() {
        return no_leader().into_response();
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    let name = &node.membership().name;
    let note = (!node.leads()).then(|| {
        format!("no leader answers; this is what {name} last knew, and nothing can be changed now")
    });
    noted(answer, note)
}

fn hops(parts: &Parts) -> u32 {
    let header = parts.headers.get(HOPS_HEADER).and_then(|it| it.to_str().ok()?.parse().ok());
    header.unwrap_or(0)
}

/// Returns once there is a leader, or after a while without one.
async fn until_led(node: &Node) {
    let mut leadership = node.access().leadership();
    let led = leadership.wait_for(|leadership| leadership.leader.is_some());
    drop(tokio::time::timeout(LEADER_WAIT, led).await);
}

/// Returns once a machine leads that is not the one that leads now.
async fn until_led_by_another(node: &Node) {
    let mut leadership = node.access().leadership();
    let before = leadership.borrow().leader;
    let by_another = |leader: Option<MemberId>| leader != before && leader.is_some();
    drop(leadership.wait_for(|now| by_another(now.leader)).await);
}

/// Answers as the leader. Once it is none any more it would wait for reports that come to another.
async fn lead(node: &Node, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let mut leadership = node.access().leadership();
    tokio::select! {
        answer = next.run(request) => answer,
        _ = leadership.wait_for(|leadership| !leadership.is_leader) => {
            let message = format!("{} does not lead any more", node.membership().name);
            unknown_outcome(message).into_response()
        }
    }
}

/// Asks others in their order; `None` if none of them can be reached.
async fn ask(others: &[Client], parts: &Parts, body: &Bytes, hops: u32) -> Option<Response> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = format!("/operator{target}");
    for other in others {
        match other.forward(parts.method.clone(), &target, body.clone(), hops).await {
            Ok(Forwarded { status, body, note }) => {
                let answer = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
                return Some(noted(answer, note));
            }
            // Nothing was sent.
            Err(ClientError::Connect { .. }) => {}
            Err(error) => {
                return Some(unknown_outcome(chain(&error)).into_response());
            }
        }
    }
    None
}

fn unknown_outcome(message: String) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, message)
        .with_help("whether it was done is not known; look at it and try again")
}

fn no_leader() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "the cluster has no leader that answers")
        .with_help("see who is missing: argosy cluster status")
}

fn noted(mut answer: Response, note: Option<String>) -> Response {
    if let Some(note) = note.and_then(|note| HeaderValue::from_str(&note).ok()) {
        answer.headers_mut().insert(NOTE_HEADER, note);
    }
    answer
}
