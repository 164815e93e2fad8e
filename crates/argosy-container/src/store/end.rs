//! Signalling, stopping and removing containers.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::remove::remove_tree;
use super::{Containers, KILLED_MAX, Lock};
use crate::asked;
use crate::hearing::Hearing;
use crate::private::Hold;
use crate::record::{Exit, RunRecord};
use crate::spec::ContainerId;
use crate::{ContainerError, sys};

/// How often the end of a monitor is looked for, once its container has ended.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// How long one wait for an end lasts, before the next: any time does.
const WAIT_STEP: Duration = Duration::from_secs(3600);

impl Containers {
    /// Sends a signal to the first process of a container. One that the kernel would drop, since
    /// that process says nothing of it, ends the container, as it would end any other process.
    pub fn kill(&self, id: &ContainerId, signal: i32) -> Result<(), ContainerError> {
        let run = self.running(id)?;
        let number = signal;
        let invalid = || ContainerError::Refused { what: format!("there is no signal {number}") };
        let signal = sys::signal(number).ok_or_else(invalid)?;
        let descriptor = run.init.and_then(|it| it.open());
        let descriptor = descriptor.ok_or_else(|| ContainerError::NotRunning { id: id.clone() })?;
        let failed = |error: Errno| match error {
            Errno::SRCH => ContainerError::NotRunning { id: id.clone() },
            error => ContainerError::Signal { id: id.clone(), source: error.into() },
        };
        let hearing = run.init.and_then(|it| Hearing::begin(it.pid, number, Instant::now()));
        let note = |carried_out| {
            run.init.map(|init| asked::note(&self.asked_path(id), init, number, carried_out))
        };
        note(false);
        pidfd_send_signal(&descriptor, signal).map_err(failed)?;
        if hearing.is_some_and(Hearing::wait) {
            note(true);
            pidfd_send_signal(&descriptor, Signal::KILL).map_err(failed)?;
        }
        if number == libc::SIGKILL && run.cgroups.is_frozen() {
            // Version 1 lets a frozen process die only when it thaws.
            drop(run.cgroups.freeze(false));
        }
        Ok(())
    }

    /// Stops a container: its stop signal, and SIGKILL when the grace is over. Returns when it has
    /// ended and its monitor is done with it. One that does not run is left as it is.
    pub fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), ContainerError> {
        let signal = self.spec(id)?.stop_signal.unwrap_or(libc::SIGTERM);
        let until = Instant::now() + grace;
        self.give_up(id, signal, grace)?;
        let run = match self.running(id) {
            Err(ContainerError::NotRunning { .. }) => return Ok(()),
            result => result?,
        };
        if run.cgroups.is_frozen() {
            drop(run.cgroups.freeze(false));
        }
        self.kill_if_there(id, signal)?;
        if !ends_within(&run, until.saturating_duration_since(Instant::now())) {
            self.kill_if_there(id, libc::SIGKILL)?;
            if !ends_within(&run, KILLED_MAX) {
                return Err(ContainerError::NotEnding { id: id.clone() });
            }
        }
        match self.wait_unwatched(id) {
            // Its end has taken it away.
            Ok(_) | Err(ContainerError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal to one that may have ended, or be gone, by now.
    fn kill_if_there(&self, id: &ContainerId, signal: i32) -> Result<(), ContainerError> {
        match self.kill(id, signal) {
            Err(ContainerError::NotRunning { .. } | ContainerError::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    /// Waits until a container has ended and its monitor is done with it; returns how it ended,
    /// if somebody saw it. One that is removed at its end leaves nothing to know.
    pub fn wait(&self, id: &ContainerId) -> Result<Option<Exit>, ContainerError> {
        self.wait_set_up(id)?;
        match self.running(id) {
            Ok(run) => while !ends_within(&run, WAIT_STEP) {},
            Err(ContainerError::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.wait_unwatched(id) {
            Ok(_) | Err(ContainerError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.exit(id)
    }

    /// Removes a container and all it has: files, cgroups, records. With `force` also one that
    /// runs; if its own end takes it away meanwhile, that is as good. Returns whether it was this call
    /// that has removed it.
    pub fn delete(&self, id: &ContainerId, force: bool) -> Result<bool, ContainerError> {
        let lock = if force {
            let killed = self
                .spec(id)
                .and_then(|_| self.give_up(id, libc::SIGKILL, Duration::ZERO))
                .and_then(|()| self.kill_if_there(id, libc::SIGKILL));
            match killed {
                // Nothing of it can be run, and all of it be removed.
                Ok(()) | Err(ContainerError::Damaged { .. }) => {}
                result => result?,
            }
            match self.kill_until_unwatched(id) {
                Err(ContainerError::NotFound { .. }) => return Ok(false),
                result => result?,
            }
        } else {
            let lock = self.lock_idle(id)?;
            if self.run_record(id)?.is_some_and(|it| it.is_running()) {
                // Nobody watches it, and yet it runs.
                return Err(ContainerError::Running { id: id.clone() });
            }
            lock
        };
        self.clear_run(id)?;
        let _changing = self.changing(Hold::Shared)?;
        let (path, hidden) = (self.data(id), self.hidden(id));
        // From here on there is no such container, however far the removal gets.
        fs::rename(&path, &hidden).map_err(ContainerError::file("rename", &path))?;
        remove_tree(&hidden).map_err(ContainerError::file("remove", &hidden))?;
        drop(lock);
        Ok(true)
    }

    /// Ends and removes what an earlier run has left, if its monitor was killed. To be called with
    /// the lock, so that no monitor is there.
    pub(crate) fn clear_run(&self, id: &ContainerId) -> Result<(), ContainerError> {
        if let Some(run) = self.run_record(id)? {
            let first = run.init.filter(|_| run.is_running()).and_then(|it| it.open());
            run.cgroups.kill().map_err(ContainerError::system("kill what the container left"))?;
            if let Some(first) = first {
                // Not every machine has a cgroup that kills.
                let _ = pidfd_send_signal(first, Signal::KILL);
                ends_within(&run, KILLED_MAX);
            }
            run.cgroups
                .remove()
                .map_err(ContainerError::system("remove the container's cgroups"))?;
        }
        let path = self.run(id);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ContainerError::file("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Takes a container that does not run, once whoever has just looked after it is done.
    pub(crate) fn lock_idle(&self, id: &ContainerId) -> Result<Lock, ContainerError> {
        let until = Instant::now() + KILLED_MAX;
        loop {
            if let Some(lock) = self.try_lock(id)? {
                return Ok(lock);
            }
            let begins_or_runs = |it: RunRecord| it.is_running() || it.is_setting_up();
            if self.run_record(id)?.is_some_and(begins_or_runs) {
                return Err(ContainerError::Running { id: id.clone() });
            }
            if Instant::now() > until {
                return Err(ContainerError::Held { id: id.clone() });
            }
            sleep(LOOK);
        }
    }

    /// Waits until nobody holds a container, which is killed if somebody starts it meanwhile.
    fn kill_until_unwatched(&self, id: &ContainerId) -> Result<Lock, ContainerError> {
        let until = Instant::now() + KILLED_MAX;
        let mut killed = self.run_record(id)?.and_then(|it| it.init);
        loop {
            if let Some(lock) = self.try_lock(id)? {
                return Ok(lock);
            }
            if Instant::now() > until {
                return Err(ContainerError::NotEnding { id: id.clone() });
            }
            sleep(LOOK);
            let Some(run) = self.run_record(id)? else { continue };
            if run.is_setting_up() {
                self.give_up(id, libc::SIGKILL, Duration::ZERO)?;
            } else if run.init != killed {
                self.kill_if_there(id, libc::SIGKILL)?;
                killed = run.init;
            }
        }
    }

    /// Waits until nobody holds a container whose end is certain.
    fn wait_unwatched(&self, id: &ContainerId) -> Result<Lock, ContainerError> {
        let until = Instant::now() + KILLED_MAX;
        loop {
            if let Some(lock) = self.try_lock(id)? {
                return Ok(lock);
            }
            if Instant::now() > until {
                return Err(ContainerError::NotEnding { id: id.clone() });
            }
            sleep(LOOK);
        }
    }
}

/// Waits for the end of the first process; returns whether it came.
fn ends_within(run: &RunRecord, time: Duration) -> bool {
    let Some(descriptor) = run.init.and_then(|it| it.open()) else { return true };
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|count| count > 0),
        }
    }
}
