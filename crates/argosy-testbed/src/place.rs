//! Where testbeds keep their files, so that other terminals and the next start find them.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use crate::config::is_name;
use crate::{Control, Status, TestbedError};

/// How long a lock may be held by a switch that does not answer: one that begins or that was
/// killed, on a busy computer.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// How often such a lock is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// The paths of one testbed.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: String,
    base: PathBuf,
    /// Whether the base is ours to make and to remove.
    own_base: bool,
}

/// The lock of a testbed's name, held as long as its file is open.
#[derive(Debug)]
pub(crate) struct Lock {
    pub(crate) file: File,
}

impl Place {
    /// The paths of a testbed, whether it runs or not. Makes nothing.
    pub(crate) fn find(name: &str, base: Option<&Path>) -> Result<Place, TestbedError> {
        if !is_name(name) {
            return Err(TestbedError::Name { name: name.to_owned() });
        }
        let (base, own_base) = match base {
            Some(base) => (base.to_owned(), false),
            None => (usual_base(), true),
        };
        Ok(Place { name: name.to_owned(), base, own_base })
    }

    /// Makes the base, if it is ours to make, and checks that nobody else can write in it.
    pub(crate) fn prepare(&self) -> Result<(), TestbedError> {
        let file =
            |action| move |source| TestbedError::File { action, path: self.base.clone(), source };
        if self.own_base {
            match DirBuilder::new().mode(0o700).create(&self.base) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(file("make"))?,
            }
        }
        self.check()
    }

    /// Checks that nobody else can write in the base.
    pub(crate) fn check(&self) -> Result<(), TestbedError> {
        let file =
            |source| TestbedError::File { action: "look at", path: self.base.clone(), source };
        let metadata = fs::symlink_metadata(&self.base).map_err(file)?;
        let private = metadata.is_dir()
            && metadata.uid() == geteuid().as_raw()
            && metadata.mode() & 0o022 == 0;
        if private { Ok(()) } else { Err(TestbedError::NotPrivate { path: self.base.clone() }) }
    }

    /// Takes the lock of the name. A switch that was killed holds it until its last thread has
    /// ended, so one that holds it but does not answer is waited for. The base goes with the last
    /// testbed in it, and is made again.
    pub(crate) fn lock(&self) -> Result<Lock, TestbedError> {
        let end = Instant::now() + LOCK_LIMIT;
        loop {
            self.prepare()?;
            if let Some(lock) = self.try_lock()? {
                return Ok(lock);
            }
            // One that is being killed may answer once more, after its owner is gone.
            let is_owned =
                |status: Status| Path::new("/proc").join(status.owner_pid.to_string()).exists();
            if Instant::now() >= end || Control::at(self).status().is_ok_and(is_owned) {
                return Err(TestbedError::RunsAlready { name: self.name.clone() });
            }
            thread::sleep(LOCK_INTERVAL);
        }
    }

    fn try_lock(&self) -> Result<Option<Lock>, TestbedError> {
        let path = self.lock_path();
        let failed = |source| TestbedError::File { action: "lock", path: path.clone(), source };
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            // The base went with its last testbed since it was made.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.own_base => {
                return Ok(None);
            }
            other => other.map_err(failed)?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            other => other.map_err(|error| failed(error.into()))?,
        }
        // The one who held it may have removed the file between our opening and our locking.
        let ours = file.metadata().map_err(failed)?.ino();
        let is_there = fs::metadata(&path).is_ok_and(|there| there.ino() == ours);
        Ok(is_there.then_some(Lock { file }))
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The testbed's own directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.base.join(format!("{}.lock", self.name))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory().join(SOCKET)
    }

    /// The base, if it goes with its last testbed.
    pub(crate) fn removable_base(&self) -> Option<PathBuf> {
        self.own_base.then(|| self.base.clone())
    }
}

/// The control socket's name in a testbed's directory.
pub(crate) const SOCKET: &str = "control";
/// The state file's name in a testbed's directory.
pub(crate) const STATE: &str = "state.json";
/// The name of the file with what the switch and the inits had to say on standard error.
pub(crate) const LOG: &str = "log";

/// The same for every terminal of a user: not $XDG_RUNTIME_DIR, which a terminal may lack and
/// whose file system is too small for the data of machines. Whoever is root of a user namespace
/// only has the directory of the user that they are outside: the other is the real root's.
fn usual_base() -> PathBuf {
    let user = geteuid().as_raw();
    // Without /proc there are no testbeds either.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    PathBuf::from(format!("/tmp/argosy-testbed-{}", user_outside(user, &map)))
}

/// Returns which user of the namespace above a user is (user_namespaces(7), uid_map).
fn user_outside(user: u32, map: &str) -> u32 {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let [inside, outside, count] = [(); 3].map(|()| numbers.next()?.ok());
        let offset = user.checked_sub(inside?).filter(|offset| Some(*offset) < count)?;
        outside?.checked_add(offset)
    };
    map.lines().find_map(line).unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_user_namespaces_are_told_apart() {
        assert_eq!(user_outside(0, "         0          0 4294967295\n"), 0);
        assert_eq!(user_outside(0, "         0      65534          1\n"), 65534);
        assert_eq!(user_outside(7, "0 1000 1\n1 100000 65536\n"), 100_006);
        assert_eq!(user_outside(7, ""), 7);
    }
}
