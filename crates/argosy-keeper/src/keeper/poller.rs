//! What the keeper waits for.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use argosy_model::UnitName;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::{SpawnId, Stream};

/// Sources taken from the kernel at once.
const BATCH: usize = 64;

/// Something that can become ready.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Signals,
    /// A fence deadline has come, or passed.
    Fence,
    Link,
    /// The child whose descriptors are held says something.
    Held,
    Pipe(SpawnId, Stream),
    Report(SpawnId),
    Notify(UnitName),
    Group(UnitName),
}

/// Names one registration, for ever: a readiness of a source removed meanwhile is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(u64);

/// The epoll instance and what is in it.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    sources: BTreeMap<Token, Source>,
    last: u64,
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poller { epoll, sources: BTreeMap::new(), last: 0 })
    }

    pub(super) fn add(
        &mut self,
        fd: impl AsFd,
        source: Source,
        flags: epoll::EventFlags,
    ) -> io::Result<Token> {
        self.last += 1;
        let token = Token(self.last);
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token.0), flags)?;
        self.sources.insert(token, source);
        Ok(token)
    }

    pub(super) fn change(&self, fd: impl AsFd, token: Token, flags: epoll::EventFlags) {
        // Fails only for a descriptor that is not registered, and all of ours are.
        let _ = epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token.0), flags);
    }

    pub(super) fn remove(&mut self, fd: impl AsFd, token: Token) {
        self.sources.remove(&token);
        // Needed although the descriptor is closed next: a duplicate may live in a child or in the
        // supervisor and would keep the registration.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits and returns the sources that are ready.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        let timeout = timeout.map(|span| Timespec {
            tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: span.subsec_nanos().into(),
        });
        let mut events = Vec::with_capacity(BATCH);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let source = |event: &epoll::Event| self.sources.get(&Token(event.data.u64())).cloned();
        Ok(events.iter().filter_map(source).collect())
    }
}
