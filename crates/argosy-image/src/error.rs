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
    Policy(Box<PolicyError>),
    #[error("cannot get {reference}")]
    Registry { reference: Reference, source: Box<RegistryError> },
    #[error("the manifest of {name} cannot be used")]
    Manifest { name: String, source: Box<ManifestError> },
    #[error("layer {digest} cannot be used")]
    Layer { digest: Digest, source: Box<LayerError> },
    #[error(
        "the image is for {found}, not for {wanted}; name its platform to take it all the same"
    )]
    WrongPlatform { found: Box<Platform>, wanted: Box<Platform> },
    #[error("the image's configuration names {config} layers and its manifest {manifest}")]
    LayerCount { config: usize, manifest: usize },
    #[error("the image's configuration names the layer {text:?}")]
    DiffId { text: String, source: DigestError },
    #[error("the image's configuration says that layer {layer} unpacks to {first} and to {second}")]
    TwoDiffIds { layer: Digest, first: Digest, second: Digest },
    #[error(
        "the filesystem of the image store is {used} % full; pulls are refused from {refuse} % on. `argosy image gc --all` removes what is not used"
    )]
    DiskFull { used: u8, refuse: u8 },
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} cannot be read as images", path.display())]
    Bundle { path: PathBuf, source: Box<crate::bundle::BundleError> },
    #[error("the work was given up: its thread has ended")]
    Thread,
}

impl From<PolicyError> for Error {
    fn from(error: PolicyError) -> Self {
        Self::Policy(Box::new(error))
    }
}

/// Whose fault a failure is, as far as it decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// What was asked for, or given, is wrong.
    Input,
    /// The store, a registry, or a limit says no.
    Refusal,
    /// A registry cannot be reached now.
    Network,
}

impl Error {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Store(
                StoreError::Name { .. }
                | StoreError::SeveralIds { .. }
                | StoreError::Holder { .. }
                | StoreError::DigestAsName { .. },
            )
            | Self::Bundle { .. }
            | Self::File { .. } => Blame::Input,
            Self::Registry { source, .. } if source.is_transient() => Blame::Network,
            Self::Layer { source, .. } if source.is_network() => Blame::Network,
            _ => Blame::Refusal,
        }
    }

    /// Tells whether it is this machine that fails, and not what was to come from elsewhere.
    pub(crate) const fn is_local(&self) -> bool {
        matches!(self, Self::Store(_) | Self::DiskFull { .. } | Self::File { .. } | Self::Thread)
    }

    pub(crate) fn manifest(name: impl Into<String>, source: ManifestError) -> Self {
        Self::Manifest { name: name.into(), source: Box::new(source) }
    }
}
