//! Pushes: an image of the store to a registry.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::error::Error;
use crate::progress::{Event, Progress};
use crate::pull::blocking;
use crate::reference::Reference;
use crate::registry::{RegistryClient, RegistryError};
use crate::store::{Session, Store};

/// Sends an image to where a reference says. What the registry has already is not sent again.
/// Tells the digest of the manifest there.
pub async fn push(
    store: &Store,
    client: &RegistryClient,
    image: &str,
    to: &Reference,
    progress: &Progress,
) -> Result<Digest, Error> {
    let (reading, name) = (store.clone(), image.to_owned());
    let (session, record, manifest) = blocking(move || {
        let session = Session::begin(&reading)?;
        let record = session.pin_image(&name)?;
        let manifest = reading.read_blob(&record.manifest.digest)?;
        Ok((session, record, manifest))
    })
    .await?;
    let failed =
        |error: RegistryError| Error::Registry { reference: to.clone(), source: Box::new(error) };
    let mut sent: BTreeSet<&Digest> = BTreeSet::new();
    let layers = record.layers.iter().map(|layer| &layer.blob);
    for blob in layers.chain([&record.config]) {
        if !sent.insert(&blob.digest) {
            continue;
        }
        let (layer, bytes) = (blob.digest.clone(), blob.size);
        if client.has_blob(to, &blob.digest).await.map_err(failed)? {
            progress(Event::Present { layer, bytes });
            continue;
        }
        progress(Event::Begun { layer: layer.clone(), bytes, have: 0 });
        let path = store.blob_path(&blob.digest);
        client.send_blob(to, &blob.digest, bytes, &path, progress).await.map_err(failed)?;
        progress(Event::Done { layer });
    }
    let kind = record.manifest.media_type.as_str();
    client.send_manifest(to, kind, &manifest).await.map_err(failed)?;
    blocking(move || {
        drop(session);
        Ok(())
    })
    .await?;
    Ok(record.manifest.digest)
}
