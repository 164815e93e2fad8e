//! The images of a machine on its disk.
//!
//! ```text
//! format                   what wrote this, and how
//! lock                     shared while something appears, exclusive while something goes
//! blobs/sha256/HEX         manifests, configurations and layers as they were pulled
//! layers/sha256/HEX/       a layer unpacked, by the digest of its uncompressed archive
//! chains/sha256/HEX/       the same for a layer that depends on the ones below it, by chain id
//! images/sha256/HEX        one image by its manifest's digest; it exists when this file does, and
//!                          was last used when it was last modified
//! names/REGISTRY/REPO/_tags/TAG   which image a name means
//! leases/HOLDER            an image that must stay
//! partial/sha256-HEX       a blob on its way, locked by who brings it
//! sessions/ID/             what one operation has under way, locked while it lives
//! collected                what last went by itself
//! ```
//!
//! Nothing is visible under its name before it is whole, verified and synced: everything appears
//! by a rename. What a dead process leaves behind is in `partial/` and `sessions/`.

mod blob;
mod collect;
mod durable;
mod held;
mod image;
mod layers;
mod lease;
mod names;
mod noted;
mod removal;
mod session;
mod trees;
mod usage;
mod used;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;
use thiserror::Error;

use crate::digest::{Algorithm, Digest};
use crate::layer::Privileges;
use crate::limits::Limits;
use crate::reference::Reference;

pub use collect::{Collect, Collected};
pub use held::{Held, HeldName};
pub use image::Image;
pub use lease::Lease;
pub use noted::LastCollection;
pub use removal::{Removal, Removed};
pub use usage::{DiskUse, ImageUse, Pressure, Usage};

pub(crate) use blob::{Claim, Partial};
pub(crate) use image::{ImageRecord, LayerRecord, parse_config};
pub(crate) use layers::{StagedLayer, chain_ids};
pub(crate) use names::NameRecord;
pub(crate) use session::Session;

const FORMAT: &str = "argosy images 1\n";
const FOLDERS: [&str; 8] =
    ["blobs", "layers", "chains", "images", "names", "leases", "partial", "sessions"];
/// Folders that have one folder for each digest algorithm.
const BY_ALGORITHM: [&str; 4] = ["blobs", "layers", "chains", "images"];

/// What went wrong with the store.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} was written by another version of argosy: {found:?}", path.display())]
    Format { path: PathBuf, found: String },
    #[error("{} belongs to user {owner}, and this is user {user}", path.display())]
    Owner { path: PathBuf, owner: u32, user: u32 },
    #[error("there is no image {name:?} on this machine")]
    NotFound { name: String },
    #[error("{prefix:?} begins the ids of {count} images; give more of it")]
    SeveralIds { prefix: String, count: usize },
    #[error("{name:?} is neither a name nor an id of an image")]
    Name { name: String, source: crate::reference::ReferenceError },
    #[error("image {id} has the names {}; remove them one by one, or all with --force", names.join(", "))]
    SeveralNames { id: String, names: Vec<String> },
    #[error("image {name} is in use by {}", holders.join(", "))]
    InUse { name: String, holders: Vec<String> },
    #[error("{} is damaged; pull the image again", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("the configuration of the image cannot be read")]
    Config(#[source] serde_json::Error),
    #[error(
        "{holder:?} cannot hold an image: letters, digits, \".\", \"_\" and \"-\" make a holder, at most {HOLDER_BYTES_MAX}"
    )]
    Holder { holder: String },
    #[error("{reference} has a digest and cannot be the name of another image")]
    DigestAsName { reference: Reference },
}

/// Holders are names of files.
const HOLDER_BYTES_MAX: usize = 128;

/// Makes an error of a failed operation on a path.
fn failed<'a, E: Into<io::Error>>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(E) -> StoreError + use<'a, E> {
    move |source| StoreError::Io { doing, path: path.to_owned(), source: source.into() }
}

/// The images of a machine. Cheap to clone; any number of processes may use one at once.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    limits: Limits,
    privileges: Privileges,
    /// Whether contents are on the disk before they are visible.
    durable: bool,
}

/// Held while something must not change.
#[derive(Debug)]
struct StoreLock {
    _file: OwnedFd,
}

impl Store {
    /// Opens the store at a directory and makes it if there is none.
    pub fn open(root: impl Into<PathBuf>, limits: Limits) -> Result<Self, StoreError> {
        Self::open_with(root.into(), limits, Privileges::of_this_process())
    }

    /// Opens the store of a machine that does not outlive this computer's next boot: nothing waits
    /// until contents are on the disk.
    pub fn open_passing(root: impl Into<PathBuf>, limits: Limits) -> Result<Self, StoreError> {
        Self::open_as(root.into(), limits, Privileges::of_this_process(), false)
    }

    /// Opens a store that keeps of files what `privileges` say.
    pub fn open_with(
        root: PathBuf,
        limits: Limits,
        privileges: Privileges,
    ) -> Result<Self, StoreError> {
        Self::open_as(root, limits, privileges, true)
    }

    fn open_as(
        root: PathBuf,
        limits: Limits,
        privileges: Privileges,
        durable: bool,
    ) -> Result<Self, StoreError> {
        make_private(&root)?;
        let store = Self { inner: Arc::new(Inner { root, limits, privileges, durable }) };
        for folder in FOLDERS {
            make_folder(&store.path(folder))?;
        }
        for folder in BY_ALGORITHM {
            for algorithm in Algorithm::ALL {
                make_folder(&store.path(folder).join(algorithm.name()))?;
            }
        }
        let lock = store.share()?;
        let path = store.path("format");
        match std::fs::read_to_string(&path) {
            Ok(found) if found == FORMAT => {}
            Ok(found) => return Err(StoreError::Format { path, found }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                store.write(&path, FORMAT.as_bytes())?;
            }
            Err(error) => return Err(failed("read", &path)(error)),
        }
        drop(lock);
        Ok(store)
    }

    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.inner.durable
    }

    pub fn privileges(&self) -> Privileges {
        self.inner.privileges
    }

    fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.inner.root.join(below)
    }

    /// Where a content of a kind is or would be.
    fn place(&self, kind: &str, digest: &Digest) -> PathBuf {
        self.path(kind).join(digest.algorithm().name()).join(digest.hex())
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.place("blobs", digest)
    }

    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.path("partial").join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    /// Held while things appear: nothing goes meanwhile.
    fn share(&self) -> Result<StoreLock, StoreError> {
        self.lock(FlockOperation::LockShared)
    }

    /// Held while things go: nothing appears meanwhile.
    fn exclude(&self) -> Result<StoreLock, StoreError> {
        self.lock(FlockOperation::LockExclusive)
    }

    fn lock(&self, operation: FlockOperation) -> Result<StoreLock, StoreError> {
        let path = self.path("lock");
        let file = durable::open_lock(&path)?;
        loop {
            match rustix::fs::flock(file.as_fd(), operation) {
                Ok(()) => return Ok(StoreLock { _file: file }),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed("lock", &path)(error)),
            }
        }
    }
}

/// Images hold setuid programs and device nodes, so nobody else may come near them. What is above them
/// is everybody's to pass: other users' proxies read what is beside them.
fn make_private(root: &Path) -> Result<(), StoreError> {
    if let Some(above) = root.parent() {
        std::fs::create_dir_all(above).map_err(failed("make", above))?;
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(root).map_err(failed("make", root))?;
    let found = std::fs::metadata(root).map_err(failed("look at", root))?;
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(StoreError::Owner { path: root.to_owned(), owner: found.uid(), user });
    }
    if found.mode() & 0o077 != 0 {
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(root, private).map_err(failed("set the mode of", root))?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("make", path)(error))
        }
        _ => Ok(()),
    }
}

/// What is in a folder, without what is on its way; nothing if the folder is not there.
fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let items = match std::fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder)(error)),
    };
    let mut names = Vec::new();
    for item in items {
        let item = item.map_err(failed("list", folder))?;
        if let Ok(name) = item.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The digests of all contents of a kind.
fn digests_in(store: &Store, kind: &str) -> Result<Vec<Digest>, StoreError> {
    let mut digests = Vec::new();
    for algorithm in Algorithm::ALL {
        let folder = store.path(kind).join(algorithm.name());
        for name in names_in(&folder)? {
            digests.extend(format!("{}:{name}", algorithm.name()).parse::<Digest>().ok());
        }
    }
    Ok(digests)
}
