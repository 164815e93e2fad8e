//! What a watcher is told: in order, once, whole revisions, without a gap.

use argosy_kv::{KeyRange, Revision, WatchBatch, WatchMessage};

use super::Violation;
use super::log::Log;

/// What one watcher wants and has been told. It outlives the watch itself: after the loss of
/// its member it goes on elsewhere.
#[derive(Debug)]
pub(crate) struct Watched {
    watcher: usize,
    pub(crate) range: KeyRange,
    /// The first revision it has not been told of.
    pub(crate) next: Revision,
}

impl Watched {
    pub(crate) fn new(watcher: usize, range: KeyRange) -> Self {
        Self { watcher, range, next: 1 }
    }

    /// Takes what it was told. Returns false when the watch is over.
    pub(crate) fn told(&mut self, message: &WatchMessage, log: &Log) -> Result<bool, Violation> {
        match message {
            WatchMessage::Events(batch) => self.events(batch, log).map(|()| true),
            WatchMessage::Progress { revision } => {
                self.nothing_left(*revision, log)?;
                self.next = self.next.max(revision + 1);
                Ok(true)
            }
            WatchMessage::Compacted { compact_revision } => {
                let compact_revision = *compact_revision;
                if compact_revision > log.compacted || self.next > compact_revision {
                    let next = self.next;
                    return Err(self.wrong(format!(
                        "told that {compact_revision} is compacted while waiting for {next}"
                    )));
                }
                self.next = compact_revision;
                Ok(false)
            }
        }
    }

    fn events(&mut self, batch: &WatchBatch, log: &Log) -> Result<(), Violation> {
        let revision = batch.revision;
        if revision < self.next {
            let next = self.next;
            return Err(self.wrong(format!("told of {revision} after everything below {next}")));
        }
        self.nothing_left(revision - 1, log)?;
        let happened = log.history.get(&revision).map(|events| events.iter()).into_iter().flatten();
        let wanted = happened.filter(|event| self.range.contains(&event.kv.key));
        if !wanted.map(|event| &event.kv).eq(batch.events.iter().map(|event| &event.kv)) {
            return Err(self.wrong(format!("told something else of {revision} than happened")));
        }
        self.next = revision + 1;
        Ok(())
    }

    /// Checks that it was told of everything up to a revision.
    pub(crate) fn nothing_left(&self, upto: Revision, log: &Log) -> Result<(), Violation> {
        if upto < self.next {
            return Ok(());
        }
        let missed = log
            .history
            .range(self.next..=upto)
            .find(|(_, events)| events.iter().any(|event| self.range.contains(&event.kv.key)));
        match missed {
            None => Ok(()),
            Some((revision, _)) => Err(self.wrong(format!("was not told of {revision}"))),
        }
    }

    fn wrong(&self, what: String) -> Violation {
        Violation::Watch { watcher: self.watcher, what }
    }
}
