//! How volumes appear and go: whole, and at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use argosy_container::{Hold, lock_within, private_directory, try_lock};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{DATA, Engine, RECORD, Volume, Volumes, failed, random_hex};
use crate::container::names::not_locked;
use crate::failure::{Exit, Failure};

/// What is locked while volumes are made or removed. Names of volumes do not begin with a point.
const LOCK: &str = ".+lock";

/// How long whoever makes or removes a volume waits for the one who looks for what was left half done,
/// which takes a moment; for longer only if it was stopped.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

impl Volumes {
    /// Keeps all other users out: volumes hold what containers' users made setuid.
    pub(crate) fn make_private(&self) -> Result<(), Failure> {
        private_directory(&self.root).map_err(|error| failed("make", &self.root, &error))
    }

    /// Puts a new volume on the disk.
    pub(crate) fn keep(&self, volume: &Volume) -> Result<(), Failure> {
        self.place(volume, (None, None)).map(drop)
    }

    /// Puts a volume into its place, whole; tells whether the place was free.
    pub(super) fn place(
        &self,
        volume: &Volume,
        owner: (Option<u32>, Option<u32>),
    ) -> Result<bool, Failure> {
        self.make_private()?;
        let _changing = self.changing()?;
        let hidden = self.hidden()?;
        let path = self.root.join(&volume.name);
        let make = || -> io::Result<bool> {
            let data = hidden.join(DATA);
            fs::create_dir_all(&data)?;
            fs::set_permissions(&hidden, fs::Permissions::from_mode(0o711))?;
            fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
            chown(&data, owner.0, owner.1)?;
            let path_of_record = hidden.join(RECORD);
            let mut file =
                File::options().write(true).create_new(true).mode(0o600).open(path_of_record)?;
            file.write_all(&serde_json::to_vec_pretty(volume)?)?;
            // One that goes with its container is not asked for after the machine lost its power.
            let lasts = volume.goes_with.is_none();
            if lasts {
                file.sync_all()?;
            }
            match renameat_with(CWD, &hidden, CWD, &path, RenameFlags::NOREPLACE) {
                Ok(()) if lasts => File::open(&self.root)?.sync_all().map(|()| true),
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::EXIST) => Ok(false),
                Err(error) => Err(error.into()),
            }
        };
        let made = make().map_err(|error| failed("make volume", &path, &error));
        if !matches!(made, Ok(true)) {
            drop(fs::remove_dir_all(&hidden));
        }
        made
    }

    /// Removes a volume with all that is in it, be its record lost.
    pub(crate) fn remove(&self, engine: &Engine, name: &str) -> Result<(), Failure> {
        if self.remove_if_there(engine, name)? {
            return Ok(());
        }
        Err(Failure::new(Exit::BadInput, format!("there is no volume {name}"))
            .with_help("list them: argosy volume ls"))
    }

    /// The same; tells whether there was one.
    pub(crate) fn remove_if_there(&self, engine: &Engine, name: &str) -> Result<bool, Failure> {
        Self::check_name(name)?;
        let path = self.root.join(name);
        if !path.is_dir() {
            return Ok(false);
        }
        let users = self.users(engine, name)?;
        if !users.is_empty() {
            let message = format!("volume {name} is in use by {}", users.join(", "));
            return Err(Failure::new(Exit::Refused, message)
                .with_help("remove these containers first: argosy container rm"));
        }
        let _changing = self.changing()?;
        // From here on there is no such volume, however far the removal gets.
        let hidden = self.hidden()?;
        match fs::rename(&path, &hidden) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            result => result.map_err(|error| failed("remove volume", &path, &error))?,
        }
        remove_tree(&hidden).map(|()| true)
    }

    /// Removes what was made or removed by commands that were killed at it. Leaves it to the next
    /// time if somebody is at work.
    pub(crate) fn collect(&self) -> Result<(), Failure> {
        if self.left()?.is_empty() {
            return Ok(());
        }
        let lock = try_lock(&self.root.join(LOCK), Hold::Alone);
        let Some(alone) = lock.map_err(|error| not_locked(&error))? else { return Ok(()) };
        // Whoever makes or removes one has the lock, so these are nobody's.
        let left = self.left()?;
        drop(alone);
        left.iter().try_for_each(|path| remove_tree(path))
    }

    fn left(&self) -> Result<Vec<PathBuf>, Failure> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(|error| failed("list", &self.root, &error))?,
        };
        let is_left = |path: &PathBuf| {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            name.starts_with('.') && name != LOCK && path.is_dir()
        };
        Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_left).collect())
    }

    /// Where a volume is while it is made or removed.
    fn hidden(&self) -> Result<PathBuf, Failure> {
        Ok(self.root.join(format!(".{}", random_hex::<8>()?)))
    }

    fn changing(&self) -> Result<File, Failure> {
        lock_within(&self.root.join(LOCK), Hold::Shared, LOCK_LIMIT)
            .map_err(|error| not_locked(&error))
    }
}

/// Removes a directory; if somebody else does it too, both are content.
fn remove_tree(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove volume", path, &error))
        }
        _ => Ok(()),
    }
}
