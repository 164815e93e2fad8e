//! Requests to registries: authentication, redirects, retries, and the answers' limits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::answers::{checked, empty, redirected, retrying, timeout, unwrapped};
use super::auth_file::AuthFiles;
use super::challenge;
use super::connect::Connector;
use super::failure::RegistryError;
use super::resolve::Names;
use super::settings::{Endpoint, Registries, Transport};
use super::tls;
use super::tokens::Tokens;
use crate::digest::Digest;
use crate::manifest::ACCEPTED;
use crate::reference::Reference;

/// From request to headers. A registry that has to fetch from its own storage takes seconds.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Registry, storage, and one more that moved.
const REDIRECTS_MAX: usize = 5;
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
    /// How long it may take until the answer begins; the request's own body counts.
    pub(super) limit: Duration,
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
                limit: ANSWER_LIMIT,
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
            let response = self.send(request, ask.endpoint, &url, ask.limit).await?;
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
        limit: Duration,
    ) -> Result<Response<Incoming>, RegistryError> {
        // What a registry redirects to, or its token service, is verified as the web is.
        let own = request.uri().authority().is_some_and(|host| host.as_str() == endpoint.authority);
        let (transport, ca) = if own {
            (endpoint.transport, endpoint.ca.clone())
        } else {
            (Transport::Tls, endpoint.ca.clone().filter(|_| endpoint.transport == Transport::Tls))
        };
        let client = self.client(transport, ca)?;
        match tokio::time::timeout(limit, client.request(request)).await {
            Err(_) => Err(RegistryError::Timeout { url: url.to_owned(), limit }),
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
