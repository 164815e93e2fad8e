//! The socket that the engine's interface is served on.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use argosy_container::{Hold, try_lock};
use tokio::net::{UnixListener, UnixStream};

use crate::failure::{Exit, Failure};

/// Where it is below the directory of sockets, when nothing else is said.
pub(super) const NAME: &str = "docker.sock";

/// For its owner alone: whoever may write to it has the engine's rights.
const MODE: u32 = 0o600;

/// A socket of our own, for as long as this is kept.
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    path: PathBuf,
    number: u64,
    /// Who serves this path; it ends with the process.
    _lock: fs::File,
}

/// Makes the socket; one that nobody listens at any more is replaced.
pub(super) async fn bind(path: &Path) -> Result<Bound, Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::BadInput, format!("cannot listen at {}: {error}", path.display()))
    };
    let used = || {
        Failure::new(Exit::Refused, format!("somebody serves {} already", path.display()))
            .with_help("name another socket: argosy container serve --listen PATH")
    };
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(|error| cannot(&error))?;
    }
    let lock =
        try_lock(&path.with_extension("lock"), Hold::Alone).map_err(|error| cannot(&error))?;
    let lock = lock.ok_or_else(used)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(&error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(cannot(&"there is something else that is no socket")
                .with_help("remove it, or name another path with --listen"));
        }
        Ok(_) => match UnixStream::connect(path).await {
            // docker itself, for example, which takes no lock of ours.
            Ok(_) => return Err(used()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| cannot(&error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Somebody may well listen, who has no room just now.
            Err(error) => {
                return Err(cannot(&format!("it cannot be told whether it is used: {error}")));
            }
        },
    }
    // From its first moment on; nothing else of this process makes files yet.
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(!MODE & 0o777));
    let listener = UnixListener::bind(path);
    rustix::process::umask(mask);
    let listener = listener.map_err(|error| cannot(&error))?;
    let number = fs::symlink_metadata(path).map_err(|error| cannot(&error))?.ino();
    Ok(Bound { listener, path: path.to_owned(), number, _lock: lock })
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Unless it is somebody else's by now.
        if fs::symlink_metadata(&self.path).is_ok_and(|it| it.ino() == self.number) {
            drop(fs::remove_file(&self.path));
        }
    }
}
