//! One image: the record that makes it exist, and what a container needs of it.

use std::path::PathBuf;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::durable::sync_folder_of;
use super::{Session, Store, StoreError, digests_in, failed};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::reference::Reference;

/// An image that is whole: everything of it is on this disk.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration: what people see as IMAGE ID.
    pub id: Digest,
    /// The digest of its manifest: what leases and collections speak of.
    pub manifest: Digest,
    pub config: ImageConfiguration,
    /// The configuration as it stands in the image, with docker's keys that OCI does not have
    /// (`Healthcheck`, `Shell`, `OnBuild`).
    pub config_text: String,
    /// Directories for overlayfs, lowest first; read-only for everybody.
    pub layers: Vec<PathBuf>,
    /// Bytes of the layers' uncompressed archives.
    pub bytes: u64,
}

/// A layer of an image, as the record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
    /// `layers` or `chains`, and the digest there.
    pub(crate) kind: String,
    pub(crate) key: Digest,
    /// Bytes of the uncompressed archive.
    pub(crate) bytes: u64,
}

/// The file by which an image exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) manifest: Descriptor,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<LayerRecord>,
}

impl ImageRecord {
    /// All contents that the image needs, by kind.
    pub(super) fn contents(&self) -> impl Iterator<Item = (String, Digest)> {
        let blobs = [&self.manifest, &self.config]
            .into_iter()
            .chain(self.layers.iter().map(|layer| &layer.blob))
            .map(|blob| ("blobs".to_owned(), blob.digest.clone()));
        let layers = self.layers.iter().map(|layer| (layer.kind.clone(), layer.key.clone()));
        blobs.chain(layers)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }
}

/// Reads the configuration of an image and the digests of its layers.
pub(crate) fn parse_config(bytes: &[u8]) -> Result<ImageConfiguration, StoreError> {
    serde_json::from_slice(bytes).map_err(StoreError::Config)
}

impl Session {
    /// Makes an image exist. All its contents are published already.
    pub(crate) fn publish_image(&self, record: &ImageRecord) -> Result<(), StoreError> {
        let digest = &record.manifest.digest;
        let place = self.store().place("images", digest);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|source| StoreError::Damaged { path: place.clone(), source })?;
        let _shared = self.store().share()?;
        self.pin_held("images", digest)?;
        self.store().write(&place, &text)
    }
}

impl Store {
    pub(crate) fn record(&self, manifest: &Digest) -> Result<Option<ImageRecord>, StoreError> {
        let path = self.place("images", manifest);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| StoreError::Damaged { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Where a layer is or would be.
    pub(crate) fn layer_path(&self, kind: &str, key: &Digest) -> PathBuf {
        self.place(kind, key)
    }

    pub(crate) fn records(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let mut records = Vec::new();
        for digest in digests_in(self, "images")? {
            records.extend(self.record(&digest)?);
        }
        Ok(records)
    }

    /// Removes the record; with it the image is gone.
    pub(super) fn remove_record(&self, manifest: &Digest) -> Result<(), StoreError> {
        let path = self.place("images", manifest);
        std::fs::remove_file(&path).map_err(failed("remove", &path))?;
        sync_folder_of(&path)
    }

    /// The image that a manifest's digest names, if it is here.
    pub fn image(&self, manifest: &Digest) -> Result<Option<Image>, StoreError> {
        let Some(record) = self.record(manifest)? else { return Ok(None) };
        let text = self.read_blob(&record.config.digest)?;
        let config = parse_config(&text)?;
        Ok(Some(Image {
            id: record.config.digest.clone(),
            manifest: manifest.clone(),
            config,
            config_text: String::from_utf8_lossy(&text).into_owned(),
            layers: record.layers.iter().map(|layer| self.place(&layer.kind, &layer.key)).collect(),
            bytes: record.bytes(),
        }))
    }

    /// The image that a user means: by a name, or by the beginning of an id.
    pub fn find(&self, name: &str) -> Result<Image, StoreError> {
        let manifest = self.resolve(name)?;
        let unknown = || StoreError::NotFound { name: name.to_owned() };
        self.image(&manifest)?.ok_or_else(unknown)
    }

    /// The manifest's digest of the image that a user means.
    pub(crate) fn resolve(&self, name: &str) -> Result<Digest, StoreError> {
        let reference = name.parse::<Reference>();
        if let Ok(reference) = &reference
            && let Some(found) = self.named(reference)?
        {
            return Ok(found);
        }
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return match reference {
                Ok(_) => Err(StoreError::NotFound { name: name.to_owned() }),
                Err(source) => Err(StoreError::Name { name: name.to_owned(), source }),
            };
        }
        let mut found: Vec<Digest> = self
            .records()?
            .into_iter()
            .filter(|record| {
                record.config.digest.hex().starts_with(prefix)
                    || record.manifest.digest.hex().starts_with(prefix)
            })
            .map(|record| record.manifest.digest)
            .collect();
        found.dedup();
        match (found.pop(), found.len()) {
            (Some(only), 0) => Ok(only),
            (None, _) => Err(StoreError::NotFound { name: name.to_owned() }),
            (_, more) => Err(StoreError::SeveralIds { prefix: name.to_owned(), count: more + 1 }),
        }
    }
}
