//! The error every interface answers with, and its HTTP status.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// What kind of refusal it is. The command line maps it to its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The input is wrong; nothing was changed.
    BadInput,
    /// The caller may not do this.
    PermissionDenied,
    /// The unit, machine or key is not there.
    NotFound,
    /// Somebody else changed it in the meantime, or it is in a state that forbids this.
    Conflict,
    /// The cluster, the store or the supervisor cannot be reached or has no quorum.
    Unavailable,
    /// It was not done in time; whether it happens is not known.
    TimedOut,
    /// Argosy itself failed.
    Internal,
}

impl ErrorCode {
    fn http_status(self) -> StatusCode {
        match self {
            ErrorCode::BadInput => StatusCode::BAD_REQUEST,
            ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What, where and why; and what to do next, when that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The kind.
    pub code: ErrorCode,
    /// What, where and why, in one sentence without a final full stop.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl ApiError {
    /// Makes an error without advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), help: None }
    }

    /// Makes an error from an error and the causes behind it, joined by colons.
    pub fn from_chain(code: ErrorCode, error: &dyn std::error::Error) -> ApiError {
        ApiError::new(code, chain(error))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> ApiError {
        self.help = Some(help.into());
        self
    }
}

/// Returns an error and the causes behind it as one sentence, joined by colons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The body of every refusal: `{"error":{"code","message","help"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.code.http_status(), Json(ErrorBody { error: self })).into_response()
    }
}
