//! Why an image could not be brought, kept or sent.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::digest::{Digest, DigestError};
use crate::ingest::LayerError;
use crate::manifest::ManifestError;
use crate::platform::Platform;
use crate::policy::PolicyError;
use crate::reference::Reference;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// What an operation on images fails with; its causes are in its `source` chain.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("cannot get {reference}")]
    Registry { reference: Reference, source: Box<RegistryError> },
    #[error("the manifest of {name} cannot be used")]
    Manifest { name: String, source: ManifestError },
    #[error("layer {digest} cannot be used")]
    Layer { digest: Digest, source: Box<LayerError> },
    #[error(
        "the image is for {found}, not for {wanted}; name its platform to take it all the same"
    )]
    WrongPlatform { found: Platform, wanted: Platform },
    #[error("the image's configuration names {config} layers and its manifest {manifest}")]
    LayerCount { config: usize, manifest: usize },
    #[error("the image's configuration names the layer {text:?}")]
    DiffId { text: String, source: DigestError },
    #[error(
        "the filesystem of the image store is {used} % full; pulls are refused from {refuse} % on. `argosy image gc --all` removes what is not used"
    )]
    DiskFull { used: u8, refuse: u8 },
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the work was given up: its thread has ended")]
    Thread,
}
