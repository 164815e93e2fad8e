//! What becomes of answers that are no success, and when a request is tried again.

use std::time::Duration;

use http::header::{LOCATION, RETRY_AFTER};
use http::{Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;

use super::client::{ANSWER_LIMIT, Ask, Body};
use super::failure::RegistryError;
use super::settings::{host_of, is_loopback};

/// Tries of one request to one place. With the waits between them some three seconds.
const TRIES_MAX: u32 = 4;
/// Doubled with each try.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// No registry is waited for longer between two tries, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The explanation of an error; what is longer is a page for people.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(super) fn timeout(url: &str) -> RegistryError {
    RegistryError::Timeout { url: url.to_owned(), limit: ANSWER_LIMIT }
}

/// The connector's own error if it is one; hyper wraps it.
pub(super) fn unwrapped(error: hyper_util::client::legacy::Error, url: &str) -> RegistryError {
    let connecting = error.is_connect();
    let wrapped: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    if connecting {
        let cause = wrapped.source().and_then(|cause| cause.downcast_ref::<RegistryError>());
        match cause {
            Some(RegistryError::Connect { host, source }) => {
                return RegistryError::Connect {
                    host: host.clone(),
                    source: chain(source.as_ref()),
                };
            }
            Some(RegistryError::Resolve { host, source }) => {
                return RegistryError::Resolve {
                    host: host.clone(),
                    source: chain(source.as_ref()),
                };
            }
            _ => {}
        }
    }
    RegistryError::Broken { url: url.to_owned(), source: wrapped }
}

/// A cause that cannot be moved out of its wrapping, as text.
fn chain(
    error: &(dyn std::error::Error + Send + Sync),
) -> Box<dyn std::error::Error + Send + Sync> {
    error.to_string().into()
}

pub(super) fn redirected(from: &Uri, response: &Response<Incoming>) -> Result<Uri, RegistryError> {
    let wrong = |reason| RegistryError::Redirect { url: from.to_string(), reason };
    let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
    let place = place.ok_or_else(|| wrong("to nowhere"))?;
    let to = absolute(from, place).ok_or_else(|| wrong("to something that is not a URL"))?;
    let plain = to.scheme_str() != Some("https");
    let loopback = to.host().is_some_and(|host| is_loopback(host_of(host)));
    if plain && from.scheme_str() == Some("https") {
        return Err(wrong("from TLS to a place without"));
    }
    if plain && to.authority() != from.authority() && !loopback {
        return Err(wrong("to another host without TLS"));
    }
    Ok(to)
}

/// Makes a `Location` whole.
pub(super) fn absolute(from: &Uri, place: &str) -> Option<Uri> {
    if place.starts_with('/') {
        return format!("{}://{}{place}", from.scheme_str()?, from.authority()?).parse().ok();
    }
    place.parse().ok().filter(|uri: &Uri| uri.authority().is_some())
}

/// Makes an error of an answer that is none.
pub(super) async fn checked(
    response: Response<Incoming>,
    ask: &Ask<'_>,
) -> Result<Response<Incoming>, RegistryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|after| after.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let message = message(response).await;
    let (url, registry) = (ask.url.clone(), ask.endpoint.authority.clone());
    Err(match status {
        StatusCode::NOT_FOUND => RegistryError::NotFound { url, message },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let repository = ask.endpoint.repository.clone();
            RegistryError::Denied { registry, repository, message }
        }
        StatusCode::TOO_MANY_REQUESTS => RegistryError::Limited { registry, message, after },
        status => RegistryError::Status { url, status, message },
    })
}

/// What a registry says about an error: `{"errors": [{"code", "message"}]}`.
pub(super) async fn message(response: Response<Incoming>) -> Option<String> {
    let body = Limited::new(response.into_body(), MESSAGE_BYTES_MAX).collect();
    let bytes = tokio::time::timeout(ANSWER_LIMIT, body).await.ok()?.ok()?.to_bytes();
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let error = value.get("errors")?.get(0)?;
    let text = |key: &str| error.get(key)?.as_str().filter(|text| !text.is_empty());
    let said = text("message").or_else(|| text("code"))?;
    Some(said.chars().filter(|char| !char.is_control()).take(300).collect())
}

/// Does something again as long as that may help.
pub(super) async fn retrying<T, F: Future<Output = Result<T, RegistryError>>>(
    attempt: impl Fn() -> F,
) -> Result<T, RegistryError> {
    let mut tries = 1;
    loop {
        match attempt().await {
            Err(error) if error.is_transient() && tries < TRIES_MAX => {
                tokio::time::sleep(pause(tries, error.wait())).await;
                tries += 1;
            }
            other => return other,
        }
    }
}

/// How long to wait after a number of failed tries: doubled each time, and not the same for all.
pub(super) fn pause(tries: u32, asked: Option<Duration>) -> Duration {
    let mut random = [0; 1];
    // Without chance all clients wait alike, which still is a wait.
    let _filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    let base = FIRST_WAIT * 2_u32.saturating_pow(tries.saturating_sub(1));
    let spread = base * u32::from(random[0]) / 512;
    asked.unwrap_or(base + spread).min(WAIT_MAX)
}
