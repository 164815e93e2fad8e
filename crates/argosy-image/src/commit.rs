//! Makes an image of another one and one layer more: what a container has written.

use std::io::Read;

use serde_json::{Map, Value, json};

use crate::assemble::{ReadyLayer, Tree, assemble};
use crate::digest::Digest;
use crate::error::Error;
use crate::import::stage;
use crate::manifest::{self, Descriptor, Document, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::reference::Reference;
use crate::store::{Image, LayerRecord, NameRecord, Session, Store, StoreError};

/// What docker calls an image's layers; in a manifest of OCI they have OCI's names.
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What the new image is.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// The manifest of the image below.
    pub base: Digest,
    pub name: Option<Reference>,
    /// How containers of it run: `config` of an image's configuration.
    pub run: Map<String, Value>,
    /// When it was made, as RFC 3339 has it.
    pub created: String,
    pub author: Option<String>,
    pub comment: Option<String>,
    /// What has made the layer, for the image's history.
    pub created_by: String,
}

/// Makes an image of an archive upon another image. It waits for the disk: call it where that is
/// allowed.
pub fn commit(store: &Store, source: impl Read, options: &CommitOptions) -> Result<Image, Error> {
    let session = Session::begin_after_dead(store)?;
    let base = session.pin_image(&options.base.to_string())?;
    for (kind, digest) in contents(&base.layers) {
        // Whoever removes the image below meanwhile leaves what this one needs.
        if !session.pin(kind, digest)? {
            return Err(StoreError::NotFound { name: digest.to_string() }.into());
        }
    }
    let layer = stage(&session, source)?;
    let below = String::from_utf8_lossy(&store.read_blob(&base.config.digest)?).into_owned();
    let config = config(&below, options, &layer.diff_id)?;
    let mut layers: Vec<ReadyLayer> = base.layers.iter().map(present).collect();
    layers.push(layer);
    let config_blob = Descriptor {
        media_type: OCI_CONFIG.to_owned(),
        digest: Digest::sha256(&config),
        size: config.len() as u64,
    };
    let blobs: Vec<Descriptor> = layers.iter().map(|it| it.blob.clone()).collect();
    let bytes = manifest::render(&config_blob, &blobs);
    let digest = Digest::sha256(&bytes);
    let manifest = checked(store, &digest, &bytes)?;
    session.add_blob(&config_blob.digest, &config)?;
    session.add_blob(&digest, &bytes)?;
    let blob = Descriptor {
        media_type: OCI_MANIFEST.to_owned(),
        digest: digest.clone(),
        size: bytes.len() as u64,
    };
    assemble(&session, blob, &manifest, layers)?;
    if let Some(name) = &options.name {
        session.set_name(name, &NameRecord::given(digest.clone(), digest.clone()))?;
    }
    let unknown = || StoreError::NotFound { name: digest.to_string() };
    Ok(session.store().image(&digest)?.ok_or_else(unknown)?)
}

/// What of an image's layers is in the store.
fn contents(layers: &[LayerRecord]) -> impl Iterator<Item = (&str, &Digest)> {
    layers.iter().flat_map(|it| [(it.kind.as_str(), &it.key), ("blobs", &it.blob.digest)])
}

fn present(record: &LayerRecord) -> ReadyLayer {
    let kind = if record.kind == "chains" { "chains" } else { "layers" };
    let mut blob = record.blob.clone();
    if let Some(rest) = blob.media_type.strip_prefix(DOCKER_LAYER) {
        blob.media_type = format!("{OCI_LAYER}{}", rest.replace('.', "+"));
    }
    ReadyLayer {
        blob,
        diff_id: record.diff_id.clone(),
        bytes: record.bytes,
        tree: Tree::Present { kind, key: record.key.clone() },
    }
}

/// Reads the new manifest as that of a stranger: too many layers are too many here, too.
fn checked(store: &Store, digest: &Digest, bytes: &[u8]) -> Result<Manifest, Error> {
    let wrong = |source| Error::manifest(digest.to_string(), source);
    match manifest::parse(bytes, Some(OCI_MANIFEST), store.limits()).map_err(wrong)? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(wrong(manifest::ManifestError::Nested)),
    }
}

fn config(below: &str, options: &CommitOptions, diff_id: &Digest) -> Result<Vec<u8>, Error> {
    let mut config: Value =
        serde_json::from_str(below).map_err(|error| Error::Store(StoreError::Config(error)))?;
    config["config"] = options.run.clone().into();
    config["created"] = options.created.as_str().into();
    if let Some(author) = &options.author {
        config["author"] = author.as_str().into();
    }
    let mut history = json!({ "created": options.created, "created_by": options.created_by });
    if let Some(comment) = &options.comment {
        history["comment"] = comment.as_str().into();
    }
    add(&mut config["rootfs"]["diff_ids"], diff_id.to_string().into());
    add(&mut config["history"], history);
    Ok(config.to_string().into_bytes())
}

fn add(list: &mut Value, value: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(value),
        None => *list = json!([value]),
    }
}
