//! A member's end: tells one worker what concerns it, whenever that changes.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argosy_kv::SpaceId;
use argosy_model::MachineId;
use argosy_peer::PeerStream;
use argosy_registry::feed::{
    AnnouncedKeys, FeedFacts, FeedFrame, FeedRecords, FeedSender, own_records, shared_records,
};
use argosy_registry::{ClusterView, Revision, announced_keys};
use argosy_store::StoreHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::follow::FeedTiming;
use crate::daemon::picture::Picture;

/// How often announced keys are compared while the store changes: they are looked at for each
/// worker, and a deleted one is written again a moment later anyway.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// What all feeds of this member are made from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FeedServer {
    store: StoreHandle,
    pictures: watch::Receiver<Picture>,
    pace: FeedTiming,
    /// The records for everybody, of one revision: made once, not for each worker.
    shared: Arc<Mutex<(Revision, Arc<FeedRecords>)>>,
    /// How many workers are served.
    workers: watch::Sender<usize>,
    confirmed: watch::Sender<Option<Confirmed>>,
}

/// A majority has confirmed what this member holds.
#[derive(Debug, Clone, Copy)]
struct Confirmed {
    /// When it was asked.
    asked_at: Instant,
    /// What is told is as new as that from this revision on.
    revision: Revision,
}

impl FeedServer {
    pub(crate) fn new(
        store: StoreHandle,
        pictures: watch::Receiver<Picture>,
        pace: FeedTiming,
    ) -> FeedServer {
        let (shared, workers, confirmed) = Default::default();
        FeedServer { store, pictures, pace, shared, workers, confirmed }
    }

    /// Has a majority confirm again and again that this member is not behind, for as long as there
    /// are workers, for ever. One round is for all of them.
    pub(crate) async fn confirm(self) {
        let mut workers = self.workers.subscribe();
        while workers.wait_for(|workers| *workers > 0).await.is_ok() {
            workers.borrow_and_update();
            let asked_at = Instant::now();
            if self.store.read_barrier().await.is_ok() {
                let revision = self.store.view().revision(SpaceId::Registry);
                self.confirmed.send_replace(Some(Confirmed { asked_at, revision }));
            }
            // One that has just come does not wait.
            drop(timeout(self.pace.sign, workers.changed()).await);
        }
    }

    /// Serves one worker until its connection or the daemon ends.
    pub(crate) async fn serve(self, mut stream: PeerStream, machine: MachineId) -> io::Result<()> {
        let mut known = [0; 8];
        timeout(self.pace.silence(), stream.read_exact(&mut known)).await??;
        let known = Revision::from_le_bytes(known);
        self.workers.send_modify(|workers| *workers += 1);
        let _counted = Counted(&self.workers);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut talk = Talk::new(machine, known);
        let (mut pictures, mut leadership) = (self.pictures.clone(), self.store.leadership());
        let (mut applied, mut confirmed) = (self.store.applied(), self.confirmed.subscribe());
        let mut sign_at = Instant::now();
        loop {
            let view = Arc::clone(&pictures.borrow_and_update().view);
            leadership.borrow_and_update();
            talk.take(*confirmed.borrow_and_update());
            let mut frames = self.frames(&mut talk, &view);
            if frames.is_empty() && Instant::now() >= sign_at {
                frames.push(self.sign_of_life(&talk));
            }
            for frame in frames {
                // Each for itself: a long feed over a slow line takes its time.
                timeout(self.pace.silence(), write(&mut writer, &frame)).await??;
                sign_at = Instant::now() + self.pace.sign;
            }
            let keys_change = async {
                sleep(KEYS_EVERY).await;
                applied.changed().await
            };
            tokio::select! {
                changed = pictures.changed() => changed.map_err(io::Error::other)?,
                changed = leadership.changed() => changed.map_err(io::Error::other)?,
                changed = confirmed.changed() => changed.map_err(io::Error::other)?,
                changed = keys_change => changed.map_err(io::Error::other)?,
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
        talk.reached(view.revision());
        let facts = self.facts(talk);
        let shared = self.shared(view);
        let own = own_records(view, talk.machine, talk.sender.own());
        let state = self.store.view();
        let seen = (view.revision(), state.revision(SpaceId::User));
        if talk.keys.0 != seen {
            talk.keys = (seen, announced_keys(view, talk.machine, &state));
        }
        talk.sender.say(view, &shared, own, talk.keys.1.clone(), facts)
    }

    fn sign_of_life(&self, talk: &Talk) -> FeedFrame {
        match talk.sender.has_begun() {
            true => talk.sender.sign_of_life(),
            false => {
                let facts = self.facts(talk);
                FeedFrame { begins: true, ends: true, facts, ..FeedFrame::default() }
            }
        }
    }

    fn facts(&self, talk: &Talk) -> FeedFacts {
        let leadership = *self.store.leadership().borrow();
        FeedFacts {
            term: leadership.term,
            leader: leadership.leader.map(|leader| leader.0),
            voters: self.store.membership().voters.iter().map(|voter| voter.0).collect(),
            current: talk.current_at.is_some_and(|at| at.elapsed() < self.pace.silence()),
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
}

/// A worker that is served, for as long as this lives.
struct Counted<'a>(&'a watch::Sender<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|workers| *workers -= 1);
    }
}

/// One worker.
struct Talk {
    machine: MachineId,
    /// The revision that it knew when it came.
    known: Revision,
    began: Instant,
    sender: FeedSender,
    /// Its announced keys, with the revisions of both spaces at which they were so.
    keys: ((Revision, Revision), AnnouncedKeys),
    /// The oldest confirmation that what is told has not reached yet.
    pending: Option<Confirmed>,
    /// When the last one that it has reached was asked for.
    current_at: Option<Instant>,
}

impl Talk {
    fn new(machine: MachineId, known: Revision) -> Talk {
        let (sender, began) = (FeedSender::new(), Instant::now());
        let keys = ((0, 0), AnnouncedKeys::new());
        Talk { machine, known, began, sender, keys, pending: None, current_at: None }
    }

    /// Takes a confirmation in. One from before the feed began says nothing about its beginning.
    fn take(&mut self, confirmed: Option<Confirmed>) {
        let newest = self.current_at.unwrap_or(self.began);
        let news = confirmed.filter(|confirmed| confirmed.asked_at > newest);
        self.pending = self.pending.or(news);
    }

    /// Takes note of the revision that is told now.
    fn reached(&mut self, revision: Revision) {
        if let Some(confirmed) = self.pending.filter(|confirmed| revision >= confirmed.revision) {
            self.current_at = Some(confirmed.asked_at);
            self.pending = None;
        }
    }
}

async fn write(writer: &mut WriteHalf<PeerStream>, frame: &FeedFrame) -> io::Result<()> {
    let bytes = frame.encode();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    writer.write_all(&[&length.to_le_bytes()[..], &bytes].concat()).await?;
    writer.flush().await
}
