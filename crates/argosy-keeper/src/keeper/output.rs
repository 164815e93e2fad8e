//! Output: from pipes into spools, as much as fits and no more.

use std::os::fd::OwnedFd;
use std::time::Duration;

use argosy_model::UnitName;
use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, ioctl_fionread, read};

use super::poller::Token;
use super::{Keeper, boottime, complain, micros, realtime};
use crate::spool::{Chunk, MAX_DATA, Spool};
use crate::{KeeperError, SpawnId, Stream};

/// How long a pipe rests after it was read nearly empty. A unit that prints line by line is then
/// read 200 times a second instead of once a line.
const PACE: Duration = Duration::from_millis(5);

/// A read that gave this much shows a writer faster than the pace: it is read on at once.
const FULL_READ: usize = MAX_DATA / 2;

/// Reads of one pipe before others have their turn.
const READS: usize = 4;

/// Bytes beyond its limit that a spool takes when a process has ended, so that its last words
/// come before its exit: two pipes of the largest size an ordinary user may set (pipe(7)).
const EXIT_SLACK: u64 = 2 << 20;

/// When a spool that could not be written is tried again: the file system was full.
const SPOOL_RETRY: Duration = Duration::from_millis(200);

/// The read end of one output pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) unit: UnitName,
    pub(super) pid: u32,
    pub(super) fd: OwnedFd,
    pub(super) token: Token,
}

/// What one read of a pipe gave.
enum Read {
    Some(usize),
    Nothing,
    End,
}

impl Keeper {
    /// Takes over the spools of an earlier keeper.
    pub(super) fn adopt_spools(&mut self) -> Result<(), KeeperError> {
        let directory = self.runtime.spools();
        let failed = |source| KeeperError::RuntimeDir { path: directory.clone(), source };
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(unit) = UnitName::new(name) else { continue };
            match Spool::adopt(&path) {
                Ok(Some(spool)) => {
                    self.highest_position = self.highest_position.max(spool.range().end);
                    self.unread += spool.unread();
                    self.units.entry(unit).or_default().spool = Some(spool);
                }
                Ok(None) => std::fs::remove_dir_all(&path).map_err(failed)?,
                Err(error) => {
                    complain("output of an earlier keeper cannot be read", &error);
                    // It stays for whoever wants to look at it, and makes room for a new one.
                    let aside = directory.join(format!("{name}~unreadable"));
                    std::fs::rename(&path, aside).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Makes sure that a unit has a spool.
    pub(super) fn ensure_spool(&mut self, name: &UnitName) -> std::io::Result<()> {
        let unit = self.units.entry(name.clone()).or_default();
        if unit.spool.is_none() {
            let directory = self.runtime.spools().join(name.as_str());
            let spool = Spool::create(&directory, micros(realtime()), self.highest_position)
                .map_err(|error| match error {
                    crate::SpoolError::File { source, .. } => source,
                    other => std::io::Error::other(other),
                })?;
            unit.spool = Some(spool);
        }
        Ok(())
    }

    /// Reads a pipe that has something, and decides when it is read again.
    pub(super) fn read_pipe(&mut self, key: (SpawnId, Stream)) {
        self.keep_fence();
        for _ in 0..READS {
            if !self.has_room(key, 0) {
                self.blocked.insert(key);
                return;
            }
            match self.read_once(key) {
                Read::End => return self.close_pipe(key),
                Read::Some(count) if count >= FULL_READ => {}
                Read::Some(_) | Read::Nothing => {
                    self.paced.push(key);
                    self.pace_at.get_or_insert_with(|| boottime() + PACE);
                    return;
                }
            }
        }
        self.arm_pipe(key);
    }

    /// Reads what a process that has ended left in its pipes: not more than is there now, since a
    /// descendant may write on for ever.
    pub(super) fn drain_pipes(&mut self, spawn_id: SpawnId) {
        for key in [(spawn_id, Stream::Stdout), (spawn_id, Stream::Stderr)] {
            let Some(pipe) = self.pipes.get(&key) else { continue };
            let ready = ioctl_fionread(&pipe.fd).unwrap_or(0);
            let mut left = usize::try_from(ready).unwrap_or(usize::MAX);
            while self.has_room(key, EXIT_SLACK) {
                match self.read_once(key) {
                    Read::End => {
                        self.close_pipe(key);
                        break;
                    }
                    Read::Nothing => break,
                    // One more read after all is read tells whether the pipe has ended.
                    Read::Some(_) if left == 0 => break,
                    Read::Some(count) => left = left.saturating_sub(count),
                }
            }
        }
    }

    /// Reads the paced pipes again.
    pub(super) fn resume_paced(&mut self) {
        for key in std::mem::take(&mut self.paced) {
            self.arm_pipe(key);
        }
    }

    /// Tries to write again what a file system refused.
    pub(super) fn retry_spools(&mut self) {
        let stalled: Vec<UnitName> = self
            .units
            .iter()
            .filter(|(_, unit)| unit.spool.as_ref().is_some_and(Spool::is_stalled))
            .map(|(name, _)| name.clone())
            .collect();
        for name in stalled {
            match self.with_spool(&name, Spool::flush) {
                Some(Err(_)) => self.spool_retry_at = Some(boottime() + SPOOL_RETRY),
                Some(Ok(())) | None => {
                    self.advanced.insert(name);
                }
            }
        }
        self.unblock_pipes();
    }

    /// Gives up a unit's output before a position.
    pub(super) fn release_spool(&mut self, name: &UnitName, through: u64) {
        self.with_spool(name, |spool| spool.release(through));
        self.unblock_pipes();
    }

    /// Removes a unit's spool with all that is in it.
    pub(super) fn remove_spool(&mut self, name: &UnitName) {
        let Some(spool) = self.units.get_mut(name).and_then(|unit| unit.spool.take()) else {
            return;
        };
        self.advanced.remove(name);
        self.unread -= spool.unread();
        self.highest_position = self.highest_position.max(spool.range().end);
        if let Err(error) = spool.remove() {
            complain("a spool is not removed", &error);
        }
        self.unblock_pipes();
    }

    /// Reads blocked pipes again if their spools have room now.
    fn unblock_pipes(&mut self) {
        for key in std::mem::take(&mut self.blocked) {
            if self.has_room(key, 0) {
                self.arm_pipe(key);
            } else if self.pipes.contains_key(&key) {
                self.blocked.insert(key);
            }
        }
    }

    fn has_room(&self, key: (SpawnId, Stream), slack: u64) -> bool {
        let Some(pipe) = self.pipes.get(&key) else { return false };
        let own = self.units.get(&pipe.unit).and_then(|unit| unit.spool.as_ref());
        let stalled = own.is_some_and(Spool::is_stalled);
        let unread = own.map_or(0, Spool::unread);
        !stalled
            && unread < self.config.spool_limit + slack
            && self.unread < self.config.spool_total_limit + slack
    }

    fn arm_pipe(&mut self, key: (SpawnId, Stream)) {
        if let Some(pipe) = self.pipes.get(&key) {
            let flags = EventFlags::IN | EventFlags::ONESHOT;
            self.poller.change(&pipe.fd, pipe.token, flags);
        }
    }

    fn read_once(&mut self, key: (SpawnId, Stream)) -> Read {
        let Some(pipe) = self.pipes.get(&key) else { return Read::Nothing };
        let mut data = vec![0; MAX_DATA];
        match read(&pipe.fd, &mut data) {
            Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
            Ok(0) | Err(_) => Read::End,
            Ok(count) => {
                data.truncate(count);
                self.append(key, data, false);
                Read::Some(count)
            }
        }
    }

    fn append(&mut self, key: (SpawnId, Stream), data: Vec<u8>, end: bool) {
        let Some(pipe) = self.pipes.get(&key) else { return };
        let (spawn_id, stream) = key;
        let (name, pid) = (pipe.unit.clone(), pipe.pid);
        let boottime_us = micros(boottime());
        let realtime_us = micros(realtime());
        let chunk = Chunk { stream, spawn_id, pid, boottime_us, realtime_us, end, data };
        // A unit that was forgotten may still have processes that write.
        if let Err(error) = self.ensure_spool(&name) {
            complain("output is lost, its spool cannot be made", &error);
            return;
        }
        let written = self.with_spool(&name, |spool| (spool.is_stalled(), spool.append(chunk)));
        match written {
            Some((_, Ok(()))) => {
                self.advanced.insert(name);
            }
            Some((stalled, Err(error))) => {
                if !stalled {
                    complain("output waits", &error);
                }
                self.spool_retry_at = Some(boottime() + SPOOL_RETRY);
            }
            None => {}
        }
    }

    /// Changes a unit's spool and keeps the sum of all unread output right.
    fn with_spool<R>(&mut self, name: &UnitName, act: impl FnOnce(&mut Spool) -> R) -> Option<R> {
        let spool = self.units.get_mut(name)?.spool.as_mut()?;
        let before = spool.unread();
        let result = act(spool);
        self.unread = self.unread - before + spool.unread();
        Some(result)
    }

    /// All writers have closed the pipe.
    fn close_pipe(&mut self, key: (SpawnId, Stream)) {
        let Some(pipe) = self.pipes.get(&key) else { return };
        // The end of nothing is not worth a spool: the unit was forgotten.
        if self.units.get(&pipe.unit).is_some_and(|unit| unit.spool.is_some()) {
            self.append(key, Vec::new(), true);
        }
        let Some(pipe) = self.pipes.remove(&key) else { return };
        self.poller.remove(&pipe.fd, pipe.token);
        if let Some(link) = &mut self.link {
            link.queue_pipe_closed(key.0, key.1);
        }
        if let Some(unit) = self.units.get_mut(&pipe.unit) {
            unit.pipes -= 1;
        }
        self.discard_if_idle(&pipe.unit);
    }

    /// Registers the pipes with a new supervisor.
    pub(super) fn hand_over_pipes(&mut self) {
        if let Some(link) = &mut self.link {
            for ((spawn_id, stream), pipe) in &self.pipes {
                link.queue_pipe(&pipe.unit, *spawn_id, *stream, &pipe.fd);
            }
        }
    }

    /// Forgets a unit of which nothing is held.
    pub(super) fn discard_if_idle(&mut self, name: &UnitName) {
        if self.units.get(name).is_some_and(super::unit::Unit::is_idle) {
            self.units.remove(name);
        }
    }
}
