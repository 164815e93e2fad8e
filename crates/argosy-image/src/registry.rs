//! Registries, spoken to by the distribution protocol: manifests, blobs, tokens, mirrors.

mod answers;
mod auth_file;
mod blobs;
mod challenge;
mod client;
mod connect;
mod failure;
mod resolve;
mod settings;
mod tls;
mod tokens;
mod upload;

pub use auth_file::{AuthFileError, AuthFiles};
pub use client::RegistryClient;
pub use failure::RegistryError;
pub use settings::{Mirror, Registries, RegistrySettings, Transport};

pub(crate) use blobs::{BlobStream, Download, Pieces};
pub(crate) use client::{Fetched, Source};
