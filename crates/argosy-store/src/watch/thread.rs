//! The watch thread: the hub, and who reads from which watcher.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use argosy_kv::{Revisions, State, WatchHub, WatchId, WatchMessage};
use tokio::sync::mpsc;

use super::port::{Order, StreamId, WatchPort, Work};
use super::{WATCH_REVISIONS_MAX, WatchDelivery};

/// Owns the hub.
pub(crate) struct WatchThread {
    hub: WatchHub,
    /// Of the state that the hub has seen last.
    revisions: Revisions,
    port: Arc<WatchPort>,
    streams: BTreeMap<StreamId, Stream>,
    owners: BTreeMap<WatchId, StreamId>,
    progress_interval: Duration,
}

/// One client, as the thread sees it.
struct Stream {
    sender: mpsc::Sender<WatchDelivery>,
    starved: Arc<AtomicBool>,
    watchers: BTreeSet<WatchId>,
    /// Watchers with something to deliver, each once, served in turn.
    ready: VecDeque<WatchId>,
}

impl WatchThread {
    pub(crate) fn new(state: &State, port: Arc<WatchPort>, progress_interval: Duration) -> Self {
        Self {
            hub: WatchHub::new(state),
            revisions: state.revisions(),
            port,
            streams: BTreeMap::new(),
            owners: BTreeMap::new(),
            progress_interval,
        }
    }

    /// Runs until the port is closed.
    pub(crate) fn run(mut self) {
        let mut progress_at = Instant::now() + self.progress_interval;
        loop {
            let patience = progress_at.saturating_duration_since(Instant::now());
            let Some(Work { state, events, orders, .. }) = self.port.take(patience) else {
                return;
            };
            if let Some(state) = state {
                self.hub.publish(&state, &events);
                self.revisions = state.revisions();
            }
            let mut touched = BTreeSet::new();
            for order in orders {
                self.carry_out(order, &mut touched);
            }
            if Instant::now() >= progress_at {
                self.hub.progress_tick();
                progress_at = Instant::now() + self.progress_interval;
            }
            self.collect_ready(&mut touched);
            for stream in touched {
                self.deliver(stream);
            }
        }
    }

    fn carry_out(&mut self, order: Order, touched: &mut BTreeSet<StreamId>) {
        match order {
            Order::Open { stream, sender, starved } => {
                let (watchers, ready) = (BTreeSet::new(), VecDeque::new());
                self.streams.insert(stream, Stream { sender, starved, watchers, ready });
            }
            Order::Create { stream, request, answer } => {
                let revision = self.revisions.of(request.space);
                let made = self.hub.create(request).map(|id| (id, revision));
                if let (Ok((id, _)), Some(owner)) = (&made, self.streams.get_mut(&stream)) {
                    owner.watchers.insert(*id);
                    self.owners.insert(*id, stream);
                }
                // A client that gave up waiting closes its stream, and the watcher with it.
                drop(answer.send(made));
            }
            Order::Cancel { stream, id } => {
                if let Some(owner) = self.streams.get_mut(&stream) {
                    owner.watchers.remove(&id);
                    owner.ready.retain(|ready| *ready != id);
                }
                self.owners.remove(&id);
                self.hub.cancel(id);
            }
            Order::Progress { stream, handled } => {
                self.collect_ready(touched);
                self.deliver(stream);
                self.report_progress(stream);
                let _ = handled.send(());
            }
            Order::Room { stream } => {
                touched.insert(stream);
            }
            Order::Close { stream } => self.close(stream),
        }
    }

    fn collect_ready(&mut self, touched: &mut BTreeSet<StreamId>) {
        for id in self.hub.take_ready() {
            let Some(stream) = self.owners.get(&id) else { continue };
            if let Some(owner) = self.streams.get_mut(stream) {
                owner.ready.push_back(id);
                touched.insert(*stream);
            }
        }
    }

    /// Fills a client's queue, one watcher after the other.
    fn deliver(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        while let Some(watcher) = stream.ready.front().copied() {
            let place = match stream.sender.try_reserve() {
                Err(mpsc::error::TrySendError::Full(())) => {
                    // The client may have emptied its queue before it could see the mark, so
                    // look once more after setting it.
                    stream.starved.store(true, Ordering::SeqCst);
                    stream.sender.try_reserve()
                }
                place => place,
            };
            let Ok(place) = place else { return };
            let messages = self.hub.drain(watcher, WATCH_REVISIONS_MAX);
            stream.ready.pop_front();
            let Some(last) = messages.last() else { continue };
            if let WatchMessage::Compacted { .. } = last {
                stream.watchers.remove(&watcher);
                self.owners.remove(&watcher);
            } else {
                stream.ready.push_back(watcher);
            }
            place.send(WatchDelivery::Messages { id: watcher, messages });
        }
    }

    fn report_progress(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let watchers: Vec<_> = stream.watchers.iter().copied().collect();
        if let Some(revision) = self.hub.progress(&watchers) {
            // A full queue means that the client is not caught up after all.
            drop(stream.sender.try_send(WatchDelivery::Progress { revision }));
        }
    }

    fn close(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        for watcher in stream.watchers {
            self.owners.remove(&watcher);
            self.hub.cancel(watcher);
        }
    }
}

#[cfg(test)]
mod tests;
