//! The last steps of every way to an image: layers become visible, then the image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;

use crate::digest::Digest;
use crate::error::Error;
use crate::layer::inherit;
use crate::manifest::{Descriptor, Manifest};
use crate::platform::Platform;
use crate::store::{ImageRecord, LayerRecord, Session, StagedLayer, chain_ids};

/// Where a layer's directory is.
#[derive(Debug)]
pub(crate) enum Tree {
    /// Visible: which kind, and its digest there.
    Present {
        kind: &'static str,
        key: Digest,
    },
    Staged(StagedLayer),
}

/// A layer that an image can be made of; its blob is published.
#[derive(Debug)]
pub(crate) struct ReadyLayer {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) bytes: u64,
    pub(crate) tree: Tree,
}

impl ReadyLayer {
    /// Where its directory is or will be.
    pub(crate) fn place(&self, chain_id: &Digest) -> (&'static str, Digest) {
        match &self.tree {
            Tree::Present { kind, key } => (kind, key.clone()),
            Tree::Staged(staged) if staged.implied.is_empty() => ("layers", self.diff_id.clone()),
            Tree::Staged(_) => ("chains", chain_id.clone()),
        }
    }
}

/// The layers that images of this store have, with their lengths.
pub(crate) struct KnownLayers(BTreeMap<(String, Digest), u64>);

impl KnownLayers {
    pub(crate) fn of(session: &Session) -> Result<Self, Error> {
        let mut known = BTreeMap::new();
        for record in session.store().records()? {
            for layer in record.layers {
                known.insert((layer.kind, layer.key), layer.bytes);
            }
        }
        Ok(Self(known))
    }

    /// Finds a layer's directory, by itself or upon exactly the layers below it, and keeps it
    /// from being collected.
    pub(crate) fn find(
        &self,
        session: &Session,
        diff_id: &Digest,
        chain_id: &Digest,
    ) -> Result<Option<(Tree, u64)>, Error> {
        for (kind, key) in [("layers", diff_id), ("chains", chain_id)] {
            let Some(bytes) = self.0.get(&(kind.to_owned(), key.clone())) else { continue };
            if session.pin(kind, key)? {
                return Ok(Some((Tree::Present { kind, key: key.clone() }, *bytes)));
            }
        }
        Ok(None)
    }
}

/// The digests of an image's layers as its configuration has them, one for each of the manifest.
/// A blob that the manifest names twice is brought once, so it cannot be two layers.
pub(crate) fn diff_ids(
    config: &ImageConfiguration,
    layers: &[Descriptor],
) -> Result<Vec<Digest>, Error> {
    let stated = config.rootfs().diff_ids();
    if stated.len() != layers.len() {
        return Err(Error::LayerCount { config: stated.len(), manifest: layers.len() });
    }
    let mut diff_ids: Vec<Digest> = Vec::with_capacity(stated.len());
    let mut first: BTreeMap<&Digest, usize> = BTreeMap::new();
    for (number, (text, blob)) in stated.iter().zip(layers).enumerate() {
        let diff_id: Digest =
            text.parse().map_err(|source| Error::DiffId { text: text.clone(), source })?;
        let place = *first.entry(&blob.digest).or_insert(number);
        if let Some(earlier) = diff_ids.get(place)
            && *earlier != diff_id
        {
            let (layer, first) = (blob.digest.clone(), earlier.clone());
            return Err(Error::TwoDiffIds { layer, first, second: diff_id });
        }
        diff_ids.push(diff_id);
    }
    Ok(diff_ids)
}

/// Refuses an image for another machine than is wanted. One that says nothing is trusted.
pub(crate) fn check_platform(config: &ImageConfiguration, wanted: &Platform) -> Result<(), Error> {
    let found = Platform {
        os: config.os().to_string(),
        architecture: config.architecture().to_string(),
        variant: config.variant().clone(),
    };
    if found.os.is_empty() || found.architecture.is_empty() || found.suits(wanted).is_some() {
        return Ok(());
    }
    Err(Error::WrongPlatform { found: Box::new(found), wanted: Box::new(wanted.clone()) })
}

/// Makes an image of its parts: directories that depend on the layers below are completed, all is
/// synced at once, layers appear, and last the image itself.
pub(crate) fn assemble(
    session: &Session,
    manifest_blob: Descriptor,
    manifest: &Manifest,
    mut layers: Vec<ReadyLayer>,
) -> Result<ImageRecord, Error> {
    complete(session, &layers)?;
    if layers.iter().any(|layer| matches!(layer.tree, Tree::Staged(_))) {
        session.sync()?;
    }
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    for (layer, chain_id) in layers.iter_mut().zip(chain_ids(&diff_ids)) {
        let (kind, key) = layer.place(&chain_id);
        let Tree::Staged(staged) = &layer.tree else { continue };
        session.publish_layer(&staged.folder, kind, &key)?;
        layer.tree = Tree::Present { kind, key };
    }
    let layers = layers
        .into_iter()
        .filter_map(|layer| match layer.tree {
            Tree::Present { kind, key } => Some(LayerRecord {
                blob: layer.blob,
                diff_id: layer.diff_id,
                kind: kind.to_owned(),
                key,
                bytes: layer.bytes,
            }),
            Tree::Staged(_) => None,
        })
        .collect();
    let record = ImageRecord { manifest: manifest_blob, config: manifest.config.clone(), layers };
    session.publish_image(&record)?;
    Ok(record)
}

/// Gives directories that a layer only implies the look that they have below.
fn complete(session: &Session, layers: &[ReadyLayer]) -> Result<(), Error> {
    let staged_as = |diff_id: &Digest| {
        layers.iter().find_map(|layer| match &layer.tree {
            Tree::Staged(staged) if layer.diff_id == *diff_id => Some(staged.folder.clone()),
            _ => None,
        })
    };
    let places: Vec<PathBuf> = layers
        .iter()
        .map(|layer| match &layer.tree {
            Tree::Staged(staged) => staged.folder.clone(),
            // A layer that the image has twice may be present only in a moment.
            Tree::Present { kind, key } => {
                staged_as(&layer.diff_id).unwrap_or_else(|| session.store().layer_path(kind, key))
            }
        })
        .collect();
    for (number, layer) in layers.iter().enumerate() {
        let Tree::Staged(staged) = &layer.tree else { continue };
        let below: Vec<&Path> = places[..number].iter().rev().map(PathBuf::as_path).collect();
        inherit(&staged.folder, &staged.implied, &below, session.store().privileges()).map_err(
            |source| Error::Layer {
                digest: layer.blob.digest.clone(),
                source: Box::new(crate::ingest::LayerError::Unpack(source)),
            },
        )?;
    }
    Ok(())
}
