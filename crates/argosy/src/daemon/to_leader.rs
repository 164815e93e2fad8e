//! Has the leader answer: it alone has every machine's report, and sees the end of what it begins.

use std::sync::Arc;
use std::time::Duration;

use argosy_api::{ApiError, Client, ClientError, ErrorCode, Forwarded, HOPS_HEADER, NOTE_HEADER};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::edit::WAIT_SECONDS_MAX;
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
/// How long whoever leads is waited for with a read. It answers from memory: one that takes longer
/// hangs or is not there any more, and what was last known here is better than nothing.
const READ_ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long it is waited for with a change: the longest wait that a request may ask for, and an
/// hour for what comes before it. Before that, a leader that is lost ends the wait.
const CHANGE_ANSWER_MAX: Duration = Duration::from_secs(WAIT_SECONDS_MAX + 3_600);

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
    let hops = hops(&parts);
    let body = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => {
            return ApiError::from_chain(ErrorCode::BadInput, &error).into_response();
        }
    };
    let asked = Asked { parts, body, hops: hops + 1, answer_max: answer_max(changes, hops) };
    for _ in 0..ATTEMPTS_MAX {
        let others = if hops < HOPS_MAX { node.better_informed() } else { Vec::new() };
        tokio::select! {
            answer = asked.of(&others) => match answer {
                Some(answer) => return answer,
                None => break,
            },
            // It may be stopped in the middle of the answer.
            message = until_led_otherwise(&node) => {
                if changes {
                    return unknown_outcome(message.to_owned()).into_response();
                }
            }
        }
    }
    let Asked { parts, body, .. } = asked;
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

/// How long each of the others is waited for: longer than it waits itself for whom it asks.
fn answer_max(changes: bool, hops: u32) -> Duration {
    if changes { CHANGE_ANSWER_MAX } else { READ_ANSWER_MAX * HOPS_MAX.saturating_sub(hops) }
}

/// Returns once a machine leads that is not the one that leads now, or none has led for a while;
/// says which.
async fn until_led_otherwise(node: &Node) -> &'static str {
    const BY_ANOTHER: &str = "another machine has come to lead meanwhile";
    let mut leadership = node.access().leadership();
    let before = leadership.borrow().leader;
    loop {
        match leadership.wait_for(|now| now.leader != before).await {
            Ok(now) if now.leader.is_none() => {}
            // An error means that the daemon ends.
            Ok(_) | Err(_) => return BY_ANOTHER,
        }
        let led = leadership.wait_for(|now| now.leader.is_some());
        if tokio::time::timeout(LEADER_WAIT, led).await.is_err() {
            return "the cluster has come to be without a leader";
        }
    }
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

/// A request that is passed on.
struct Asked {
    parts: Parts,
    body: Bytes,
    /// How often it has been passed on then.
    hops: u32,
    /// How long each one that is asked is waited for.
    answer_max: Duration,
}

impl Asked {
    /// Asks others in their order; `None` if none of them can be reached, or, with a read, if none
    /// of them answers.
    async fn of(&self, others: &[Client]) -> Option<Response> {
        let target = self.parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = format!("/operator{target}");
        for other in others {
            let method = self.parts.method.clone();
            let answer = other.forward(method, &target, self.body.clone(), self.hops);
            let why = match tokio::time::timeout(self.answer_max, answer).await {
                Ok(Ok(Forwarded { status, body, note })) => {
                    let json = [(CONTENT_TYPE, "application/json")];
                    return Some(noted((status, json, body).into_response(), note));
                }
                // Nothing was sent.
                Ok(Err(ClientError::Connect { .. })) => continue,
                Ok(Err(error)) => chain(&error),
                Err(_) => format!("{} does not answer", other.server()),
            };
            // A read has done nothing, wherever it was cut off.
            if self.parts.method != Method::GET {
                return Some(unknown_outcome(why).into_response());
            }
            tracing::debug!(why, "a read that was passed on was not answered");
        }
        None
    }
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

#[cfg(test)]
mod tests;
