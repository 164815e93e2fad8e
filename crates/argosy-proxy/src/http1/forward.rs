//! One request: sent to an endpoint, and to another one where that is allowed.

use std::error::Error;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use http::{Request, Response, StatusCode, Version};

use super::Failed;
use super::body::{BodyError, RequestBody, ResponseBody};
use super::upstream::{self, Leased, Upstream};
use crate::connect::{Connected, connect};
use crate::headers;
use crate::retry::{self, Attempt, Decision, Failure};
use crate::worker::{Busy, LocalEndpoint, OpenClient, Tried};

/// What a try came to, if not to a response.
enum Missed {
    /// The endpoint's side failed; the request comes back if it was not used up.
    Endpoint(Failure, Option<Box<Request<RequestBody>>>),
    /// The client's body failed.
    Client(Failed),
}

/// Forwards a prepared request.
pub(super) async fn forward(
    client: &OpenClient,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Failed> {
    let idempotent = retry::idempotent(request.method());
    // A request that may be sent twice is copied before it is used up; its body cannot be.
    let copies = idempotent && request.body().progress().is_none();
    let mut attempt = Attempt { idempotent, ..Attempt::default() };
    let (mut tried, mut fresh) = (Vec::new(), false);
    let mut next = request;
    loop {
        let Some(picked) = client.listener.pick(&tried) else {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Failed { status, why: "it has no endpoint" });
        };
        let spare = copies.then(|| copy(&next));
        let (failure, unused) = match reach(client, picked, fresh, &mut tried).await {
            Ok(reached) => {
                let endpoint = Rc::clone(&reached.endpoint);
                match send(client, reached, next, copies).await {
                    Ok(response) => return Ok(response),
                    Err(Missed::Client(failed)) => return Err(failed),
                    Err(Missed::Endpoint(failure, unused)) => {
                        tried.push(Tried { endpoint, silent: failure.is_silence() });
                        (failure, unused.map(|request| *request))
                    }
                }
            }
            Err(failure) => (failure, Some(next)),
        };
        let left = unused.or(spare);
        attempt.whole = left.is_some();
        attempt.count(tried.len(), failure);
        match (retry::decide(failure, attempt), left) {
            (Decision::Again, Some(request)) => next = request,
            (Decision::Answer(status), _) => return Err(Failed { status, why: why(failure) }),
            (Decision::Again, None) => {
                return Err(Failed { status: StatusCode::BAD_GATEWAY, why: why(failure) });
            }
        }
        client.listener.cell().retries.fetch_add(1, Ordering::Relaxed);
        // Other idle connections have probably met the same end.
        fresh = true;
    }
}

/// A connection that is this request's, and where it leads.
struct Reached {
    endpoint: Rc<LocalEndpoint>,
    busy: Busy,
    upstream: Upstream,
}

/// Takes an idle connection to an endpoint unless it must be `fresh`, or opens one, perhaps to
/// another endpoint that is quicker. Those that gave none are added to `tried`.
async fn reach(
    client: &OpenClient,
    endpoint: Rc<LocalEndpoint>,
    fresh: bool,
    tried: &mut Vec<Tried>,
) -> Result<Reached, Failure> {
    let idle = if fresh { None } else { Upstream::take(&endpoint) };
    if let Some(upstream) = idle {
        let busy = client.busy(&endpoint);
        return Ok(Reached { endpoint, busy, upstream });
    }
    let Connected { endpoint, busy, stream } = connect(client, endpoint, tried).await?;
    match Upstream::over(stream).await {
        Ok(upstream) => Ok(Reached { endpoint, busy, upstream }),
        Err(failure) => {
            endpoint.cell.failed();
            tried.push(Tried { endpoint, silent: false });
            Err(failure)
        }
    }
}

/// One try. If the request may be sent elsewhere (`again`) a silent machine is not waited for.
async fn send(
    client: &OpenClient,
    reached: Reached,
    request: Request<RequestBody>,
    again: bool,
) -> Result<Response<ResponseBody>, Missed> {
    let limits = &client.listener.worker.shared.config.limits;
    let Reached { endpoint, busy, mut upstream } = reached;
    // Withdrawn while the connection was opened: nothing new goes there, whoever withdrew it
    // may have been told so.
    if endpoint.cell.is_withdrawn() {
        return Err(Missed::Endpoint(Failure::NotSent, Some(Box::new(request))));
    }
    let silent = async {
        if again {
            upstream::silence(&endpoint, limits).await;
        } else {
            std::future::pending().await
        }
    };
    let response = match upstream.exchange(request, limits.first_byte, silent).await {
        Some(Ok(response)) if response.status() != StatusCode::SWITCHING_PROTOCOLS => response,
        Some(Ok(_)) => {
            endpoint.cell.failed();
            return Err(Missed::Endpoint(Failure::Malformed, None));
        }
        None => {
            endpoint.cell.failed();
            return Err(Missed::Endpoint(Failure::ResponseTimeout, None));
        }
        Some(Err(mut missed)) => {
            if let Some(request) = missed.take_message() {
                return Err(Missed::Endpoint(Failure::NotSent, Some(Box::new(request))));
            }
            let error = missed.into_error();
            if let Some(failed) = clients_fault(&error) {
                return Err(Missed::Client(failed));
            }
            let failure = if error.is_parse() { Failure::Malformed } else { Failure::Reset };
            tracing::debug!(
                address = %endpoint.cell.endpoint.address,
                error = &error as &dyn Error,
                "no response"
            );
            // That an endpoint closes an idle connection is no failure of it.
            if !(upstream.reused && failure == Failure::Reset) {
                endpoint.cell.failed();
            }
            return Err(Missed::Endpoint(failure, None));
        }
    };
    endpoint.cell.succeeded();
    let (mut head, incoming) = response.into_parts();
    headers::strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    let leased = Leased::new(Some(upstream), endpoint, busy);
    Ok(Response::from_parts(head, ResponseBody::of(incoming, leased, limits.stalled)))
}

/// Returns the answer for a request whose own body failed.
fn clients_fault(error: &hyper::Error) -> Option<Failed> {
    match error.source()?.downcast_ref()? {
        BodyError::Stalled => {
            Some(Failed { status: StatusCode::REQUEST_TIMEOUT, why: "the request's body stalled" })
        }
        BodyError::Cut(_) => {
            Some(Failed { status: StatusCode::BAD_REQUEST, why: "the request's body is broken" })
        }
    }
}

pub(super) fn why(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "no endpoint could be connected to",
        Failure::ConnectTimeout => "no endpoint took the connection in time",
        Failure::NotSent => "the connection to the endpoint was lost",
        Failure::Reset => "the endpoint closed the connection without a response",
        Failure::ResponseTimeout => "the endpoint did not answer in time",
        Failure::Malformed => "the endpoint's response is malformed",
    }
}

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::none());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}
