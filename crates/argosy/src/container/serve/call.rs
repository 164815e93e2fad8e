//! A request, taken apart: where to, with which parameters, and what its body says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::answer::Refusal;
use super::system::{API_MAX, API_MIN};

/// Largest body of a request that is not a stream: docker's own configurations are some kilobytes, and
/// environments may be a megabyte.
const BODY_MAX: usize = 4 << 20;
/// How long such a body may take.
const BODY_WAIT: Duration = Duration::from_secs(60);

/// One request.
pub(super) struct Call {
    pub(super) method: Method,
    /// Of its path, without the version.
    pub(super) segments: Vec<String>,
    pub(super) query: Query,
    pub(super) request: Request<Incoming>,
    /// The connection's place among those that there may be; a stream that goes on beside the request
    /// keeps it.
    pub(super) place: Arc<OwnedSemaphorePermit>,
}

impl Call {
    pub(super) fn of(
        request: Request<Incoming>,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Result<Call, Refusal> {
        let segments = segments(request.uri().path())?;
        let query = Query::of(request.uri().query().unwrap_or_default())?;
        Ok(Call { method: request.method().clone(), segments, query, request, place })
    }

    /// Tells whether the client wants the connection for itself, as docker's own does.
    pub(super) fn upgrades(&self) -> bool {
        self.request.headers().contains_key(UPGRADE)
    }

    /// Reads the body.
    pub(super) async fn bytes(self) -> Result<Bytes, Refusal> {
        let body = Limited::new(self.request.into_body(), BODY_MAX).collect();
        match timeout(BODY_WAIT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(Refusal::bad(format!(
                "the body cannot be read, or is larger than {BODY_MAX} bytes: {error}"
            ))),
            Err(_) => Err(Refusal::bad(format!("the body took longer than {BODY_WAIT:?}"))),
        }
    }

    /// Reads the body as JSON; an empty one is an empty object.
    pub(super) async fn json(self) -> Result<Value, Refusal> {
        let bytes = self.bytes().await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Object(Default::default()));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            Refusal::bad(format!("the body is not the JSON it should be: {error}"))
        })
    }
}

/// Returns the parts of a path behind its version, if it has one; refuses other versions.
fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let mut segments = Vec::new();
    for part in path.split('/').filter(|it| !it.is_empty()) {
        segments.push(decoded(part)?);
    }
    let Some(version) = segments.first().and_then(|it| version(it)) else { return Ok(segments) };
    let order = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    if order(&version) > order(API_MAX) {
        return Err(Refusal::bad(format!(
            "client version {version} is too new. Maximum supported API version is {API_MAX}"
        )));
    }
    if order(&version) < order(API_MIN) {
        return Err(Refusal::bad(format!(
            "client version {version} is too old. Minimum supported API version is {API_MIN}, \
             please upgrade your client to a newer version"
        )));
    }
    segments.remove(0);
    Ok(segments)
}

/// Returns the version that a part of a path names: `v1.41`.
fn version(part: &str) -> Option<String> {
    let text = part.strip_prefix('v')?;
    let (major, minor) = text.split_once('.')?;
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    (digits(major) && digits(minor)).then(|| text.to_owned())
}

/// Undoes percent-encoding.
fn decoded(part: &str) -> Result<String, Refusal> {
    let wrong = || Refusal::bad(format!("{part:?} in the path is not encoded as it should be"));
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|it| std::str::from_utf8(it).ok()).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// The parameters behind the path.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: &str) -> Result<Query, Refusal> {
        serde_urlencoded::from_str(text)
            .map(Query)
            .map_err(|error| Refusal::bad(format!("the query cannot be read: {error}")))
    }

    /// Returns a parameter that says something.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let said = self.0.iter().find(|it| it.0 == name && !it.1.is_empty());
        said.map(|it| it.1.as_str())
    }

    /// Returns all that one says which may be said several times.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let said = self.0.iter().filter(move |it| it.0 == name).map(|it| it.1.as_str());
        said.filter(|it| !it.is_empty())
    }

    /// Reads a switch as docker does: whatever is not a word for no is yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|it| {
            !matches!(it.to_ascii_lowercase().as_str(), "0" | "no" | "false" | "none")
        })
    }

    /// Reads a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                Refusal::bad(format!("{text:?} is no number for the parameter {name}"))
            })
        };
        self.get(name).map(read).transpose()
    }

    /// Reads `filters`: of each key its values, as `KEY=VALUE`.
    pub(super) fn filters(&self) -> Result<Vec<String>, Refusal> {
        let Some(text) = self.get("filters") else { return Ok(Vec::new()) };
        let wrong = || Refusal::bad(format!("the parameter filters is not understood: {text}"));
        let Ok(Value::Object(filters)) = serde_json::from_str(text) else { return Err(wrong()) };
        let mut read = Vec::new();
        for (key, values) in filters {
            match values {
                // docker's own client, and those of before.
                Value::Object(values) => {
                    let on = values.iter().filter(|(_, on)| **on != Value::Bool(false));
                    read.extend(on.map(|(value, _)| format!("{key}={value}")));
                }
                Value::Array(values) => {
                    for value in values {
                        let value = value.as_str().ok_or_else(wrong)?;
                        read.push(format!("{key}={value}"));
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_have_a_version_that_is_served() {
        let of = |path: &str| segments(path).map_err(|it| it.message);
        assert_eq!(of("/v1.41/containers/json").unwrap(), ["containers", "json"]);
        assert_eq!(of("/containers/a%2Fb/json").unwrap(), ["containers", "a/b", "json"]);
        assert_eq!(of("/version").unwrap(), ["version"]);
        assert_eq!(of("/_ping").unwrap(), ["_ping"]);
        assert!(
            of("/v1.44/info").unwrap_err().contains("too new. Maximum supported API version is")
        );
        assert!(of("/v1.24/info").unwrap_err().contains("too old"));
        assert!(of("/containers/%g1/json").is_err() && of("/%e4").is_err());
    }

    #[test]
    fn filters_come_in_two_forms() {
        let read = |text: &str| {
            let query = format!("filters={text}");
            Query::of(&query).unwrap().filters().map_err(|it| it.status.as_u16())
        };
        assert_eq!(
            read(r#"{"label":{"a=b":true,"off":false},"name":["web"]}"#).unwrap(),
            ["label=a=b", "name=web"]
        );
        assert_eq!(read("").unwrap(), [""; 0]);
        assert_eq!(read("[]").unwrap_err(), 400);
    }

    #[test]
    fn switches_are_read_as_docker_reads_them() {
        let query = Query::of("a=1&b=0&c=true&d=False&e=").unwrap();
        let on = ["a", "b", "c", "d", "e", "f"].map(|it| query.is_on(it));
        assert_eq!(on, [true, false, true, false, false, false]);
        assert_eq!(Query::of("t=x").unwrap().number::<u64>("t").unwrap_err().status, 400);
    }
}
