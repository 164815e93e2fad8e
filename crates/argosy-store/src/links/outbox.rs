//! What waits to be sent to one member: bounded, the urgent first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argosy_consensus::{LogEntry, MessageKind, PeerMessage};
use tokio::sync::Notify;

use super::question::Question;

/// Bytes that may wait for one member: as much as consensus has on its way to one follower
/// before it stops by itself (64 appends of 1 MiB).
pub(crate) const WAITING_BYTES_MAX: usize = 64 << 20;

/// Messages that may wait for one member. Consensus sends a few for each turn of its thread;
/// this many wait only for a member that has stopped reading.
pub(crate) const WAITING_MESSAGES_MAX: usize = 8_192;

/// Bytes of entries in one message on the wire. Consensus joins the appends of one turn
/// without a limit of its own; in parts, a heartbeat never waits behind more than one.
pub(crate) const PART_BYTES: usize = 1 << 20;

/// What a message weighs besides its entries, and an entry besides its data.
const FIXED_BYTES: usize = 64;

/// What is sent at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) questions: Vec<Question>,
    pub(crate) messages: Vec<PeerMessage>,
}

/// The queue to one member.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lanes: Mutex<Lanes>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Lanes {
    /// Closed while there is no connection and none is being made.
    open: bool,
    questions: Vec<Question>,
    /// Votes, heartbeats, acknowledgements. They overtake the bulk, which raft permits: none
    /// of them rests on an append that was sent before it.
    urgent: Vec<PeerMessage>,
    /// Appends and forwarded proposals, in order. An append without entries is among them: it
    /// would be refused if it came before the entries that it follows.
    bulk: VecDeque<PeerMessage>,
    bytes: usize,
}

impl Outbox {
    /// Lets messages wait from now on.
    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    /// Drops what waits and refuses the rest.
    pub(crate) fn close(&self) {
        *self.lock() = Lanes::default();
    }

    /// Adds a message; `false` when it is dropped instead.
    pub(crate) fn send(&self, message: PeerMessage) -> bool {
        let mut lanes = self.lock();
        if !lanes.has_room(weight(&message)) {
            return false;
        }
        if bulky(&message) {
            for part in parts(message) {
                lanes.bytes += weight(&part);
                lanes.bulk.push_back(part);
            }
        } else {
            lanes.bytes += weight(&message);
            lanes.urgent.push(message);
        }
        self.arrived.notify_one();
        true
    }

    /// Adds a question; `false` when it is dropped instead.
    pub(crate) fn ask(&self, question: Question) -> bool {
        let mut lanes = self.lock();
        if !lanes.has_room(0) {
            return false;
        }
        lanes.questions.push(question);
        self.arrived.notify_one();
        true
    }

    /// Returns when something waits.
    pub(crate) async fn wait(&self) {
        loop {
            // Made before the look, so that an arrival in between is not missed.
            let arrived = self.arrived.notified();
            if !self.lock().is_empty() {
                return;
            }
            arrived.await;
        }
    }

    /// Takes everything urgent and then the bulk until `bytes_max` of it are reached.
    pub(crate) fn take(&self, bytes_max: usize) -> Batch {
        let mut lanes = self.lock();
        let questions = std::mem::take(&mut lanes.questions);
        let mut messages = std::mem::take(&mut lanes.urgent);
        let mut bulk = 0;
        while bulk < bytes_max
            && let Some(message) = lanes.bulk.pop_front()
        {
            bulk += weight(&message);
            messages.push(message);
        }
        lanes.bytes -= messages.iter().map(weight).sum::<usize>();
        Batch { questions, messages }
    }

    /// Returns the messages and the bytes that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let lanes = self.lock();
        (lanes.len(), lanes.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // No code that can panic runs under the lock.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.questions.len() + self.urgent.len() + self.bulk.len()
    }

    fn has_room(&self, weight: usize) -> bool {
        // An empty queue takes a message of any size.
        let fits = self.bytes == 0 || self.bytes + weight <= WAITING_BYTES_MAX;
        self.open && fits && self.len() < WAITING_MESSAGES_MAX
    }
}

fn bulky(message: &PeerMessage) -> bool {
    matches!(message.kind(), MessageKind::Append | MessageKind::Propose)
}

fn weight(message: &PeerMessage) -> usize {
    FIXED_BYTES + message.entries.iter().map(entry_weight).sum::<usize>()
}

fn entry_weight(entry: &LogEntry) -> usize {
    FIXED_BYTES + entry.data.len() + entry.origin.len()
}

/// Cuts an append into several that follow each other, each of at most [`PART_BYTES`] or one
/// entry. Any other message, and a small one, stays whole.
fn parts(mut message: PeerMessage) -> Vec<PeerMessage> {
    if message.kind() != MessageKind::Append || weight(&message) <= PART_BYTES {
        return vec![message];
    }
    let entries = std::mem::take(&mut message.entries);
    let mut parts = vec![message.clone()];
    let mut weight = FIXED_BYTES;
    for entry in entries {
        let added = entry_weight(&entry);
        let full = |part: &PeerMessage| !part.entries.is_empty() && weight + added > PART_BYTES;
        if let Some(part) = parts.last().filter(|part| full(part)) {
            let before = part.entries.last().map_or((0, 0), |last| (last.index, last.term));
            let (index, log_term) = before;
            parts.push(PeerMessage { index, log_term, ..message.clone() });
            weight = FIXED_BYTES;
        }
        weight += added;
        parts.last_mut().expect("begun with one").entries.push(entry);
    }
    parts
}

#[cfg(test)]
mod tests;
