//! Makes an image of a root filesystem in an archive.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::assemble::{ReadyLayer, Tree, assemble};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::ingest::{Expected, ingest};
use crate::limits::SPACE_CHECK_BYTES;
use crate::manifest::{self, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Image, NameRecord, Pressure, Session, Store, StoreError};

/// What an imported image says about itself.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// This machine's own if none is given.
    pub platform: Option<Platform>,
    pub name: Option<Reference>,
    pub cmd: Vec<String>,
    pub entrypoint: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: Option<String>,
    pub user: Option<String>,
    /// When it was made, as RFC 3339 has it.
    pub created: Option<String>,
    pub comment: Option<String>,
}

/// Makes an image of one layer. It waits for the disk: call it where that is allowed.
pub fn import(store: &Store, source: impl Read, options: &ImportOptions) -> Result<Image, Error> {
    let session = Session::begin_after_dead(store)?;
    let layer = stage(&session, source)?;
    publish(&session, layer, options)
}

/// Brings an archive as a layer that is not visible yet; its blob is.
pub(crate) fn stage(session: &Session, source: impl Read) -> Result<ReadyLayer, Error> {
    let store = session.store();
    let path = session.file_path("layer-blob");
    let failed = |doing| {
        let path = path.clone();
        move |source| Error::File { doing, path, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed("make"))?;
    check_disk(store)?;
    let mut looked_at = 0;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut source = source;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = source.read(&mut buffer).map_err(failed("read what becomes"))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        // A stream without an end must not take what the machine needs to go on.
        if hasher.bytes() >= looked_at + SPACE_CHECK_BYTES {
            looked_at = hasher.bytes();
            check_disk(store)?;
        }
        file.write_all(&buffer[..read]).map_err(failed("write"))?;
    }
    let size = hasher.bytes();
    let blob = hasher.finish();
    let expected = Expected { blob: blob.clone(), size, diff_id: None };
    let stream = std::fs::File::open(&path).map_err(failed("open"))?;
    let ingested = ingest(session, None, stream, &expected, Box::new(|_| {}))
        .map_err(|source| Error::Layer { digest: blob.clone(), source: Box::new(source) })?;
    session.adopt_blob(&blob, &path)?;
    let media_type = format!("{OCI_LAYER}{}", ingested.compression.suffix());
    Ok(ReadyLayer {
        blob: Descriptor { media_type, digest: blob, size },
        diff_id: ingested.diff_id,
        bytes: ingested.bytes,
        tree: Tree::Staged(ingested.staged),
    })
}

/// Refuses to go on where pulls are refused.
fn check_disk(store: &Store) -> Result<(), Error> {
    let (disk, refuse) = (store.disk()?, store.limits().refuse_percent);
    match disk.pressure(store.limits()) {
        Pressure::Refuse => Err(Error::DiskFull { used: disk.used_percent, refuse }),
        _ => Ok(()),
    }
}

fn publish(session: &Session, layer: ReadyLayer, options: &ImportOptions) -> Result<Image, Error> {
    let config = config(options, &layer.diff_id);
    let config_blob = Descriptor {
        media_type: OCI_CONFIG.to_owned(),
        digest: Digest::sha256(&config),
        size: config.len() as u64,
    };
    let layers = vec![layer.blob.clone()];
    let bytes = manifest::render(&config_blob, &layers);
    let digest = Digest::sha256(&bytes);
    session.add_blob(&config_blob.digest, &config)?;
    session.add_blob(&digest, &bytes)?;
    let media_type = OCI_MANIFEST.to_owned();
    let blob = Descriptor {
        media_type: media_type.clone(),
        digest: digest.clone(),
        size: bytes.len() as u64,
    };
    let manifest = Manifest { media_type, config: config_blob, layers };
    assemble(session, blob, &manifest, vec![layer])?;
    if let Some(name) = &options.name {
        let record = NameRecord::given(digest.clone(), digest.clone());
        session.set_name(name, &record)?;
    }
    let unknown = || StoreError::NotFound { name: digest.to_string() };
    Ok(session.store().image(&digest)?.ok_or_else(unknown)?)
}

fn config(options: &ImportOptions, diff_id: &Digest) -> Vec<u8> {
    let platform = options.platform.clone().unwrap_or_else(Platform::of_this_machine);
    let mut run = serde_json::Map::new();
    let mut lists = |key: &str, list: &[String]| {
        if !list.is_empty() {
            run.insert(key.to_owned(), list.into());
        }
    };
    lists("Cmd", &options.cmd);
    lists("Entrypoint", &options.entrypoint);
    lists("Env", &options.env);
    for (key, text) in [("WorkingDir", &options.working_dir), ("User", &options.user)] {
        if let Some(text) = text {
            run.insert(key.to_owned(), text.as_str().into());
        }
    }
    let mut history = serde_json::json!({"created_by": "argosy image import"});
    let mut config = serde_json::json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    if let Some(created) = &options.created {
        config["created"] = created.as_str().into();
        history["created"] = created.as_str().into();
    }
    if let Some(comment) = &options.comment {
        history["comment"] = comment.as_str().into();
    }
    if let Some(variant) = &platform.variant {
        config["variant"] = variant.as_str().into();
    }
    config["history"] = serde_json::json!([history]);
    config.to_string().into_bytes()
}
