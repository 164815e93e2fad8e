//! Answers of the proxy's own.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::body::ResponseBody;

/// Returns a short answer that names the service.
pub(super) fn answer(status: StatusCode, service: &str, why: &str) -> Response<ResponseBody> {
    let reason = status.canonical_reason().unwrap_or_default();
    let text = format!("{} {reason}: service {service}: {why}\n", status.as_str());
    let mut response = Response::new(ResponseBody::own(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
