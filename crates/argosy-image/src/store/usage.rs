//! What images cost on the disk, and when that is too much.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::{Store, StoreError, digests_in, failed, names_in};
use crate::digest::Digest;
use crate::layer::used_percent;
use crate::limits::Limits;
use crate::reference::Reference;

/// What one image costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    pub id: Digest,
    pub manifest: Digest,
    pub names: Vec<Reference>,
    /// The date that its maker wrote into it.
    pub created: Option<String>,
    /// Bytes of its layers.
    pub bytes: u64,
    /// Of these, what other images share.
    pub shared_bytes: u64,
    /// Who holds it.
    pub holders: Vec<String>,
}

impl ImageUse {
    /// What removing this image alone would free of layers.
    pub const fn unique_bytes(&self) -> u64 {
        self.bytes - self.shared_bytes
    }
}

/// The filesystem that the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    pub total_bytes: u64,
    pub available_bytes: u64,
    pub used_percent: u8,
}

/// What a disk asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    None,
    /// Images that nobody uses should go.
    Collect,
    /// Pulls are refused, and the machine takes no new units.
    Refuse,
}

impl Pressure {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Pressure::None => "none",
            Pressure::Collect => "collect",
            Pressure::Refuse => "refuse",
        }
    }
}

/// All of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub images: Vec<ImageUse>,
    /// Bytes of layers, each counted once.
    pub layer_bytes: u64,
    /// Bytes of blobs: layers as they were pulled, manifests, configurations.
    pub blob_bytes: u64,
    /// Bytes of blobs that are not whole yet.
    pub partial_bytes: u64,
    pub disk: DiskUse,
}

impl DiskUse {
    /// How full the filesystem of a directory is.
    pub fn at(path: &Path) -> Result<DiskUse, StoreError> {
        let state = rustix::fs::statvfs(path).map_err(failed("look at the filesystem of", path))?;
        Ok(DiskUse {
            total_bytes: state.f_blocks * state.f_frsize,
            available_bytes: state.f_bavail * state.f_frsize,
            used_percent: used_percent(state.f_blocks, state.f_bfree, state.f_bavail),
        })
    }

    /// What this asks for.
    pub const fn pressure(self, limits: &Limits) -> Pressure {
        if self.used_percent >= limits.refuse_percent {
            Pressure::Refuse
        } else if self.used_percent >= limits.collect_percent {
            Pressure::Collect
        } else {
            Pressure::None
        }
    }
}

impl Store {
    /// How full the filesystem of the store is.
    pub fn disk(&self) -> Result<DiskUse, StoreError> {
        DiskUse::at(self.root())
    }

    /// How full it is once what was removed has really gone: some filesystems give its blocks back
    /// only when they write out what they have changed.
    pub fn settled_disk(&self) -> Result<DiskUse, StoreError> {
        let root = self.root();
        let folder = File::open(root).map_err(failed("open", root))?;
        rustix::fs::syncfs(&folder).map_err(failed("sync the filesystem of", root))?;
        self.disk()
    }

    /// What each image costs, and the store as a whole.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        // Nothing goes between the record of an image and what it names.
        let _shared = self.share()?;
        let records = self.records()?;
        let mut layers: BTreeMap<(&str, &Digest), (u64, usize)> = BTreeMap::new();
        for record in &records {
            let mut own: Vec<_> = record
                .layers
                .iter()
                .map(|layer| (layer.kind.as_str(), &layer.key, layer.bytes))
                .collect();
            own.sort();
            own.dedup();
            for (kind, key, bytes) in own {
                layers.entry((kind, key)).or_insert((bytes, 0)).1 += 1;
            }
        }
        let names = self.names()?;
        let leases = self.leases()?;
        let mut images = Vec::new();
        for record in &records {
            let manifest = &record.manifest.digest;
            let mut own: BTreeMap<(&str, &Digest), u64> = BTreeMap::new();
            for layer in &record.layers {
                own.insert((&layer.kind, &layer.key), layer.bytes);
            }
            let shared =
                own.iter().filter(|(key, _)| layers.get(key).is_some_and(|(_, count)| *count > 1));
            let config = self.read_blob(&record.config.digest)?;
            images.push(ImageUse {
                id: record.config.digest.clone(),
                manifest: manifest.clone(),
                names: names
                    .iter()
                    .filter(|(_, name)| name.manifest == *manifest)
                    .map(|(reference, _)| reference.clone())
                    .collect(),
                created: super::parse_config(&config)?.created().clone(),
                bytes: own.values().sum(),
                shared_bytes: shared.map(|(_, bytes)| bytes).sum(),
                holders: leases
                    .iter()
                    .filter(|lease| lease.manifest == *manifest)
                    .map(|lease| lease.holder.clone())
                    .collect(),
            });
        }
        let layer_bytes = layers.values().map(|(bytes, _)| bytes).sum();
        let partial = self.path("partial");
        let partial_bytes =
            names_in(&partial)?.iter().map(|name| length(&partial.join(name))).sum();
        let blobs = digests_in(self, "blobs")?;
        let blob_bytes = blobs.iter().map(|digest| length(&self.blob_path(digest))).sum();
        Ok(Usage { images, layer_bytes, blob_bytes, partial_bytes, disk: self.disk()? })
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.len())
}
