//! Writes images to archives and directories that every container tool reads.
//!
//! An archive is an OCI layout and docker's own form at once, as `docker save` has written them
//! since version 25: `index.json` and `manifest.json` point at the same blobs.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::bundle::blob_name;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::Descriptor;
use crate::reference::Reference;
use crate::store::{ImageRecord, Session, Store};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Where images go.
pub enum SaveTo<'a> {
    /// A tar archive.
    Stream(&'a mut dyn Write),
    /// A directory with an OCI layout, which is made.
    Folder(&'a Path),
}

enum Out<'a> {
    Archive(tar::Builder<&'a mut dyn Write>),
    Folder(&'a Path),
}

/// One image that is saved.
struct Saved {
    record: ImageRecord,
    names: Vec<Reference>,
}

/// Writes images, by name or id; a name is written with them, an id with all its names. It waits
/// for the disk: call it where that is allowed.
pub fn save(store: &Store, images: &[String], to: SaveTo<'_>) -> Result<(), Error> {
    let session = Session::begin(store)?;
    let mut saved: Vec<Saved> = Vec::new();
    for name in images {
        let record = session.pin_image(name)?;
        let known = store.names_of(&record.manifest.digest)?;
        let given = name.parse().ok().filter(|reference| known.contains(reference));
        let names = given.map_or(known, |reference| vec![reference]);
        match saved.iter_mut().find(|image| image.record.manifest == record.manifest) {
            Some(image) => image.names.extend(names),
            None => saved.push(Saved { record, names }),
        }
    }
    let mut out = match to {
        SaveTo::Stream(stream) => Out::Archive(tar::Builder::new(stream)),
        SaveTo::Folder(folder) => Out::Folder(folder),
    };
    out.bytes("oci-layout", LAYOUT)?;
    let mut written: BTreeSet<&Digest> = BTreeSet::new();
    for Saved { record, .. } in &saved {
        let blobs = record.layers.iter().map(|layer| &layer.blob);
        for blob in blobs.chain([&record.config, &record.manifest]) {
            if written.insert(&blob.digest) {
                let mut file = store.open_blob(&blob.digest)?;
                out.write(&blob_name(&blob.digest), &mut file, blob.size)?;
            }
        }
    }
    // Readers that take the first of an archive's names must find the blobs before these.
    out.bytes("index.json", index(&saved).to_string().as_bytes())?;
    if let Out::Archive(_) = out {
        out.bytes("manifest.json", docker(&saved).to_string().as_bytes())?;
    }
    out.finish()
}

fn index(saved: &[Saved]) -> serde_json::Value {
    let entry = |blob: &Descriptor, name: Option<&Reference>| {
        let mut entry = serde_json::json!(blob);
        if let Some(name) = name {
            entry["annotations"] = serde_json::json!({
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": name,
            });
        }
        entry
    };
    let mut entries = Vec::new();
    for Saved { record, names } in saved {
        if names.is_empty() {
            entries.push(entry(&record.manifest, None));
        }
        entries.extend(names.iter().map(|name| entry(&record.manifest, Some(name))));
    }
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": crate::manifest::OCI_INDEX,
        "manifests": entries,
    })
}

fn docker(saved: &[Saved]) -> serde_json::Value {
    saved
        .iter()
        .map(|Saved { record, names }| {
            serde_json::json!({
                "Config": blob_name(&record.config.digest),
                "RepoTags": names.iter().filter(|name| name.digest().is_none()).map(Reference::familiar).collect::<Vec<_>>(),
                "Layers": record.layers.iter().map(|layer| blob_name(&layer.blob.digest)).collect::<Vec<_>>(),
            })
        })
        .collect()
}

impl Out<'_> {
    fn bytes(&mut self, name: &str, mut bytes: &[u8]) -> Result<(), Error> {
        let length = bytes.len() as u64;
        self.write(name, &mut bytes, length)
    }

    fn write(&mut self, name: &str, source: &mut dyn Read, size: u64) -> Result<(), Error> {
        match self {
            Self::Archive(archive) => {
                let mut header = tar::Header::new_ustar();
                header.set_size(size);
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                archive
                    .append_data(&mut header, name, source.take(size))
                    .map_err(failed("write to the archive", Path::new(name)))
            }
            Self::Folder(folder) => {
                let path = folder.join(name);
                let above = path.parent().unwrap_or(folder);
                std::fs::create_dir_all(above).map_err(failed("make", above))?;
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(&path)
                    .map_err(failed("make", &path))?;
                io::copy(source, &mut file).map_err(failed("write", &path))?;
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Self::Archive(archive) => {
                let stream =
                    archive.into_inner().map_err(failed("end", Path::new("the archive")))?;
                stream.flush().map_err(failed("end", Path::new("the archive")))
            }
            Self::Folder(_) => Ok(()),
        }
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = PathBuf::from(path);
    move |source| Error::File { doing, path, source }
}
