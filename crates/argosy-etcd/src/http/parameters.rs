//! What a v2 request asks for, checked in etcd's order (etcd: api/v2http/client.go).

use argosy_kv::v2::{Error, Verb, Write};
use axum::http::Method;
use bytes::Bytes;

use super::form::{Form, refusal};

/// The parameters of a v2 request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// All levels of a directory, or of a watch.
    pub(super) recursive: bool,
    /// Sorted by key.
    pub(super) sorted: bool,
    /// As new as any acknowledged write.
    pub(super) quorum: bool,
    /// Wait for a change.
    pub(super) wait: bool,
    /// Tell of changes until the client goes.
    pub(super) stream: bool,
    /// The first revision to tell of; 0 for what comes next.
    pub(super) wait_index: i64,
    /// Answer a write without its nodes.
    pub(super) no_value_on_success: bool,
    dir: bool,
    value: Bytes,
    prev_value: Bytes,
    prev_index: i64,
    prev_exist: Option<bool>,
    ttl: Option<i64>,
    refresh: bool,
}

impl Parameters {
    /// Reads and checks the fields of a form. Unknown ones pass.
    pub(super) fn parse(form: &Form, method: &Method) -> Result<Parameters, Error> {
        let (prev_index, wait_index) = (form.index("prevIndex")?, form.index("waitIndex")?);
        let flag = |name: &str| form.flag(name).map(Option::unwrap_or_default);
        let recursive = flag("recursive")?;
        let sorted = flag("sorted")?;
        let wait = flag("wait")?;
        let dir = flag("dir")?;
        let quorum = flag("quorum")?;
        let stream = flag("stream")?;
        if wait && method != Method::GET {
            let cause = "\"wait\" can only be used with GET requests";
            return Err(refusal(209, "Invalid field", cause));
        }
        let field = |name: &str| Bytes::copy_from_slice(form.bytes(name).unwrap_or_default());
        let prev_value = field("prevValue");
        if form.bytes("prevValue").is_some() && prev_value.is_empty() {
            let message = "PrevValue is Required in POST form";
            return Err(refusal(201, message, "\"prevValue\" cannot be empty"));
        }
        let no_value_on_success = flag("noValueOnSuccess")?;
        let ttl = ttl(form).map_err(|()| {
            let message = "The given TTL in POST form is not a number";
            refusal(202, message, "invalid value for \"ttl\"")
        })?;
        // Here etcd forgets the quotes.
        let unquoted = |name: &str| {
            form.flag(name)
                .map_err(|error| Error { cause: format!("invalid value for {name}"), ..error })
        };
        let prev_exist = unquoted("prevExist")?;
        let refresh = unquoted("refresh")?.unwrap_or_default();
        let value = field("value");
        if refresh && !value.is_empty() {
            let message = "Value provided on refresh";
            return Err(refusal(211, message, "A value was provided on a refresh"));
        }
        if refresh && ttl.is_none() {
            return Err(refusal(212, "A TTL must be provided on refresh", "No TTL value set"));
        }
        Ok(Parameters {
            recursive,
            sorted,
            quorum,
            wait,
            stream,
            wait_index,
            no_value_on_success,
            dir,
            value,
            prev_value,
            prev_index,
            prev_exist,
            ttl,
            refresh,
        })
    }

    /// Returns the write that a PUT, POST or DELETE of `path` is.
    pub(super) fn write(self, method: &Method, path: String) -> Write {
        let comparing = self.prev_index > 0 || !self.prev_value.is_empty();
        let verb = match (method, self.prev_exist) {
            (&Method::DELETE, _) if comparing => Verb::CompareAndDelete,
            (&Method::DELETE, _) => Verb::Delete,
            (&Method::POST, _) => Verb::CreateInOrder,
            (_, Some(false)) => Verb::Create,
            (_, _) if comparing => Verb::CompareAndSwap,
            (_, Some(true)) => Verb::Update,
            (_, None) => Verb::Set,
        };
        Write {
            verb,
            path,
            value: self.value,
            dir: self.dir,
            recursive: self.recursive,
            ttl_seconds: self.ttl,
            refresh: self.refresh,
            prev_value: self.prev_value,
            prev_index: self.prev_index,
        }
    }
}

/// Reads a time to live in seconds; an empty one is none.
pub(super) fn ttl(form: &Form) -> Result<Option<i64>, ()> {
    if form.bytes("ttl").is_none_or(<[u8]>::is_empty) {
        return Ok(None);
    }
    let seconds = form.number("ttl").map_err(drop)?;
    Ok(seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)))
}
