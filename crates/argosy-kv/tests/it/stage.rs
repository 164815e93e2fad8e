//! What a script plays on: a state, a watch hub, and answers as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use argosy_kv::{
    Applied, Command, CommandKind, Event, EventKind, KeyValue, KvError, OpResponse, RangeResponse,
    Response, SpaceId, State, Txn, TxnResponse, WatchFilter, WatchHub, WatchId, WatchMessage,
    WatchRequest, invariants, v1, v2,
};
use argosy_model::UnixMicros;

use crate::line::{self, Words};

pub(crate) struct Stage {
    state: State,
    hub: WatchHub,
    watchers: BTreeMap<String, WatchId>,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let state = State::new();
        let hub = WatchHub::new(&state);
        Stage { state, hub, watchers: BTreeMap::new() }
    }

    pub(crate) fn run(&mut self, line: &str) -> String {
        let words = Words::of(line);
        let kind = match words.place(0) {
            "put" | "del" => CommandKind::Txn(Txn::unconditional(vec![line::op(line)])),
            "txn" => CommandKind::Txn(line::txn(line[3..].trim())),
            "compact" => {
                let revision = words.place(1).parse().unwrap();
                CommandKind::Compact { space: SpaceId::User, revision }
            }
            "grant" => CommandKind::LeaseGrant {
                id: words.place(1).parse().unwrap(),
                ttl_seconds: words.place(2).parse().unwrap(),
                minimum_exempt: words.has("exempt"),
            },
            // Ends every lease there is: those of v2 have names that say nothing.
            "expire-all" => CommandKind::LeaseRevoke {
                ids: self.state.leases().map(|lease| lease.id).collect(),
                expired: true,
            },
            "revoke" | "expire" => CommandKind::LeaseRevoke {
                ids: line.split_whitespace().skip(1).map(|id| id.parse().unwrap()).collect(),
                expired: words.place(0) == "expire",
            },
            "v2" if words.place(1) != "get" && words.place(1) != "watch" => {
                CommandKind::V2(crate::v2::write(&words))
            }
            _ => return self.ask(&words),
        };
        self.apply(kind)
    }

    fn apply(&mut self, kind: CommandKind) -> String {
        let index = self.state.applied_index() + 1;
        let command = Command { proposed_at: UnixMicros(index), kind };
        let Applied { response, events } = self.state.apply(index, 1, &command);
        self.hub.publish(&self.state, &events);
        invariants::check(&self.state).unwrap();
        match response {
            Ok(response) => {
                let revisions = response.revisions();
                let mut out = format!("revision {}", revisions.user);
                if revisions.registry > 1 {
                    write!(out, ", registry {}", revisions.registry).unwrap();
                }
                out.push('\n');
                show_response(&response, &mut out);
                out
            }
            Err(KvError::V2(v2::Error { code, message, cause, index })) => {
                format!("error {code}: {message} ({cause}) index {index}\n")
            }
            Err(error) => format!("error: {error}\n"),
        }
    }

    fn ask(&mut self, words: &Words) -> String {
        let mut out = String::new();
        match words.place(0) {
            "get" => match self.state.range(SpaceId::User, &words.range_request()) {
                Ok(response) => show_range(&response, &mut out),
                Err(error) => writeln!(out, "error: {error}").unwrap(),
            },
            "watch" => {
                let request = WatchRequest {
                    space: SpaceId::User,
                    range: words.range(2),
                    start_revision: words.number("start"),
                    prev_kv: words.has("prev"),
                    filter: WatchFilter {
                        no_put: words.has("no-put"),
                        no_delete: words.has("no-delete"),
                        directories: words.has("directories"),
                    },
                    progress_notify: false,
                };
                match self.hub.create(request) {
                    Ok(id) => drop(self.watchers.insert(words.place(1).to_owned(), id)),
                    Err(error) => writeln!(out, "error: {error}").unwrap(),
                }
            }
            "drain" => {
                for message in self.hub.drain(self.watchers[words.place(1)], usize::MAX) {
                    show_message(&message, &mut out);
                }
            }
            "v2" if words.place(1) == "watch" => {
                crate::v2::show_watch(&self.state, words, &mut out);
            }
            "v2" => match v2::get(&self.state, words.place(2), words.has("recursive"), true) {
                Ok(node) => show_node(&node, 0, &mut out),
                Err(v2::Error { code, message, cause, index }) => {
                    writeln!(out, "error {code}: {message} ({cause}) index {index}").unwrap();
                }
            },
            "v1" => writeln!(out, "{:?}", v1::get(&self.state, words.place(1))).unwrap(),
            "restart" => {
                let hash = invariants::hash(&self.state);
                self.state = State::decode_snapshot(&self.state.encode_snapshot()).unwrap();
                assert_eq!(invariants::hash(&self.state), hash);
                self.hub.publish(&self.state, &[]);
            }
            other => panic!("command {other}"),
        }
        out
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn show_kv(kv: &KeyValue, out: &mut String) {
    let KeyValue { create_revision, mod_revision, version, .. } = kv;
    let (key, value) = (text(&kv.key), text(&kv.value));
    write!(out, "  {key} = {value} (create {create_revision}, mod {mod_revision}").unwrap();
    write!(out, ", version {version}").unwrap();
    if kv.lease != 0 {
        write!(out, ", lease {}", kv.lease).unwrap();
    }
    out.push_str(")\n");
}

fn show_range(response: &RangeResponse, out: &mut String) {
    let more = if response.more { ", more" } else { "" };
    writeln!(out, "count {}{more}", response.count).unwrap();
    response.kvs.iter().for_each(|kv| show_kv(kv, out));
}

fn show_txn(response: &TxnResponse, out: &mut String) {
    for result in &response.results {
        match result {
            OpResponse::Range(range) => show_range(range, out),
            OpResponse::Put(put) => {
                if let Some(prev) = &put.prev_kv {
                    out.push_str("before:\n");
                    show_kv(prev, out);
                }
            }
            OpResponse::Delete(delete) => {
                writeln!(out, "deleted {}", delete.deleted).unwrap();
                delete.prev_kvs.iter().for_each(|kv| show_kv(kv, out));
            }
            OpResponse::Txn(inner) => show_txn(inner, out),
        }
    }
}

fn show_response(response: &Response, out: &mut String) {
    match response {
        Response::Txn(txn) => {
            if !txn.succeeded {
                out.push_str("else\n");
            }
            show_txn(txn, out);
        }
        Response::LeaseGrant { id, ttl_seconds, .. } => {
            writeln!(out, "lease {id}, {ttl_seconds} s").unwrap();
        }
        Response::LeaseRevoke { revoked, .. } => writeln!(out, "revoked {revoked:?}").unwrap(),
        Response::V2 { change, granted, ended, .. } => {
            crate::v2::show_change(change, out);
            if let Some((_, seconds)) = granted {
                writeln!(out, "lives {seconds} s").unwrap();
            }
            if !ended.is_empty() {
                writeln!(out, "former leases ended: {}", ended.len()).unwrap();
            }
        }
        Response::Compact { .. }
        | Response::LeaseCheckpoint { .. }
        | Response::ClusterVersion { .. } => {}
    }
}

fn show_message(message: &WatchMessage, out: &mut String) {
    match message {
        WatchMessage::Events(batch) => {
            let events: Vec<String> = batch.events.iter().map(show_event).collect();
            writeln!(out, "{}: {}", batch.revision, events.join("; ")).unwrap();
        }
        WatchMessage::Progress { revision } => writeln!(out, "progress {revision}").unwrap(),
        WatchMessage::Compacted { compact_revision } => {
            writeln!(out, "cancelled, compacted at {compact_revision}").unwrap();
        }
    }
}

fn show_event(event: &Event) -> String {
    let key = text(&event.kv.key);
    let mut out = match event.kind() {
        EventKind::Put => format!("{key} = {}", text(&event.kv.value)),
        EventKind::Delete => format!("{key} deleted"),
    };
    if let Some(prev) = &event.prev {
        write!(out, " (was {})", text(&prev.value)).unwrap();
    }
    out
}

fn show_node(node: &v2::Node, indent: usize, out: &mut String) {
    let v2::Node { key, created_index, modified_index, .. } = node;
    let what = node.value.as_ref().map_or("directory".to_owned(), |value| text(value));
    writeln!(
        out,
        "{:indent$}{key}: {what} (created {created_index}, modified {modified_index})",
        ""
    )
    .unwrap();
    node.nodes.iter().for_each(|child| show_node(child, indent + 2, out));
}
