//! What a proxy changes in heads: refuses ambiguous ones, drops fields that concern one
//! connection only, and says who the client is.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Uri, Version};

/// Why a request is refused before any endpoint sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// HTTP/1.1 without `Host` (RFC 9112, 3.2).
    #[error("the request has no Host")]
    NoHost,
    /// More than one `Host`: two readers may take different ones.
    #[error("the request has several Host fields")]
    SeveralHosts,
    /// `Host` or the target's authority holds what no host name and port has.
    #[error("the request's host is malformed")]
    BadHost,
    /// The target is neither a path, nor `*`, nor an `http` or `https` URI.
    #[error("the request's target is not supported")]
    Target,
    /// CONNECT would make an open relay of the proxy.
    #[error("CONNECT is not supported")]
    Connect,
    /// A transfer coding other than exactly `chunked` (RFC 9112, 6.1: 501).
    #[error("the request's transfer coding is not supported")]
    TransferCoding,
}

impl Refused {
    /// Returns the status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Refused::NoHost | Refused::SeveralHosts | Refused::BadHost | Refused::Target => {
                StatusCode::BAD_REQUEST
            }
            Refused::Connect | Refused::TransferCoding => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's address, as `X-Forwarded-For` has it.
    pub address: HeaderValue,
    /// Whether what the client says of those before it is believed.
    pub trusted: bool,
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Checks a request head and makes it the head that is sent on: origin form, one `Host`
/// (`fallback_host` for an HTTP/1.0 client that sent none), no hop-by-hop fields,
/// `X-Forwarded-For`, `-Proto` and `-Host`.
pub fn prepare(head: &mut Parts, client: &Client, fallback_host: &str) -> Result<(), Refused> {
    if head.method == Method::CONNECT {
        return Err(Refused::Connect);
    }
    check_transfer_coding(&head.headers)?;
    let host = host(head, fallback_host)?;
    to_origin_form(&mut head.uri)?;
    strip_hop_by_hop(&mut head.headers);
    // The proxy answers `100-continue` itself, when it begins to read the body.
    head.headers.remove(header::EXPECT);
    forwarded(&mut head.headers, client, &host);
    head.headers.insert(header::HOST, host);
    head.version = Version::HTTP_11;
    Ok(())
}

fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Refused> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refused::TransferCoding),
    }
}

/// The target's authority beats `Host` (RFC 9112, 3.2.2).
fn host(head: &Parts, fallback: &str) -> Result<HeaderValue, Refused> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refused::SeveralHosts);
    }
    let host = match (head.uri.authority(), first) {
        (_, None) if head.version >= Version::HTTP_11 => return Err(Refused::NoHost),
        (Some(authority), _) => HeaderValue::from_str(authority.as_str()),
        (None, Some(host)) => Ok(host.clone()),
        (None, None) => HeaderValue::from_str(fallback),
    };
    let host = host.map_err(|_| Refused::BadHost)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_~:[]%!$&'()*+;=".contains(byte);
    if host.as_bytes().iter().all(plain) { Ok(host) } else { Err(Refused::BadHost) }
}

fn to_origin_form(target: &mut Uri) -> Result<(), Refused> {
    match target.scheme_str() {
        None if target.authority().is_none() => Ok(()),
        Some("http" | "https") => {
            let path = target.path_and_query().cloned();
            *target = path.map_or_else(|| Uri::from_static("/"), Uri::from);
            Ok(())
        }
        _ => Err(Refused::Target),
    }
}

/// Removes what concerns one connection only: the fields that `Connection` names and those that
/// RFC 9110, 7.6.1 lists. The length of the body is written anew by whoever sends it.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            // A length removed by the client's wish would leave a body without end.
            if name != header::CONTENT_LENGTH {
                headers.remove(name);
            }
        }
        headers.remove(header::CONNECTION);
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}

fn forwarded(headers: &mut HeaderMap, client: &Client, host: &HeaderValue) {
    let believed = client.trusted && headers.contains_key(FORWARDED_FOR);
    if believed {
        headers.append(FORWARDED_FOR, client.address.clone());
    } else {
        headers.remove(header::FORWARDED);
        headers.remove(FORWARDED_PORT);
        headers.insert(FORWARDED_FOR, client.address.clone());
    }
    if !believed || !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !believed || !headers.contains_key(FORWARDED_HOST) {
        headers.insert(FORWARDED_HOST, host.clone());
    }
}

/// Returns whether a request asks for a websocket (RFC 6455, 4.1). Every other protocol offered
/// in `Upgrade`, above all `h2c`, is not passed on: behind it the proxy would see nothing.
pub fn wants_websocket(head: &Parts) -> bool {
    let names = |name: HeaderName, token: &str| {
        let mut values = head.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
    };
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && names(header::CONNECTION, "upgrade")
        && head
            .headers
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests;
