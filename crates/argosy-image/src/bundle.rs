//! Where images of this machine come from: a layout directory, or an archive of images.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;

use crate::digest::{Algorithm, Digest};
use crate::layer::{Archive, ArchiveError, Guard, Kind, decompressed, relative};
use crate::limits::{ARCHIVE_ENTRIES_MAX, Limits};
use crate::within::open_within;

/// Links between entries of an archive that are followed; docker writes one.
const LINKS_MAX: usize = 4;

/// Why something cannot be read as images.
#[derive(Debug, Error)]
pub enum BundleError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the archive cannot be read")]
    Archive(#[source] ArchiveError),
    #[error("the archive cannot be decompressed")]
    Decompress(#[source] io::Error),
    #[error("the archive has more than {ARCHIVE_ENTRIES_MAX} entries")]
    Entries,
    #[error("{name:?} is missing in it")]
    Missing { name: String },
    #[error("{name:?} in it is not a file")]
    NotAFile { name: String },
    #[error("{name:?} in it has {found} bytes, at most {max} are allowed")]
    TooLarge { name: String, found: u64, max: u64 },
    #[error("{name:?} in it is not what its digest says")]
    Digest { name: String },
    #[error("{name:?} in it is not valid JSON of the expected form")]
    Json { name: String, source: serde_json::Error },
    #[error(
        "it is neither an OCI layout nor an archive of `docker save`: it has no index.json and no manifest.json"
    )]
    Unknown,
    #[error("it holds more than {max} images")]
    Images { max: usize },
    #[error("it holds no image for {wanted}")]
    NoImage { wanted: crate::platform::Platform },
}

/// Files by name, from a directory or an archive.
pub(crate) enum Bundle {
    Folder { folder: OwnedFd, path: PathBuf },
    Archive { file: Arc<File>, entries: BTreeMap<String, Place> },
}

/// A file's content and its length.
pub(crate) type Content = (Box<dyn Read>, u64);

/// Where an entry of an archive is.
pub(crate) enum Place {
    Data { offset: u64, size: u64 },
    Link(String),
}

impl Bundle {
    /// Reads what is at a path. A compressed archive is first decompressed to `spool`.
    pub(crate) fn open(path: &Path, spool: &Path, limits: &Limits) -> Result<Self, BundleError> {
        let failed = |doing| move |source| BundleError::Io { doing, path: path.to_owned(), source };
        if path.is_dir() {
            let folder = File::open(path).map_err(failed("open"))?.into();
            return Ok(Self::Folder { folder, path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(failed("open"))?;
        let seekable = file.stream_position().is_ok();
        let mut first = [0; 4];
        let begins = if seekable { file.read_at(&mut first, 0).unwrap_or(0) } else { 0 };
        let plain = begins == first.len() && {
            let (compression, _) = decompressed(&first[..]).map_err(BundleError::Decompress)?;
            compression == crate::layer::Compression::Plain
        };
        if seekable && plain {
            return Self::index(file);
        }
        Self::spooled(file, spool, limits)
    }

    /// Reads an archive that comes as a stream.
    pub(crate) fn spooled(
        source: impl Read,
        spool: &Path,
        limits: &Limits,
    ) -> Result<Self, BundleError> {
        let failed =
            |doing| move |source| BundleError::Io { doing, path: spool.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(spool)
            .map_err(failed("make"))?;
        let counted = Arc::new(AtomicU64::new(0));
        let source = Counted { source, counted: Arc::clone(&counted) };
        let (_, stream) = decompressed(source).map_err(BundleError::Decompress)?;
        let filesystem = file.try_clone().map_err(failed("open"))?.into();
        let mut guard = Guard::new(stream, Algorithm::Sha256, *limits, counted, filesystem);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = guard.read(&mut buffer).map_err(BundleError::Decompress)?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).map_err(failed("write"))?;
        }
        file.seek(SeekFrom::Start(0)).map_err(failed("seek in"))?;
        Self::index(file)
    }

    fn index(file: File) -> Result<Self, BundleError> {
        let mut entries = BTreeMap::new();
        let mut archive = Archive::new(&file);
        let seek = |by: SeekFrom| {
            (&file).seek(by).map_err(|error| BundleError::Archive(ArchiveError::Read(error)))
        };
        while let Some(entry) = archive.next().map_err(BundleError::Archive)? {
            if archive.entries() > ARCHIVE_ENTRIES_MAX as u64 {
                return Err(BundleError::Entries);
            }
            let offset = seek(SeekFrom::Current(0))?;
            let rest = i64::try_from(archive.take_rest()).unwrap_or(i64::MAX);
            seek(SeekFrom::Current(rest))?;
            let Ok(name) = plain_name(&entry.path) else { continue };
            match entry.kind {
                Kind::File => {
                    entries.insert(name, Place::Data { offset, size: entry.size });
                }
                Kind::Symlink | Kind::HardLink => {
                    let link = String::from_utf8_lossy(&entry.link).into_owned();
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let symbolic = entry.kind == Kind::Symlink;
                    let target = if symbolic { joined(folder, &link) } else { link };
                    entries.insert(name, Place::Link(target));
                }
                Kind::Directory | Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => {}
            }
        }
        Ok(Self::Archive { file: Arc::new(file), entries })
    }

    /// Opens a file of it; nothing if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Content>, BundleError> {
        match self {
            Self::Folder { folder, path } => {
                let failed = |source| {
                    let path = path.join(name);
                    BundleError::Io { doing: "open", path, source }
                };
                // A pipe that nobody writes to must not be waited for.
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                let file = match open_within(folder, name.as_bytes(), flags) {
                    Ok(file) => File::from(file),
                    Err(Errno::NOENT) => return Ok(None),
                    Err(error) => return Err(failed(error.into())),
                };
                let found = file.metadata().map_err(failed)?;
                if !found.is_file() {
                    return Err(BundleError::NotAFile { name: name.to_owned() });
                }
                Ok(Some((Box::new(file), found.len())))
            }
            Self::Archive { file, entries } => {
                let mut name = name;
                for _ in 0..LINKS_MAX {
                    match entries.get(name) {
                        Some(Place::Link(target)) => name = target,
                        Some(Place::Data { offset, size }) => {
                            let (file, at) = (Arc::clone(file), *offset);
                            let part = Part { file, at, left: *size };
                            return Ok(Some((Box::new(part), *size)));
                        }
                        None => return Ok(None),
                    }
                }
                Ok(None)
            }
        }
    }

    /// A small file as a whole.
    pub(crate) fn small(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, BundleError> {
        let Some((reader, found)) = self.read(name)? else { return Ok(None) };
        if found > max {
            return Err(BundleError::TooLarge { name: name.to_owned(), found, max });
        }
        let mut bytes = Vec::new();
        reader.take(max).read_to_end(&mut bytes).map_err(|source| BundleError::Io {
            doing: "read",
            path: name.into(),
            source,
        })?;
        Ok(Some(bytes))
    }

    /// A small blob of a layout, verified.
    pub(crate) fn small_blob(&self, digest: &Digest, max: u64) -> Result<Vec<u8>, BundleError> {
        let name = blob_name(digest);
        let bytes = self.small(&name, max)?.ok_or(BundleError::Missing { name: name.clone() })?;
        if digest.names(&bytes) { Ok(bytes) } else { Err(BundleError::Digest { name }) }
    }
}

/// Where a layout has a blob.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// A path without its folds, as names of entries are compared.
fn plain_name(path: &[u8]) -> Result<String, ArchiveError> {
    let names = relative(path)?;
    Ok(String::from_utf8_lossy(&names.join(&b'/')).into_owned())
}

/// Where a symbolic link leads within the archive.
fn joined(folder: &str, link: &str) -> String {
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in link.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// A part of a file, with a place of its own in it.
struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

struct Counted<R> {
    source: R,
    counted: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.counted.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
