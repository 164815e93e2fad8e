//! What happens after a try that brought no response: another try, or an answer of our own.

use http::{Method, StatusCode};

/// Endpoints tried for one request, the first included: three endpoints that fail one after the other mean
/// that the service is down, and more tries would only add load to it.
pub const TRIES_MAX: u32 = 4;
/// Tries that may end by time-out: each costs the client the whole limit.
pub const TIMED_OUT_MAX: u32 = 2;

/// Why a try brought no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, unreachable.
    Refused,
    /// No connection in time.
    ConnectTimeout,
    /// The connection was found closed before a byte of the request was written.
    NotSent,
    /// The connection ended before the response head.
    Reset,
    /// No response head in time.
    ResponseTimeout,
    /// What came is no HTTP response.
    Malformed,
}

impl Failure {
    /// Tells whether the endpoint said nothing in time, as do all of a machine that is lost.
    pub(crate) fn is_silence(self) -> bool {
        matches!(self, Failure::ConnectTimeout | Failure::ResponseTimeout)
    }
}

/// What is known of the request. The default is one that nobody has seen yet, before its first
/// try, and that may not be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Sending it twice has the effect of sending it once, see [`idempotent`].
    pub idempotent: bool,
    /// It still can be sent whole: it has no body, or nothing of its body was read.
    pub whole: bool,
    /// How many endpoints were tried, this one included.
    pub tries: u32,
    /// How many of them ended by time-out, this one included.
    pub timed_out: u32,
}

impl Default for Attempt {
    fn default() -> Attempt {
        Attempt { idempotent: false, whole: true, tries: 0, timed_out: 0 }
    }
}

impl Attempt {
    /// Takes note of a try that failed; `tried` endpoints have been tried by now.
    pub(crate) fn count(&mut self, tried: usize, failure: Failure) {
        self.tries = u32::try_from(tried).unwrap_or(u32::MAX);
        self.timed_out += u32::from(failure.is_silence());
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again, elsewhere if possible.
    Again,
    /// Answer the client with this status.
    Answer(StatusCode),
}

/// Returns whether a request with this method may be sent twice: the safe methods, PUT and
/// DELETE, by RFC 9110, 9.2.2. Unknown methods may not ("a proxy MUST NOT automatically retry
/// non-idempotent requests").
pub fn idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Decides after a failed try. Never called once a response head has come.
pub fn decide(failure: Failure, attempt: Attempt) -> Decision {
    let status = match failure {
        Failure::Refused | Failure::NotSent | Failure::Reset | Failure::Malformed => {
            StatusCode::BAD_GATEWAY
        }
        Failure::ConnectTimeout | Failure::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
    };
    let harmless = match failure {
        // No endpoint has seen the request.
        Failure::Refused | Failure::ConnectTimeout | Failure::NotSent => true,
        Failure::Reset | Failure::ResponseTimeout => attempt.idempotent,
        // It was carried out, and answered with something that another try will not mend.
        Failure::Malformed => false,
    };
    let left = attempt.tries < TRIES_MAX && attempt.timed_out < TIMED_OUT_MAX;
    if harmless && attempt.whole && left { Decision::Again } else { Decision::Answer(status) }
}

#[cfg(test)]
mod tests;
