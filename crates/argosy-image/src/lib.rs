//! Container images: from registries and archives, and the store of them on disk.
//!
//! A container is run on an [`Image`]: its configuration, and directories that overlayfs stacks.
//! The image stays as long as a lease says so ([`Store::hold`]):
//!
//! ```text
//! let image = pull(&store, &client, &policy, &reference, &PullOptions { holder: Some(id), .. }, progress).await?;
//! mount -t overlay -o nodev,lowerdir=image.layers reversed and joined with ":",upperdir=...,workdir=...
//! ...
//! store.release(&id)?;
//! ```
//!
//! [`Image::layers`] stand lowest first. Where [`Privileges::user_marks`] is set, overlayfs needs
//! the option `userxattr`. Device nodes of an image are in its layers, so mount with `nodev`.

mod assemble;
mod bundle;
mod commit;
mod digest;
mod error;
mod files;
mod import;
mod ingest;
mod layer;
mod limits;
mod load;
mod local;
mod manifest;
mod peers;
mod platform;
mod policy;
mod progress;
mod pull;
mod push;
mod reference;
mod registry;
mod save;
mod share;
mod store;
mod within;

pub use bundle::BundleError;
pub use commit::{CommitOptions, commit};
pub use digest::{Algorithm, Digest, DigestError};
pub use error::{Blame, Error};
pub use files::{PlacedFile, archive_of};
pub use import::{ImportOptions, import};
pub use ingest::LayerError;
pub use layer::{ArchiveError, Privileges, Refusal, UnpackError};
pub use limits::Limits;
pub use load::{LoadFrom, LoadOptions, Loaded, load};
pub use manifest::{Descriptor, ManifestError};
pub use oci_spec::image::ImageConfiguration;
pub use peers::{Answering, Errand, Found, Named, Peer, PeerBlob, PeerError, Peers, Sought};
pub use platform::{Platform, PlatformError};
pub use policy::{POLICY_FILES, Policy, PolicyError};
pub use progress::{Event, Progress, silent};
pub use pull::{PullOptions, When, is_here, pull};
pub use push::push;
pub use reference::{Reference, ReferenceError};
pub use registry::{
    AuthFileError, AuthFiles, Mirror, Registries, RegistryClient, RegistryError, RegistrySettings,
    Transport,
};
pub use save::{SaveTo, save};
pub use share::share;
pub use store::{
    Collect, Collected, DiskUse, Held, HeldName, Image, ImageUse, LastCollection, Lease, Pressure,
    Removal, Removed, Store, StoreError, Usage,
};
