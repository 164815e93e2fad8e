//! A PID namespace for each unit: how units are held together where no cgroup is writable.
//!
//! The namespace's init is a child of the keeper that only collects orphans. Killing it kills
//! everything in the namespace (pid_namespaces(7)). An ordinary user needs a user namespace
//! around it, in which only the user's own ids exist (user_namespaces(7)).

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getegid, geteuid, kill_process};

use crate::procfs::{self, start_ticks};
use crate::sys;

/// The namespaces a new process must be made in.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) user: Option<OwnedFd>,
    pub(crate) pid: OwnedFd,
}

/// A unit's namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    init: i32,
    start_ticks: u64,
    /// The inode of the PID namespace.
    identity: u64,
    doors: Option<Doors>,
    /// Says to a later keeper which process the init is.
    record: PathBuf,
    /// Takes no new process: one made while it dies would fail.
    killed: bool,
    reaped: bool,
}

impl Namespace {
    /// Makes a namespace with its init. `user` puts a user namespace around it.
    pub(crate) fn create(record: PathBuf, user: bool) -> io::Result<Namespace> {
        let flags = libc::CLONE_NEWPID | if user { libc::CLONE_NEWUSER } else { 0 };
        let init = sys::fork(flags)?;
        if init == 0 {
            sys::namespace_init();
        }
        Namespace::set_up(init, user, record).inspect_err(|_| {
            if let Some(pid) = Pid::from_raw(init) {
                let _ = kill_process(pid, rustix::process::Signal::KILL);
            }
        })
    }

    fn set_up(init: i32, user: bool, record: PathBuf) -> io::Result<Namespace> {
        let proc = PathBuf::from(format!("/proc/{init}"));
        if user {
            let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
            fs::write(proc.join("uid_map"), format!("{uid} {uid} 1"))?;
            fs::write(proc.join("setgroups"), "deny")?;
            fs::write(proc.join("gid_map"), format!("{gid} {gid} 1"))?;
        }
        let open = |name: &str| fs::File::open(proc.join("ns").join(name)).map(OwnedFd::from);
        let doors =
            Doors { user: if user { Some(open("user")?) } else { None }, pid: open("pid")? };
        let start_ticks = start_ticks(init)?;
        fs::write(&record, format!("{init} {start_ticks}\n"))?;
        let identity = fs::metadata(proc.join("ns/pid"))?.ino();
        let (doors, killed, reaped) = (Some(doors), false, false);
        Ok(Namespace { init, start_ticks, identity, doors, record, killed, reaped })
    }

    /// Takes what an earlier keeper recorded; `None` if that init has ended.
    pub(crate) fn adopt(record: &Path) -> io::Result<Option<Namespace>> {
        let text = fs::read_to_string(record)?;
        let mut words = text.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(init)), Some(Ok(started))) = (words.next(), words.next()) else {
            return Ok(None);
        };
        let init = i32::try_from(init).map_err(io::Error::other)?;
        if start_ticks(init).ok() != Some(started) {
            return Ok(None);
        }
        let identity = fs::metadata(format!("/proc/{init}/ns/pid"))?.ino();
        let (start_ticks, record) = (started, record.to_owned());
        let (doors, killed, reaped) = (None, false, false);
        Ok(Some(Namespace { init, start_ticks, identity, doors, record, killed, reaped }))
    }

    /// Returns the file that says to a later keeper which process the init is.
    pub(crate) fn record(&self) -> &Path {
        &self.record
    }

    /// Returns the PID of its init.
    pub(crate) fn init(&self) -> i32 {
        self.init
    }

    /// Tells whether it takes new processes.
    pub(crate) fn is_open(&self) -> bool {
        !self.killed && self.is_alive()
    }

    /// Tells whether its init lives.
    fn is_alive(&self) -> bool {
        !self.reaped && procfs::is_alive(self.init, self.start_ticks)
    }

    /// Returns duplicates of the namespaces' descriptors.
    pub(crate) fn doors(&self) -> io::Result<Doors> {
        let doors = self.doors.as_ref();
        let doors = doors.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        let user = doors.user.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(Doors { user, pid: doors.pid.as_fd().try_clone_to_owned()? })
    }

    /// Tells whether only its init is left, or not even that. The init of a killed one goes last.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        Ok(!self.is_alive() || (!self.killed && self.members()?.is_empty()))
    }

    /// Returns its processes but its init.
    pub(crate) fn members(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // A zombie has no namespace any more, somebody else's process shows none.
            let inside = fs::metadata(format!("/proc/{pid}/ns/pid"))
                .is_ok_and(|namespace| namespace.ino() == self.identity);
            if inside && pid != self.init {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    /// Returns the PID outside of a process that is known by its PID inside.
    pub(crate) fn outer_pid(&self, inner: u32) -> Option<u32> {
        let members = self.members().ok()?.into_iter();
        members
            .filter_map(|pid| u32::try_from(pid).ok())
            .find(|pid| procfs::pid_within(*pid) == Some(inner))
    }

    /// Kills all of it.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.killed = true;
        match Pid::from_raw(self.init) {
            Some(pid) if self.is_alive() => Ok(kill_process(pid, rustix::process::Signal::KILL)?),
            _ => Ok(()),
        }
    }

    /// Ends an empty namespace.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        if !self.is_empty()? {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        self.kill()?;
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Takes the news that a child of the keeper has ended.
    pub(crate) fn reaped(&mut self, pid: i32) {
        self.reaped |= pid == self.init;
    }
}
