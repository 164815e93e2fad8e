//! Requests to registries: authentication, redirects, retries, and the answers' limits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::auth_file::AuthFiles;
use super::challenge;
use super::connect::Connector;
use super::failure::RegistryError;
use super::resolve::Names;
use super::settings::{Endpoint, Registries, Transport, host_of, is_loopback};
use super::tls;
use super::tokens::Tokens;
use crate::digest::Digest;
use crate::manifest::ACCEPTED;
use crate::reference::Reference;

/// From request to headers. A registry that has to fetch from its own storage takes seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Registry, storage, and one more that moved.
const REDIRECTS_MAX: usize = 5;
/// Tries of one request to one place. With the waits between them some three seconds.
const TRIES_MAX: u32 = 4;
/// Doubled with each try.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// No registry is waited for longer between two tries, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The explanation of an error; what is longer is a page for people.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Idle connections to one host that are kept.
const IDLE_MAX: usize = 8;

pub(super) type Body = BoxBody<Bytes, std::io::Error>;
type Http = Client<Connector, Body>;

/// Speaks to registries. Cheap to clone; connections and tokens are shared.
#[derive(Clone)]
pub struct RegistryClient {
    inner: Arc<Inner>,
}

struct Inner {
    registries: Registries,
    names: Arc<Names>,
    clients: Mutex<HashMap<(Transport, Option<PathBuf>), Http>>,
    tokens: Tokens,
}

/// Where something was found.
pub(crate) type Source = Endpoint;

/// A manifest or index as a registry gave it.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) source: Source,
}

/// What is asked of a place.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) endpoint: &'a Endpoint,
    /// `pull` or `pull,push`.
    pub(super) actions: &'static str,
}

impl RegistryClient {
    pub fn new(registries: Registries, auth_files: AuthFiles) -> Self {
        Self {
            inner: Arc::new(Inner {
                registries,
                names: Arc::default(),
                clients: Mutex::default(),
                tokens: Tokens::new(auth_files),
            }),
        }
    }

    /// Where an image may be, the mirrors first.
    pub(crate) fn places(&self, reference: &Reference) -> Result<Vec<Endpoint>, RegistryError> {
        if self.inner.registries.is_blocked(reference) {
            return Err(RegistryError::Blocked { registry: reference.registry().to_owned() });
        }
        Ok(self.inner.registries.endpoints(reference))
    }

    pub(super) fn origin(&self, reference: &Reference) -> Result<Endpoint, RegistryError> {
        if self.inner.registries.is_blocked(reference) {
            return Err(RegistryError::Blocked { registry: reference.registry().to_owned() });
        }
        Ok(self.inner.registries.origin(reference))
    }

    /// Gets a manifest from the first place that has it. What the origin says counts if none has.
    pub(crate) async fn manifest(
        &self,
        reference: &Reference,
        bytes_max: u64,
    ) -> Result<Fetched, RegistryError> {
        let mut last = None;
        for endpoint in self.places(reference)? {
            match self.manifest_at(&endpoint, &reference.manifest_name(), bytes_max).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| RegistryError::Blocked {
            registry: reference.registry().to_owned(),
        }))
    }

    /// Gets a manifest from one place; `name` is a tag or digest.
    pub(crate) async fn manifest_at(
        &self,
        endpoint: &Endpoint,
        name: &str,
        bytes_max: u64,
    ) -> Result<Fetched, RegistryError> {
        let url = endpoint.url(&format!("manifests/{name}"));
        let (headers, bytes) = self.small(endpoint, &url, "a manifest", bytes_max).await?;
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let digest = match name.parse::<Digest>() {
            Ok(expected) if expected.names(&bytes) => expected,
            Ok(expected) => {
                return Err(RegistryError::Digest { url, expected, found: Digest::sha256(&bytes) });
            }
            Err(_) => Digest::sha256(&bytes),
        };
        if let Some(stated) =
            text("docker-content-digest").and_then(|stated| stated.parse::<Digest>().ok())
            && !stated.names(&bytes)
        {
            return Err(RegistryError::Digest { url, expected: stated, found: digest });
        }
        let media_type = text(CONTENT_TYPE.as_str())
            .and_then(|text| Some(text.split(';').next()?.trim().to_owned()));
        Ok(Fetched { bytes, media_type, digest, source: endpoint.clone() })
    }

    /// Gets a small blob, such as a configuration, and verifies it.
    pub(crate) async fn small_blob(
        &self,
        source: &Source,
        digest: &Digest,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let url = source.url(&format!("blobs/{digest}"));
        let (_, bytes) = self.small(source, &url, "a configuration", bytes_max).await?;
        if digest.names(&bytes) {
            return Ok(bytes);
        }
        let found = Digest::sha256(&bytes);
        Err(RegistryError::Digest { url, expected: digest.clone(), found })
    }

    /// Gets a whole answer into memory, trying again where that may help.
    async fn small(
        &self,
        endpoint: &Endpoint,
        url: &str,
        what: &'static str,
        max: u64,
    ) -> Result<(HeaderMap, Vec<u8>), RegistryError> {
        retrying(|| async {
            let mut headers = HeaderMap::new();
            for accepted in ACCEPTED {
                headers.append(ACCEPT, http::HeaderValue::from_static(accepted));
            }
            let ask = Ask {
                method: Method::GET,
                url: url.to_owned(),
                headers,
                endpoint,
                actions: "pull",
            };
            let response = self.ask(&ask).await?;
            let headers = response.headers().clone();
            let limit = usize::try_from(max).unwrap_or(usize::MAX);
            let body = Limited::new(response.into_body(), limit);
            let collected = tokio::time::timeout(ANSWER_LIMIT, body.collect()).await;
            let collected = collected.map_err(|_| timeout(url))?;
            let bytes = collected.map_err(|source| {
                if source.is::<http_body_util::LengthLimitError>() {
                    return RegistryError::TooLarge { url: url.to_owned(), what, max };
                }
                RegistryError::Broken { url: url.to_owned(), source }
            })?;
            Ok((headers, bytes.to_bytes().to_vec()))
        })
        .await
    }

    /// Asks once, with a token if one is asked for. Anything but success is an error.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, RegistryError> {
        let response = self.ask_with(ask, || Ok(empty())).await?;
        checked(response, ask).await
    }

    /// The same with a body, which is made again if the registry first asks for a token.
    pub(super) async fn ask_with(
        &self,
        ask: &Ask<'_>,
        body: impl Fn() -> Result<Body, RegistryError> + Sync,
    ) -> Result<Response<Incoming>, RegistryError> {
        let known = self.inner.tokens.known(ask.endpoint, ask.actions);
        let response = self.follow(ask, known.as_deref(), &body).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let texts: Vec<&str> = headers.iter().filter_map(|header| header.to_str().ok()).collect();
        let header = texts.join(", ");
        let Some(challenge) = challenge::parse(&header) else {
            let registry = ask.endpoint.authority.clone();
            return Err(RegistryError::Challenge { registry, header });
        };
        let token = self.inner.tokens.get(self, ask.endpoint, ask.actions, challenge).await?;
        match token {
            Some(token) => self.follow(ask, Some(&token), &body).await,
            None => Ok(response),
        }
    }

    /// Sends a request and follows where it is redirected to. Only the registry itself is told
    /// who asks.
    async fn follow(
        &self,
        ask: &Ask<'_>,
        authorization: Option<&str>,
        body: &(impl Fn() -> Result<Body, RegistryError> + Sync),
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut uri: Uri =
            ask.url.parse().map_err(|_| RegistryError::Url { url: ask.url.clone() })?;
        let authority = uri.authority().cloned();
        for _ in 0..=REDIRECTS_MAX {
            let mut request = Request::builder().method(ask.method.clone()).uri(uri.clone());
            for (name, value) in &ask.headers {
                request = request.header(name, value);
            }
            if let Some(authorization) = authorization
                && uri.authority() == authority.as_ref()
            {
                request = request.header(AUTHORIZATION, authorization);
            }
            let url = uri.to_string();
            let request =
                request.body(body()?).map_err(|_| RegistryError::Url { url: url.clone() })?;
            let response = self.send(request, ask.endpoint, &url).await?;
            let redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirect || !matches!(ask.method, Method::GET | Method::HEAD) {
                return Ok(response);
            }
            uri = redirected(&uri, &response)?;
        }
        Err(RegistryError::Redirect { url: ask.url.clone(), reason: "in a circle" })
    }

    pub(super) async fn send(
        &self,
        request: Request<Body>,
        endpoint: &Endpoint,
        url: &str,
    ) -> Result<Response<Incoming>, RegistryError> {
        // What a registry redirects to, or its token service, is verified as the web is.
        let own = request.uri().authority().is_some_and(|host| host.as_str() == endpoint.authority);
        let (transport, ca) = if own {
            (endpoint.transport, endpoint.ca.clone())
        } else {
            (Transport::Tls, endpoint.ca.clone().filter(|_| endpoint.transport == Transport::Tls))
        };
        let client = self.client(transport, ca)?;
        match tokio::time::timeout(ANSWER_LIMIT, client.request(request)).await {
            Err(_) => Err(timeout(url)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unwrapped(error, url)),
        }
    }

    fn client(&self, transport: Transport, ca: Option<PathBuf>) -> Result<Http, RegistryError> {
        let mut clients = self.inner.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(transport, ca.clone())) {
            return Ok(client.clone());
        }
        let tls = tls::config(transport, ca.as_deref())?;
        let connector = Connector { names: Arc::clone(&self.inner.names), tls };
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IDLE_MAX).build(connector);
        clients.insert((transport, ca), client.clone());
        Ok(client)
    }
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn timeout(url: &str) -> RegistryError {
    RegistryError::Timeout { url: url.to_owned(), limit: ANSWER_LIMIT }
}

/// The connector's own error if it is one; hyper wraps it.
fn unwrapped(error: hyper_util::client::legacy::Error, url: &str) -> RegistryError {
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

fn redirected(from: &Uri, response: &Response<Incoming>) -> Result<Uri, RegistryError> {
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
