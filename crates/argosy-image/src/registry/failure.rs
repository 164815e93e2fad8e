//! Why a registry did not give what it was asked for, and whether asking again may help.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use super::auth_file::AuthFileError;
use crate::digest::Digest;

/// What went wrong between this machine and a registry.
#[derive(Debug, Error)]
pub enum RegistryError {
    #[error("registry {registry} is blocked by the configuration")]
    Blocked { registry: String },
    #[error("{url} is not a URL that can be asked")]
    Url { url: String },
    #[error("cannot find the address of {host}")]
    Resolve { host: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot connect to {host}")]
    Connect { host: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot read certificates from {}", path.display())]
    Certificates { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    #[error("{url} did not answer within {} s", limit.as_secs())]
    Timeout { url: String, limit: Duration },
    #[error("the connection to {url} broke")]
    Broken { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{url} is not there{}", said(message))]
    NotFound { url: String, message: Option<String> },
    #[error(
        "{registry} does not let this user at {repository}{}; log in with `podman login` or `docker login`, or check the name",
        said(message)
    )]
    Denied { registry: String, repository: String, message: Option<String> },
    #[error("{registry} asks for too few requests: it has limited this machine{}", said(message))]
    Limited { registry: String, message: Option<String>, after: Option<Duration> },
    #[error("{url} answers {status}{}", said(message))]
    Status { url: String, status: StatusCode, message: Option<String> },
    #[error("{url} sends {what} of more than {max} bytes")]
    TooLarge { url: String, what: &'static str, max: u64 },
    #[error("{url} sends something else than {expected}: {found}")]
    Digest { url: String, expected: Digest, found: Digest },
    #[error("{url} redirects {reason}")]
    Redirect { url: String, reason: &'static str },
    #[error("{registry} asks for authentication in a way that is not known: {header:?}")]
    Challenge { registry: String, header: String },
    #[error("the token service {realm} gives no token{}", said(message))]
    Token { realm: String, message: Option<String> },
    #[error("the token service {realm} is not spoken to without TLS")]
    PlainRealm { realm: String },
    #[error(transparent)]
    Credentials(#[from] AuthFileError),
    #[error("cannot read what is to be sent")]
    Upload(#[source] std::io::Error),
    #[error("{url} does not say where to send the blob")]
    UploadPlace { url: String },
}

fn said(message: &Option<String>) -> String {
    message.as_ref().map_or_else(String::new, |message| format!(": {message}"))
}

impl RegistryError {
    /// Whether the same may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Resolve { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Limited { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// How long the registry asks to wait.
    pub(crate) const fn wait(&self) -> Option<Duration> {
        match self {
            Self::Limited { after, .. } => *after,
            _ => None,
        }
    }
}
