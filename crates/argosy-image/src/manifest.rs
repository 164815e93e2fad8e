//! Manifests and indexes of both families, OCI and Docker v2 schema 2, read with suspicion.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::Digest;
use crate::limits::Limits;
use crate::platform::{self, Platform};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What a registry is asked for, best first.
pub(crate) const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Names a blob: what it is, how long, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

/// A manifest: one image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    /// Lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// One image of an index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct IndexEntry {
    #[serde(flatten)]
    pub(crate) descriptor: Descriptor,
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

/// What a reference points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Vec<IndexEntry>),
}

/// Why a manifest is refused.
#[derive(Debug, Error)]
pub enum ManifestError {
    #[error("the manifest is not valid JSON of the expected form")]
    Json(#[source] serde_json::Error),
    #[error(
        "the manifest is of Docker's schema 1, which no registry has made since 2019; push the image again with a current tool"
    )]
    SchemaOne,
    #[error("the manifest is both a list of images and an image; it could mean either")]
    Ambiguous,
    #[error("the manifest says that it is {inside:?}, but was sent as {outside:?}")]
    TwoTypes { inside: String, outside: String },
    #[error("{media_type:?} is not a manifest that can be used")]
    MediaType { media_type: String },
    #[error("this is not a container image but an artifact of type {media_type:?}")]
    NotAnImage { media_type: String },
    #[error("layer {digest} is of type {media_type:?}, which cannot be unpacked")]
    LayerType { digest: Digest, media_type: String },
    #[error("the image has {found} layers, at most {max} are allowed")]
    Layers { found: usize, max: usize },
    #[error("the image's configuration has {found} bytes, at most {max} are allowed")]
    ConfigSize { found: u64, max: u64 },
    #[error("no image for {wanted}; there are: {offered}")]
    Platform { wanted: Platform, offered: String },
    #[error("the index names another index; that is not followed")]
    Nested,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<IndexEntry>>,
    fs_layers: Option<serde_json::Value>,
}

/// Reads a manifest or index; `sent_as` is the media type that came with it, if one did.
pub(crate) fn parse(
    bytes: &[u8],
    sent_as: Option<&str>,
    limits: &Limits,
) -> Result<Document, ManifestError> {
    let wire: Wire = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
    if wire.schema_version == 1 || wire.fs_layers.is_some() {
        return Err(ManifestError::SchemaOne);
    }
    let sent_as = sent_as.filter(|sent_as| ACCEPTED.contains(sent_as));
    if let (Some(inside), Some(outside)) = (&wire.media_type, sent_as)
        && inside != outside
    {
        let (inside, outside) = (inside.clone(), outside.to_owned());
        return Err(ManifestError::TwoTypes { inside, outside });
    }
    let named = wire.media_type.as_deref().or(sent_as);
    match (wire.manifests, wire.config, wire.layers) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(ManifestError::Ambiguous),
        (Some(entries), None, None) => {
            check_type(named, &[OCI_INDEX, DOCKER_LIST])?;
            Ok(Document::Index(entries))
        }
        (None, Some(config), Some(layers)) => {
            check_type(named, &[OCI_MANIFEST, DOCKER_MANIFEST])?;
            let media_type = named.unwrap_or(OCI_MANIFEST).to_owned();
            let manifest = Manifest { media_type, config, layers };
            check_manifest(&manifest, limits)?;
            Ok(Document::Manifest(manifest))
        }
        (None, _, _) => Err(ManifestError::MediaType {
            media_type: named
                .filter(|named| !ACCEPTED.contains(named))
                .unwrap_or("a document without config and layers")
                .to_owned(),
        }),
    }
}

fn check_type(named: Option<&str>, allowed: &[&str]) -> Result<(), ManifestError> {
    match named {
        Some(named) if !allowed.contains(&named) => {
            Err(ManifestError::MediaType { media_type: named.to_owned() })
        }
        _ => Ok(()),
    }
}

fn check_manifest(manifest: &Manifest, limits: &Limits) -> Result<(), ManifestError> {
    let Manifest { config, layers, .. } = manifest;
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        return Err(ManifestError::NotAnImage { media_type: config.media_type.clone() });
    }
    if config.size > limits.config_bytes_max {
        let (found, max) = (config.size, limits.config_bytes_max);
        return Err(ManifestError::ConfigSize { found, max });
    }
    if layers.len() > limits.layers_max {
        let (found, max) = (layers.len(), limits.layers_max);
        return Err(ManifestError::Layers { found, max });
    }
    match layers.iter().find(|layer| !is_layer(&layer.media_type)) {
        Some(layer) => Err(ManifestError::LayerType {
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
        }),
        None => Ok(()),
    }
}

/// How a layer is compressed is seen from its first bytes; its type only has to be an archive's.
/// Layers that lie elsewhere ("foreign") and encrypted ones are not taken.
fn is_layer(media_type: &str) -> bool {
    let oci = media_type
        .strip_prefix(OCI_LAYER)
        .is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd"));
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
        .is_some_and(|rest| matches!(rest, "" | ".gzip" | ".zstd" | "+gzip" | "+zstd"));
    oci || docker
}

/// The image of an index that runs on `wanted`.
pub(crate) fn choose<'a>(
    entries: &'a [IndexEntry],
    wanted: &Platform,
) -> Result<&'a Descriptor, ManifestError> {
    // A layout with one image often says no platform; its configuration says it again.
    let place = match entries {
        [only] if only.platform.is_none() => Some(0),
        _ => platform::choose(wanted, entries.iter().map(|entry| entry.platform.as_ref())),
    };
    let Some(place) = place else {
        let mut offered: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(ToString::to_string)
            .collect();
        offered.dedup();
        let offered = if offered.is_empty() {
            "none that says its platform".into()
        } else {
            offered.join(", ")
        };
        return Err(ManifestError::Platform { wanted: wanted.clone(), offered });
    };
    let descriptor = &entries[place].descriptor;
    if [OCI_INDEX, DOCKER_LIST].contains(&descriptor.media_type.as_str()) {
        return Err(ManifestError::Nested);
    }
    Ok(descriptor)
}

/// The text of an OCI manifest over a configuration and layers that are already digests.
pub(crate) fn render(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    let value = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": layers,
    });
    value.to_string().into_bytes()
}
