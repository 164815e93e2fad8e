//! One layer from its stream into a directory: entries, hard links, whiteouts.

use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::io::Errno;
use thiserror::Error;

use super::archive::{Archive, ArchiveError, Entry, Kind, relative};
use super::decompress::{Compression, decompressed};
use super::directories::{Implied, Memory};
use super::guard::{Guard, Refusal};
use super::privileges::Privileges;
use super::tree::{Tree, shown};
use crate::digest::{Algorithm, Digest};
use crate::limits::{Limits, NAME_BYTES_MAX};

/// The beginning of a name that removes another from the layers below.
const WHITEOUT: &[u8] = b".wh.";
/// The name that empties its directory of what the layers below have in it.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What aufs kept for itself.
const AUFS: &[u8] = b".wh..wh.";
const BUFFER_BYTES: usize = 128 << 10;

/// Why a layer cannot be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    #[error("cannot decompress the layer")]
    Decompress(#[source] io::Error),
    #[error(transparent)]
    Archive(ArchiveError),
    #[error(transparent)]
    Refused(Refusal),
    #[error("cannot {doing} {path:?}")]
    Write { doing: &'static str, path: String, source: io::Error },
    #[error("{path:?} has a name of more than {NAME_BYTES_MAX} bytes")]
    NameLength { path: String },
    #[error("{path:?} is inside of something that is not a directory")]
    NotADirectory { path: String },
    #[error("{path:?} is a hard link to something that cannot have a second name")]
    LinkTarget { path: String },
    #[error("{path:?} is a hard link to {target:?}, which the layer does not have")]
    LinkMissing { path: String, target: String },
    #[error("the layer's root is something else than a directory")]
    RootReplaced,
    #[error(
        "{path:?} belongs to {uid}:{gid}, which this user namespace does not have; give its user more ids in /etc/subuid and /etc/subgid"
    )]
    Unmapped { path: String, uid: u32, gid: u32 },
}

impl UnpackError {
    /// Whether it may come from bytes that were damaged on their way.
    pub(crate) const fn may_be_damage(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::Refused(_) | Self::Unmapped { .. })
    }

    /// Whether it is for want of room or rights here, whatever the bytes are.
    pub(crate) fn is_for_want(&self) -> bool {
        match self {
            Self::Refused(Refusal::Space { .. }) | Self::Unmapped { .. } => true,
            Self::Write { source, .. } => {
                let errno = Errno::from_io_error(source);
                matches!(
                    errno,
                    Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO | Errno::PERM)
                )
            }
            _ => false,
        }
    }
}

/// Reading fails for what stands in the way of the stream: the guard, or the decompressor.
impl From<io::Error> for UnpackError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Archive(ArchiveError::Truncated);
        }
        match error.downcast::<Refusal>() {
            Ok(refusal) => Self::Refused(refusal),
            Err(error) => Self::Decompress(error),
        }
    }
}

impl From<Refusal> for UnpackError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ArchiveError> for UnpackError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Read(error) => error.into(),
            other => Self::Archive(other),
        }
    }
}

/// A layer that is unpacked.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The digest of the uncompressed archive.
    pub(crate) diff_id: Digest,
    /// Its length.
    pub(crate) bytes: u64,
    pub(crate) compression: Compression,
    /// Directories that no entry describes.
    pub(crate) implied: Implied,
}

/// Where a layer is unpacked to, and by which rules.
pub(crate) struct Target {
    pub(crate) root: OwnedFd,
    pub(crate) trash: OwnedFd,
    pub(crate) privileges: Privileges,
    pub(crate) memory: Memory,
    pub(crate) limits: Limits,
    pub(crate) algorithm: Algorithm,
}

/// Unpacks a layer; `compressed` is how much of the source was read, kept by the source itself.
pub(crate) fn unpack(
    source: impl Read,
    compressed: Arc<AtomicU64>,
    target: Target,
) -> Result<Unpacked, UnpackError> {
    let Target { root, trash, privileges, memory, limits, algorithm } = target;
    let (compression, stream) = decompressed(source)?;
    let filesystem = root.try_clone().map_err(|source| UnpackError::Write {
        doing: "open",
        path: ".".into(),
        source,
    })?;
    let guard = Guard::new(stream, algorithm, limits, compressed, filesystem);
    let mut archive = Archive::new(BufReader::with_capacity(BUFFER_BYTES, guard));
    let mut tree = Tree::new(root, trash, privileges, memory);
    while let Some(entry) = archive.next()? {
        if archive.entries() > limits.entries_max {
            return Err(Refusal::Entries { max: limits.entries_max }.into());
        }
        apply(&mut tree, &mut archive, &entry, privileges)?;
    }
    // What follows the end of the archive still belongs to its digest.
    let mut rest = archive.into_source();
    io::copy(&mut rest, &mut io::sink())?;
    let (diff_id, bytes) = rest.into_inner().finish();
    Ok(Unpacked { diff_id, bytes, compression, implied: tree.finish()? })
}

fn apply(
    tree: &mut Tree,
    archive: &mut Archive<impl Read>,
    entry: &Entry,
    privileges: Privileges,
) -> Result<(), UnpackError> {
    let names = relative(&entry.path)?;
    if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(UnpackError::NameLength { path: shown(&entry.path) });
    }
    if let Some((name, above)) = names.split_last()
        && name.starts_with(WHITEOUT)
    {
        if *name == OPAQUE {
            return tree.opaque(above);
        }
        let hidden = &name[WHITEOUT.len()..];
        if name.starts_with(AUFS) || matches!(hidden, b"" | b"." | b"..") {
            return Ok(());
        }
        let mut hidden_names = above.to_vec();
        hidden_names.push(hidden);
        return tree.whiteout(&hidden_names);
    }
    match entry.kind {
        Kind::Directory => tree.directory(&names, entry),
        Kind::File => tree.file(&names, entry, archive),
        Kind::HardLink => {
            let target = relative(&entry.link)?;
            if tree.hard_link(&names, &target)? {
                return Ok(());
            }
            let (path, target) = (shown(&entry.path), shown(&entry.link));
            Err(UnpackError::LinkMissing { path, target })
        }
        Kind::CharDevice | Kind::BlockDevice if !privileges.devices => Ok(()),
        Kind::Symlink | Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => {
            tree.special(&names, entry)
        }
    }
}
