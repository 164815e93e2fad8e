//! An image of one store in another on the same filesystem: its files are shared, not copied.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::Error;
use crate::reference::Reference;
use crate::store::{Image, NameRecord, Session, Store, StoreError};

/// Puts the image of a name into another store of the same user, without a copy of a file: nobody
/// may write to what is in a store. The layers are those of [`crate::import`]: directories and
/// files without further attributes or owners.
pub fn share(from: &Store, name: &Reference, to: &Store) -> Result<Image, Error> {
    let (theirs, ours) = (Session::begin(from)?, Session::begin(to)?);
    let record = theirs.pin_image(&name.to_string())?;
    let blobs = [&record.manifest, &record.config];
    for blob in blobs.into_iter().chain(record.layers.iter().map(|it| &it.blob)) {
        let path = ours.file_path("shared-blob");
        link(&from.blob_path(&blob.digest), &path)?;
        ours.adopt_blob(&blob.digest, &path)?;
    }
    for layer in &record.layers {
        let path = ours.file_path("shared-layer");
        link_tree(&from.layer_path(&layer.kind, &layer.key), &path)?;
        ours.publish_layer(&path, &layer.kind, &layer.key)?;
    }
    ours.publish_image(&record)?;
    let manifest = record.manifest.digest;
    ours.set_name(name, &NameRecord::given(manifest.clone(), manifest.clone()))?;
    let unknown = || StoreError::NotFound { name: name.to_string() };
    Ok(to.image(&manifest)?.ok_or_else(unknown)?)
}

fn link(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { doing: "link to", path: from.to_owned(), source };
    std::fs::hard_link(from, to).map_err(failed)
}

/// Makes the directories of a tree anew, with links to its files.
fn link_tree(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |doing| {
        let path = from.to_owned();
        move |source| Error::File { doing, path, source }
    };
    let mode = std::fs::metadata(from).map_err(failed("look at"))?.mode() & 0o7777;
    DirBuilder::new().mode(0o700).create(to).map_err(failed("make a directory as"))?;
    for entry in std::fs::read_dir(from).map_err(failed("list"))? {
        let entry = entry.map_err(failed("list"))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().map_err(failed("look into"))?.is_dir() {
            true => link_tree(&path, &copy)?,
            false => link(&path, &copy)?,
        }
    }
    std::fs::set_permissions(to, Permissions::from_mode(mode)).map_err(failed("be open as"))
}
