//! A member's end: tells one worker what concerns it, whenever that changes.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argosy_kv::SpaceId;
use argosy_model::MachineId;
use argosy_peer::PeerStream;
use argosy_registry::feed::{
    FeedFacts, FeedFrame, FeedRecords, FeedSender, own_records, shared_records,
};
use argosy_registry::{ClusterView, Revision, announced_keys};
use argosy_store::StoreHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::follow::FeedTiming;
use crate::daemon::picture::Picture;

/// How often announced keys are compared while the store changes: they are looked at for each
/// worker, and a deleted one is written again a moment later anyway.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// The pause before a store without a leader is asked again whether its state is current.
const CURRENT_RETRY: Duration = Duration::from_millis(200);

/// What all feeds of this member are made from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FeedServer {
    store: StoreHandle,
    pictures: watch::Receiver<Picture>,
    pace: FeedTiming,
    /// The records for everybody, of one revision: made once, not for each worker.
    shared: Arc<Mutex<(Revision, Arc<FeedRecords>)>>,
}

impl FeedServer {
    pub(crate) fn new(
        store: StoreHandle,
        pictures: watch::Receiver<Picture>,
        pace: FeedTiming,
    ) -> FeedServer {
        FeedServer { store, pictures, pace, shared: Arc::default() }
    }

    /// Serves one worker until its connection or the daemon ends.
    pub(crate) async fn serve(self, mut stream: PeerStream, machine: MachineId) -> io::Result<()> {
        let mut known = [0; 8];
        timeout(self.pace.silence(), stream.read_exact(&mut known)).await??;
        let known = Revision::from_le_bytes(known);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut talk = Talk { machine, known, sender: FeedSender::new(), current_at: None };
        let (mut pictures, mut leadership) = (self.pictures.clone(), self.store.leadership());
        let mut applied = self.store.applied();
        let mut current = pin!(self.until_current());
        let mut sign_at = Instant::now();
        loop {
            let view = Arc::clone(&pictures.borrow_and_update().view);
            leadership.borrow_and_update();
            let mut frames = self.frames(&mut talk, &view);
            if frames.is_empty() && Instant::now() >= sign_at {
                frames.push(self.sign_of_life(&talk));
            }
            if !frames.is_empty() {
                let bytes = frames.iter().flat_map(with_length).collect::<Vec<u8>>();
                let write = async {
                    writer.write_all(&bytes).await?;
                    writer.flush().await
                };
                timeout(self.pace.silence(), write).await??;
                sign_at = Instant::now() + self.pace.sign;
            }
            let keys_change = async {
                sleep(KEYS_EVERY).await;
                applied.changed().await
            };
            tokio::select! {
                changed = pictures.changed() => changed.map_err(io::Error::other)?,
                changed = leadership.changed() => changed.map_err(io::Error::other)?,
                changed = keys_change => changed.map_err(io::Error::other)?,
                revision = &mut current, if talk.current_at.is_none() => {
                    talk.current_at = Some(revision);
                }
                () = sleep_until(sign_at) => {}
                // It never says anything more: this is the end.
                ended = reader.read_u8() => return ended.map(drop),
            }
        }
    }

    /// Returns what is news for a worker. Nothing before this member knows the machine, or while
    /// it is behind what the machine knows.
    fn frames(&self, talk: &mut Talk, view: &ClusterView) -> Vec<FeedFrame> {
        if !view.machines().contains_key(&talk.machine) || view.revision() < talk.known {
            return Vec::new();
        }
        let facts = self.facts(talk, view.revision());
        let shared = self.shared(view);
        let own = own_records(view, talk.machine, talk.sender.own());
        let keys = announced_keys(view, talk.machine, &self.store.view());
        talk.sender.say(view, &shared, own, keys, facts)
    }

    fn sign_of_life(&self, talk: &Talk) -> FeedFrame {
        match talk.sender.has_begun() {
            true => talk.sender.sign_of_life(),
            false => FeedFrame {
                begins: true,
                ends: true,
                facts: self.facts(talk, 0),
                ..FeedFrame::default()
            },
        }
    }

    fn facts(&self, talk: &Talk, revision: Revision) -> FeedFacts {
        let leadership = *self.store.leadership().borrow();
        FeedFacts {
            term: leadership.term,
            leader: leadership.leader.map(|leader| leader.0),
            voters: self.store.membership().voters.iter().map(|voter| voter.0).collect(),
            current: talk.current_at.is_some_and(|at| revision >= at),
        }
    }

    fn shared(&self, view: &ClusterView) -> Arc<FeedRecords> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (revision, records) = &mut *shared;
        if view.revision() > *revision {
            *revision = view.revision();
            let new = shared_records(view);
            // The same records keep their address, by which they are known to be the same.
            if new != **records {
                *records = Arc::new(new);
            }
        }
        Arc::clone(records)
    }

    /// Returns a revision from which on what is told is as new as when this was called.
    async fn until_current(&self) -> Revision {
        while self.store.read_barrier().await.is_err() {
            sleep(CURRENT_RETRY).await;
        }
        self.store.view().revision(SpaceId::Registry)
    }
}

/// One worker.
struct Talk {
    machine: MachineId,
    /// The revision that it knew when it came.
    known: Revision,
    sender: FeedSender,
    current_at: Option<Revision>,
}

fn with_length(frame: &FeedFrame) -> Vec<u8> {
    let bytes = frame.encode();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &bytes].concat()
}
