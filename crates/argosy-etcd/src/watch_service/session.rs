//! The watchers of one stream: their ids as the client knows them, and their answers.

use std::collections::BTreeMap;

use argosy_kv::{KeyRange, Revision, SpaceId, WatchFilter, WatchId, WatchMessage, WatchRequest};
use bytes::Bytes;
use prost::Message;

use crate::answer;
use crate::fragment;
use crate::kv_service::REQUEST_BYTES_MAX;
use crate::proto::etcdserverpb as pb;
use pb::watch_create_request::FilterType;

/// The id in answers that are about no watcher.
pub(super) const NO_WATCHER: i64 = -1;

/// Most watchers on one stream. Clients that need more open another one; without a limit one
/// connection could take any amount of memory.
pub(super) const WATCHERS_MAX: usize = 65_536;

/// Encoded bytes after which events go into another answer, at a border of revisions.
const ANSWER_BYTES: usize = REQUEST_BYTES_MAX;

/// Watchers of one stream.
#[derive(Debug, Default)]
pub(super) struct Session {
    next_id: i64,
    by_client: BTreeMap<i64, WatchId>,
    by_hub: BTreeMap<WatchId, Watcher>,
}

#[derive(Debug, Clone, Copy)]
struct Watcher {
    client: i64,
    fragment: bool,
}

/// Why a watcher is not made; the text is etcd's where etcd has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CreateError {
    /// A negative start.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The range holds nothing.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// The client's id is taken.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// [`WATCHERS_MAX`] is reached.
    #[error("etcdserver: too many watchers on one stream")]
    TooMany,
}

impl Session {
    /// Checks a request for a watcher and gives it its id.
    pub(super) fn admit(
        &mut self,
        request: &pb::WatchCreateRequest,
    ) -> Result<(i64, WatchRequest), CreateError> {
        let wanted = watch_request(request);
        if wanted.start_revision < 0 {
            return Err(CreateError::Compacted);
        }
        if wanted.range.is_empty() {
            return Err(CreateError::EmptyRange);
        }
        if self.by_client.len() >= WATCHERS_MAX {
            return Err(CreateError::TooMany);
        }
        if request.watch_id == 0 {
            return Ok((self.free_id(), wanted));
        }
        if self.by_client.contains_key(&request.watch_id) {
            return Err(CreateError::DuplicateId);
        }
        Ok((request.watch_id, wanted))
    }

    fn free_id(&mut self) -> i64 {
        while self.by_client.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    /// Takes in a watcher that was made.
    pub(super) fn insert(&mut self, client: i64, hub: WatchId, fragment: bool) {
        self.by_client.insert(client, hub);
        self.by_hub.insert(hub, Watcher { client, fragment });
    }

    /// Forgets a watcher by the client's id and returns the hub's.
    pub(super) fn remove(&mut self, client: i64) -> Option<WatchId> {
        let hub = self.by_client.remove(&client)?;
        self.by_hub.remove(&hub);
        Some(hub)
    }

    /// Turns news for one watcher into answers. `header` makes the header at a revision. News
    /// for a watcher that was cancelled meanwhile is dropped.
    pub(super) fn answers(
        &mut self,
        hub: WatchId,
        messages: Vec<WatchMessage>,
        header: impl Fn(Revision) -> pb::ResponseHeader,
    ) -> Vec<pb::WatchResponse> {
        let Some(watcher) = self.by_hub.get(&hub).copied() else { return Vec::new() };
        let empty = |revision| pb::WatchResponse {
            header: Some(header(revision)),
            watch_id: watcher.client,
            ..pb::WatchResponse::default()
        };
        let mut answers: Vec<pb::WatchResponse> = Vec::new();
        // Encoded size of the events in the last answer; none means it takes no more.
        let mut room: Option<usize> = None;
        for message in messages {
            match message {
                WatchMessage::Events(batch) => {
                    let events: Vec<_> = batch.events.iter().map(answer::event).collect();
                    let bytes: usize = events.iter().map(Message::encoded_len).sum();
                    let fits = room.is_some_and(|size| size + bytes <= ANSWER_BYTES);
                    if !fits {
                        answers.push(empty(batch.revision));
                        room = Some(0);
                    }
                    if let (Some(last), Some(size)) = (answers.last_mut(), &mut room) {
                        last.events.extend(events);
                        last.header = Some(header(batch.revision));
                        *size += bytes;
                    }
                }
                WatchMessage::Progress { revision } => {
                    answers.push(empty(revision));
                    room = None;
                }
                WatchMessage::Compacted { compact_revision } => {
                    self.remove(watcher.client);
                    answers.push(pb::WatchResponse {
                        canceled: true,
                        compact_revision,
                        ..empty(0)
                    });
                    break;
                }
            }
        }
        if watcher.fragment {
            let split = |answer| fragment::split(answer, REQUEST_BYTES_MAX);
            return answers.into_iter().flat_map(split).collect();
        }
        answers
    }
}

/// Converts a request. An empty key stands for the smallest one.
fn watch_request(request: &pb::WatchCreateRequest) -> WatchRequest {
    let key = match request.key.is_empty() {
        true => Bytes::from_static(b"\0"),
        false => request.key.clone(),
    };
    let without = |kind: FilterType| request.filters.contains(&i32::from(kind));
    WatchRequest {
        space: SpaceId::User,
        range: KeyRange { key, range_end: request.range_end.clone() },
        start_revision: request.start_revision,
        prev_kv: request.prev_kv,
        filter: WatchFilter {
            directories: false,
            no_put: without(FilterType::Noput),
            no_delete: without(FilterType::Nodelete),
        },
        progress_notify: request.progress_notify,
    }
}

#[cfg(test)]
mod tests;
