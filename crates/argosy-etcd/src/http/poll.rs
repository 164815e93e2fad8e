//! Long polls of v1 and v2, over the store's watch streams.

use std::collections::VecDeque;
use std::sync::Arc;

use argosy_kv::v2::{self, Change, Error};
use argosy_kv::{KeyRange, Revision, SpaceId, State, WatchFilter, WatchMessage, WatchRequest};
use argosy_store::{WatchDelivery, WatchStream};

use super::leftovers::{Leftovers, Place, Subject};
use super::v2::raft_error;
use crate::api::Api;
use crate::server::stopped;

/// A client that waits.
pub(super) struct Poll {
    api: Api,
    subject: Subject,
    leftovers: Leftovers,
    stream: WatchStream,
    /// What to pass over, because the last answer told it.
    start: Option<Place>,
    revisions: VecDeque<Revision>,
    /// Changes to tell, of one revision.
    changes: VecDeque<Change>,
    place: Place,
}

impl Poll {
    /// Begins to wait. Returns with it the revision that the store had (`X-Etcd-Index`).
    ///
    /// # Errors
    /// 401 when `wait_index` is compacted; 300 when the store is shut down.
    pub(super) async fn open(
        api: Api,
        subject: Subject,
        wait_index: Revision,
        leftovers: Leftovers,
    ) -> Result<(Poll, Revision), Error> {
        let start = leftovers.take(&subject, wait_index);
        let first = start.map_or(wait_index, |place| place.revision);
        if first != 0 {
            v2::changes_at(&api.store.view(), first)?;
        }
        let mut stream = api.store.watch();
        let (_, revision) =
            stream.create(request(&subject, first)).await.map_err(|_| raft_error())?;
        let place = Place { revision: 0, told: 0 };
        let (revisions, changes) = (VecDeque::new(), VecDeque::new());
        Ok((Poll { api, subject, leftovers, stream, start, revisions, changes, place }, revision))
    }

    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    /// Returns the next change; `None` when there is no more to come: the server stops, or what
    /// was wanted has been compacted. The client asks again then, and is told.
    pub(super) async fn next(&mut self) -> Option<Change> {
        let mut stopping = self.api.stopping.clone();
        loop {
            if let Some(change) = self.changes.pop_front() {
                self.place.told += 1;
                return Some(change);
            }
            if let Some(revision) = self.revisions.pop_front() {
                self.load(revision).await?;
                continue;
            }
            let delivery = tokio::select! {
                delivery = self.stream.next() => delivery?,
                () = stopped(&mut stopping) => return None,
            };
            let WatchDelivery::Messages { messages, .. } = delivery else { continue };
            for message in messages {
                match message {
                    WatchMessage::Events(batch) => self.revisions.push_back(batch.revision),
                    WatchMessage::Progress { .. } => {}
                    WatchMessage::Compacted { .. } => return None,
                }
            }
        }
    }

    /// Ends a poll that told one change. The rest of its revision is for the next one.
    pub(super) fn finish(self) {
        if !self.changes.is_empty() {
            self.leftovers.put(self.subject, self.place);
        }
    }

    /// Takes the changes of a revision that concern this client. The watch only says that there
    /// are some: what v2 makes of a revision depends on all of it.
    async fn load(&mut self, revision: Revision) -> Option<()> {
        let state = self.view_at(revision).await?;
        let mut changes: VecDeque<Change> = v2::changes_at(&state, revision).ok()?.into();
        let Subject { path, recursive } = &self.subject;
        changes.retain(|change| change.concerns(path, *recursive));
        let told = self.start.take().filter(|place| place.revision == revision);
        let told = told.map_or(0, |place| place.told).min(changes.len());
        self.changes = changes.split_off(told);
        self.place = Place { revision, told };
        Some(())
    }

    /// Returns a view that has `revision`.
    async fn view_at(&self, revision: Revision) -> Option<Arc<State>> {
        let mut applied = self.api.store.applied();
        loop {
            applied.borrow_and_update();
            let view = self.api.store.view();
            if view.revision(SpaceId::User) >= revision {
                return Some(view);
            }
            applied.changed().await.ok()?;
        }
    }
}

/// Returns a watch of everything that may concern a subject; for a directory that is a little
/// more than what is in it, because the directory itself is not next to it in key order.
fn request(subject: &Subject, first: Revision) -> WatchRequest {
    let path = subject.path.as_str();
    let range = match (subject.recursive, path) {
        (true, "/") => KeyRange::prefix("/"),
        // `0` is next to `/`.
        (true, path) => KeyRange::between(path.to_owned(), format!("{path}0")),
        (false, path) => KeyRange::key(path.to_owned()),
    };
    WatchRequest {
        space: SpaceId::User,
        range,
        start_revision: first,
        prev_kv: false,
        filter: WatchFilter { directories: true, ..WatchFilter::default() },
        progress_notify: false,
    }
}
