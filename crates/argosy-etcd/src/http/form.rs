//! Form fields of v1 and v2 requests: of the query, and for PUT and POST of an urlencoded body.

use std::collections::BTreeMap;

use argosy_kv::v2::Error;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, header};

use super::percent_decode;
use crate::kv_service::{REQUEST_BYTES_MAX, REQUEST_OVERHEAD_BYTES};

/// Fields by name. Of several with one name the first counts, those of the body before those of
/// the query, as in Go's `Request.ParseForm`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form(BTreeMap<String, Vec<u8>>);

impl Form {
    /// Reads the fields of a request.
    pub(super) async fn of(request: Request) -> Result<Form, Error> {
        let with_body = matches!(*request.method(), Method::PUT | Method::POST);
        let urlencoded = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut form = Form::default();
        if with_body && urlencoded {
            let limit = REQUEST_BYTES_MAX + REQUEST_OVERHEAD_BYTES;
            let body = to_bytes(request.into_body(), limit).await.map_err(|error| {
                refusal(210, "Invalid POST form", format!("the body cannot be read: {error}"))
            })?;
            form.add(&body);
        }
        form.add(query.as_bytes());
        Ok(form)
    }

    fn add(&mut self, text: &[u8]) {
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            let name = String::from_utf8_lossy(&decode(name)).into_owned();
            let value = decode(value.strip_prefix(b"=").unwrap_or_default());
            self.0.entry(name).or_insert(value);
        }
    }

    /// Returns a field's bytes; `None` if it was not given.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Returns a field as text, if it was given.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Reads a truth value as Go's `strconv.ParseBool` does; `None` if it was not given.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(refusal(209, "Invalid field", format!("invalid value for \"{name}\""))),
        }
    }

    /// Reads a number as Go's `strconv.ParseUint` does; `None` if it was not given, the text if it
    /// is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // Rust takes a plus sign, Go does not.
        match text.parse().ok().filter(|_: &u64| !text.starts_with('+')) {
            Some(number) => Ok(Some(number)),
            None => Err(text),
        }
    }

    /// Reads an index.
    pub(super) fn index(&self, name: &str) -> Result<i64, Error> {
        let number = self.number(name).map_err(|_| {
            let message = "The given index in POST form is not a number";
            refusal(203, message, format!("invalid value for \"{name}\""))
        })?;
        // No revision comes near the limit.
        Ok(number.map_or(0, |number| i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

/// Returns an error of the request itself, which has no index.
pub(super) fn refusal(code: u32, message: &'static str, cause: impl Into<String>) -> Error {
    Error { code, message, cause: cause.into(), index: 0 }
}

fn decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced)
}

#[cfg(test)]
mod tests;
