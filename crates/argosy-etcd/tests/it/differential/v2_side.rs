//! One of two servers, and what its v2 indexes stand for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::http::send;

/// One server, and what its indexes stand for.
pub(super) struct Side {
    endpoint: String,
    /// The write, counted from 1, that made an index.
    writes: BTreeMap<u64, usize>,
    /// The index of each write that succeeded.
    pub(super) indexes: BTreeMap<usize, u64>,
}

impl Side {
    pub(super) fn new(endpoint: &str) -> Side {
        Side { endpoint: endpoint.to_owned(), writes: BTreeMap::new(), indexes: BTreeMap::new() }
    }

    /// Sends a request in which `@N` stands for the index of write N, and normalises the answer.
    pub(super) async fn ask(&mut self, step: usize, request: &Request) -> (u16, Value) {
        let fill = |text: &str| -> String {
            let mut out = String::new();
            for (at, part) in text.split('@').enumerate() {
                if at == 0 {
                    out.push_str(part);
                    continue;
                }
                let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
                let write: usize = part[..end].parse().unwrap();
                let index = self.indexes.get(&write).copied().unwrap_or(0);
                // In a path it is the name of an in-order key.
                match out.ends_with('/') {
                    true => out.push_str(&format!("{index:020}")),
                    false => out.push_str(&index.to_string()),
                }
                out.push_str(&part[end..]);
            }
            out
        };
        let (path, form) = (fill(&request.path), fill(&request.form));
        let (status, head, body) = send(&self.endpoint, request.method, &path, &form).await;
        let mut json: Value = match serde_json::from_str(&text_of(&body)) {
            Ok(json) => json,
            Err(_) => panic!("JSON in {body:?} for {request:?}"),
        };
        if request.method != "GET" && status < 300 {
            let index = head.lines().find_map(|line| line.strip_prefix("x-etcd-index: "));
            let index = index.unwrap().parse().unwrap();
            self.writes.insert(index, step);
            self.indexes.insert(step, index);
        }
        self.normalise(&mut json);
        (status, json)
    }

    fn normalise(&self, json: &mut Value) {
        match json {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    match name.as_str() {
                        "modifiedIndex" | "createdIndex" | "index" => {
                            let write = value.as_u64().and_then(|index| self.writes.get(&index));
                            *value = write.map_or(Value::Null, |write| (*write).into());
                        }
                        // Given in hundreds, and read a moment later.
                        "ttl" => *value = ((value.as_u64().unwrap() + 50) / 100 * 100).into(),
                        "expiration" => *value = value.as_str().unwrap().ends_with('Z').into(),
                        "key" | "cause" => *value = self.names(value.as_str().unwrap()).into(),
                        _ => self.normalise(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.normalise(item)),
            _ => {}
        }
    }

    /// Replaces the names of in-order keys, and indexes within the causes of errors.
    fn names(&self, text: &str) -> String {
        let number = |word: &str| -> String {
            let bare = word.trim_matches(['[', ']']);
            let write = bare.parse().ok().and_then(|index: u64| self.writes.get(&index));
            match write.filter(|_| bare.len() == 20 || word.len() != bare.len()) {
                Some(write) => format!("#{write}"),
                None => word.to_owned(),
            }
        };
        let parts = |word: &str| word.split('/').map(number).collect::<Vec<_>>().join("/");
        text.split(' ').map(parts).collect::<Vec<_>>().join(" ")
    }
}

/// Undoes chunks, if a body came in some.
fn text_of(body: &str) -> String {
    let Some((_, rest)) = body.split_once("\r\n").filter(|_| !body.starts_with('{')) else {
        return body.to_owned();
    };
    rest.split("\r\n").next().unwrap_or_default().to_owned()
}

/// A v2 request; `@N` in it stands for the index of write N.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) form: String,
}

pub(super) fn read(path: &str) -> Request {
    Request { method: "GET", path: format!("/v2/keys{path}"), form: String::new() }
}
