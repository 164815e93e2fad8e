//! Layers: an archive becomes a directory that overlayfs can stack.

mod archive;
mod decompress;
mod directories;
mod guard;
mod metadata;
mod privileges;
mod tree;
mod unpack;

pub use archive::ArchiveError;
pub use guard::Refusal;
pub(crate) use guard::{Guard, used_percent};
pub use privileges::Privileges;
pub use unpack::UnpackError;

pub(crate) use archive::{Archive, Kind, relative};
pub(crate) use decompress::{Compression, decompressed};
pub(crate) use directories::{Implied, Memory};
pub(crate) use metadata::inherit;
pub(crate) use unpack::{Target, Unpacked, unpack};
