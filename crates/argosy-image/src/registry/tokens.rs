//! Tokens: got from the service that a registry names, kept until they expire.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;

use super::answers::{empty, message, retrying};
use super::auth_file::{AuthFiles, Credentials};
use super::challenge::Challenge;
use super::client::{ANSWER_LIMIT, Body, RegistryClient};
use super::failure::RegistryError;
use super::settings::{Endpoint, host_of, is_loopback};

/// Tokens are a few kilobytes, with many groups of a user in them.
const TOKEN_BYTES_MAX: usize = 256 << 10;
/// What a token lives that does not say; the specification's number.
const USUAL_LIFE: Duration = Duration::from_secs(60);
/// Not used in the last of its life: it has to arrive, too.
const LAST_OF_LIFE: Duration = Duration::from_secs(10);

/// Tokens by host, repository and actions.
type Key = (String, String, &'static str);

/// What is known of who asks.
pub(super) struct Tokens {
    files: AuthFiles,
    known: Mutex<HashMap<Key, (String, Option<Instant>)>>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Tokens {
    pub(super) fn new(files: AuthFiles) -> Self {
        Self { files, known: Mutex::default() }
    }

    /// The `Authorization` that worked before.
    pub(super) fn known(&self, endpoint: &Endpoint, actions: &'static str) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (header, until) = known.get(&key(endpoint, actions))?;
        until.is_none_or(|until| Instant::now() < until).then(|| header.clone())
    }

    /// What to answer a challenge with; nothing if there is nothing to say.
    pub(super) async fn get(
        &self,
        client: &RegistryClient,
        endpoint: &Endpoint,
        actions: &'static str,
        challenge: Challenge,
    ) -> Result<Option<String>, RegistryError> {
        let credentials = self.files.find(&endpoint.credentials)?;
        let (header, until) = match (challenge, credentials) {
            (Challenge::Basic, Some(Credentials::Password { user, password })) => {
                (basic(&user, &password), None)
            }
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service, scope }, credentials) => {
                // The registry's own scope may ask for less than the next request needs.
                let scope = match actions {
                    "pull" => scope.unwrap_or_else(|| own_scope(endpoint, actions)),
                    _ => own_scope(endpoint, actions),
                };
                let service = service.unwrap_or_default();
                let request = TokenRequest { realm, service, scope, credentials };
                let answer = retrying(|| request.send(client, endpoint)).await?;
                let life = answer.expires_in.map_or(USUAL_LIFE, Duration::from_secs);
                let until = Instant::now() + life.saturating_sub(LAST_OF_LIFE);
                let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
                let Some(token) = token else {
                    return Err(RegistryError::Token { realm: request.realm, message: None });
                };
                (format!("Bearer {token}"), Some(until))
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key(endpoint, actions), (header.clone(), until));
        Ok(Some(header))
    }
}

struct TokenRequest {
    realm: String,
    service: String,
    scope: String,
    credentials: Option<Credentials>,
}

impl TokenRequest {
    async fn send(
        &self,
        client: &RegistryClient,
        endpoint: &Endpoint,
    ) -> Result<Answer, RegistryError> {
        let request = self.request()?;
        let url = request.uri().clone();
        let secure = url.scheme_str() == Some("https");
        let loopback = url.host().is_some_and(|host| is_loopback(host_of(host)));
        // Only the user can say that a host is spoken to without TLS.
        let same = url.authority().is_some_and(|host| host.as_str() == endpoint.authority);
        if !(secure || loopback || same && endpoint.scheme() == "http") {
            return Err(RegistryError::PlainRealm { realm: self.realm.clone() });
        }
        let response = client.send(request, endpoint, &self.realm, ANSWER_LIMIT).await?;
        let status = response.status();
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            let message = message(response).await;
            return Err(RegistryError::Status { url: self.realm.clone(), status, message });
        }
        if !status.is_success() {
            let message = message(response).await.or_else(|| Some(status.to_string()));
            return Err(RegistryError::Token { realm: self.realm.clone(), message });
        }
        let body = Limited::new(response.into_body(), TOKEN_BYTES_MAX);
        let bytes = body
            .collect()
            .await
            .map_err(|source| RegistryError::Broken { url: self.realm.clone(), source })?;
        serde_json::from_slice(&bytes.to_bytes()).map_err(|error| RegistryError::Token {
            realm: self.realm.clone(),
            message: Some(error.to_string()),
        })
    }

    fn request(&self) -> Result<Request<Body>, RegistryError> {
        let wrong = |_| RegistryError::Url { url: self.realm.clone() };
        let (service, scope) = (escaped(&self.service), escaped(&self.scope));
        if let Some(Credentials::IdentityToken(token)) = &self.credentials {
            let token = escaped(token);
            let form = format!(
                "grant_type=refresh_token&client_id=argosy&service={service}&scope={scope}&refresh_token={token}"
            );
            let body = Full::new(Bytes::from(form)).map_err(|never| match never {}).boxed();
            return Request::builder()
                .method(Method::POST)
                .uri(&self.realm)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body)
                .map_err(wrong);
        }
        let separator = if self.realm.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}service={service}&scope={scope}", self.realm);
        let mut request = Request::builder().method(Method::GET).uri(url);
        if let Some(Credentials::Password { user, password }) = &self.credentials {
            request = request.header(AUTHORIZATION, basic(user, password));
        }
        request.body(empty()).map_err(wrong)
    }
}

fn key(endpoint: &Endpoint, actions: &'static str) -> Key {
    (endpoint.authority.clone(), endpoint.repository.clone(), actions)
}

fn own_scope(endpoint: &Endpoint, actions: &str) -> String {
    format!("repository:{}:{actions}", endpoint.repository)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Percent-encodes all but what is plain everywhere.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
        escaped
    })
}
