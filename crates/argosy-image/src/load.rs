//! Loads images from archives of `docker save`, `podman save` and OCI layouts.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::assemble::{KnownLayers, ReadyLayer, assemble, check_platform, diff_ids};
use crate::bundle::{Bundle, BundleError, blob_name};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::layer::decompressed;
use crate::limits::ARCHIVE_IMAGES_MAX;
use crate::local::{LocalLayer, bring};
use crate::manifest::{
    self, Descriptor, Document, IndexEntry, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER,
    OCI_MANIFEST,
};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::Reference;
use crate::store::{Image, NameRecord, Session, Store, StoreError, chain_ids, parse_config};

/// The name of an image in a layout, as skopeo and podman write it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same by docker and containerd; always a whole reference.
const FULL_NAME: &str = "io.containerd.image.name";

/// Where images come from.
pub enum LoadFrom {
    /// An archive, compressed or not, or a directory with an OCI layout.
    Path(PathBuf),
    Stream(Box<dyn Read + Send>),
}

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// This machine's own if none is given.
    pub platform: Option<Platform>,
    /// The name of the only image, instead of those that the archive says.
    pub name: Option<Reference>,
}

/// An image that was loaded, and the names that it got.
#[derive(Debug)]
pub struct Loaded {
    pub image: Image,
    pub names: Vec<Reference>,
}

/// An image of `manifest.json` in docker's archives.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

struct Load<'a> {
    session: &'a Session,
    bundle: &'a Bundle,
    known: KnownLayers,
    wanted: Platform,
    progress: &'a Progress,
    path: &'a Path,
}

/// Loads every image that runs here. It waits for the disk: call it where that is allowed.
pub fn load(
    store: &Store,
    from: LoadFrom,
    options: &LoadOptions,
    progress: &Progress,
) -> Result<Vec<Loaded>, Error> {
    let session = Session::begin_after_dead(store)?;
    let spool = session.file_path("archive");
    let (path, bundle) = match from {
        LoadFrom::Path(path) => {
            let bundle = Bundle::open(&path, &spool, store.limits());
            (path, bundle)
        }
        LoadFrom::Stream(stream) => {
            (PathBuf::from("the stream"), Bundle::spooled(stream, &spool, store.limits()))
        }
    };
    let bundle =
        bundle.map_err(|error| Error::Bundle { path: path.clone(), source: Box::new(error) })?;
    let load = Load {
        session: &session,
        bundle: &bundle,
        known: KnownLayers::of(&session)?,
        wanted: options.platform.clone().unwrap_or_else(Platform::of_this_machine),
        progress,
        path: &path,
    };
    let images = load.all()?;
    let only = options.name.as_ref().filter(|_| images.len() == 1);
    let mut loaded = Vec::new();
    for (manifest, asked, names) in images {
        let names = only.map_or(names, |name| vec![name.clone()]);
        for name in &names {
            let record = NameRecord::given(manifest.clone(), asked.clone());
            session.set_name(name, &record)?;
        }
        let unknown = || StoreError::NotFound { name: manifest.to_string() };
        loaded.push(Loaded { image: store.image(&manifest)?.ok_or_else(unknown)?, names });
    }
    Ok(loaded)
}

/// A manifest's digest, what was chosen from, and the names.
type Found = (Digest, Digest, Vec<Reference>);

impl Load<'_> {
    fn all(&self) -> Result<Vec<Found>, Error> {
        let max = self.session.store().limits().manifest_bytes_max;
        let small = |name| self.bundle.small(name, max).map_err(|error| self.failed(error));
        // Archives of newer dockers are both; the layout says more.
        if let Some(index) = small("index.json")? {
            return self.layout(&index);
        }
        let Some(manifest) = small("manifest.json")? else {
            return Err(self.failed(BundleError::Unknown));
        };
        let entries: Vec<DockerEntry> = serde_json::from_slice(&manifest).map_err(|source| {
            self.failed(BundleError::Json { name: "manifest.json".into(), source })
        })?;
        self.check_count(entries.len())?;
        entries.iter().map(|entry| self.docker(entry)).collect()
    }

    fn layout(&self, index: &[u8]) -> Result<Vec<Found>, Error> {
        let limits = self.session.store().limits();
        let wrong = |source| Error::manifest("index.json", source);
        let Document::Index(entries) =
            manifest::parse(index, Some(OCI_INDEX), limits).map_err(wrong)?
        else {
            return Err(self.failed(BundleError::Unknown));
        };
        self.check_count(entries.len())?;
        let fits = |entry: &&IndexEntry| {
            entry.platform.as_ref().is_none_or(|platform| platform.suits(&self.wanted).is_some())
        };
        let mut found = Vec::new();
        for entry in entries.iter().filter(fits) {
            let (manifest, bytes) = self.manifest(&entry.descriptor)?;
            let digest = self.layout_image(&manifest, &bytes)?;
            found.push((digest, entry.descriptor.digest.clone(), names(entry)));
        }
        if found.is_empty() {
            return Err(self.failed(BundleError::NoImage { wanted: self.wanted.clone() }));
        }
        Ok(found)
    }

    /// The manifest that an entry means, by way of an index of platforms if it is one.
    fn manifest(&self, descriptor: &Descriptor) -> Result<(Manifest, Vec<u8>), Error> {
        let limits = self.session.store().limits();
        let wrong = |source| Error::manifest(descriptor.digest.to_string(), source);
        let read = |digest: &Digest| {
            self.bundle
                .small_blob(digest, limits.manifest_bytes_max)
                .map_err(|error| self.failed(error))
        };
        let bytes = read(&descriptor.digest)?;
        let sent_as = Some(descriptor.media_type.as_str()).filter(|text| !text.is_empty());
        match manifest::parse(&bytes, sent_as, limits).map_err(wrong)? {
            Document::Manifest(manifest) => Ok((manifest, bytes)),
            Document::Index(entries) => {
                self.session.add_blob(&descriptor.digest, &bytes)?;
                let chosen = manifest::choose(&entries, &self.wanted).map_err(wrong)?;
                let bytes = read(&chosen.digest)?;
                match manifest::parse(&bytes, None, limits).map_err(wrong)? {
                    Document::Manifest(manifest) => Ok((manifest, bytes)),
                    Document::Index(_) => Err(wrong(manifest::ManifestError::Nested)),
                }
            }
        }
    }

    fn layout_image(&self, manifest: &Manifest, bytes: &[u8]) -> Result<Digest, Error> {
        let max = self.session.store().limits().config_bytes_max;
        let config = self
            .bundle
            .small_blob(&manifest.config.digest, max)
            .map_err(|error| self.failed(error))?;
        let names: Vec<String> =
            manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
        self.image(manifest, bytes, &config, &names)
    }

    fn docker(&self, entry: &DockerEntry) -> Result<Found, Error> {
        let limits = self.session.store().limits();
        let config = self
            .bundle
            .small(&entry.config, limits.config_bytes_max)
            .map_err(|error| self.failed(error))?;
        let config = config
            .ok_or_else(|| self.failed(BundleError::Missing { name: entry.config.clone() }))?;
        let layers: Vec<Descriptor> =
            entry.layers.iter().map(|name| self.describe(name)).collect::<Result<_, _>>()?;
        let config_blob = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest: Digest::sha256(&config),
            size: config.len() as u64,
        };
        let bytes = manifest::render(&config_blob, &layers);
        let wrong = |source| Error::manifest(entry.config.clone(), source);
        let Document::Manifest(manifest) =
            manifest::parse(&bytes, Some(OCI_MANIFEST), limits).map_err(wrong)?
        else {
            return Err(self.failed(BundleError::Unknown));
        };
        let digest = self.image(&manifest, &bytes, &config, &entry.layers)?;
        let tags = entry.repo_tags.iter().flatten();
        let names = tags.filter_map(|tag| tag.parse().ok()).collect();
        Ok((digest.clone(), digest, names))
    }

    /// Docker's archives do not say the digests of layers as they are in them.
    fn describe(&self, name: &str) -> Result<Descriptor, Error> {
        let open = || self.open(name);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut reader = open()?;
        let mut buffer = vec![0; 256 << 10];
        let failed = |source: io::Error| {
            self.failed(BundleError::Io { doing: "read", path: name.into(), source })
        };
        loop {
            match reader.read(&mut buffer).map_err(failed)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        let (compression, _) = decompressed(open()?).map_err(failed)?;
        let media_type = format!("{OCI_LAYER}{}", compression.suffix());
        let size = hasher.bytes();
        Ok(Descriptor { media_type, digest: hasher.finish(), size })
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read>, Error> {
        let found = self.bundle.read(name).map_err(|error| self.failed(error))?;
        let missing = || self.failed(BundleError::Missing { name: name.to_owned() });
        found.map(|(reader, _)| reader).ok_or_else(missing)
    }

    fn image(
        &self,
        manifest: &Manifest,
        bytes: &[u8],
        config: &[u8],
        names: &[String],
    ) -> Result<Digest, Error> {
        let configuration = parse_config(config)?;
        check_platform(&configuration, &self.wanted)?;
        let diff_ids = diff_ids(&configuration, &manifest.layers)?;
        let chain = chain_ids(&diff_ids);
        let mut layers: Vec<ReadyLayer> = Vec::new();
        for (number, blob) in manifest.layers.iter().enumerate() {
            let layer = LocalLayer {
                blob: blob.clone(),
                diff_id: diff_ids[number].clone(),
                chain_id: chain[number].clone(),
            };
            let open = || self.open(&names[number]);
            layers.push(bring(self.session, &self.known, layer, self.progress, open)?);
        }
        let digest = Digest::sha256(bytes);
        self.session.add_blob(&digest, bytes)?;
        self.session.add_blob(&manifest.config.digest, config)?;
        let blob = Descriptor {
            media_type: manifest.media_type.clone(),
            digest: digest.clone(),
            size: bytes.len() as u64,
        };
        assemble(self.session, blob, manifest, layers)?;
        Ok(digest)
    }

    fn check_count(&self, count: usize) -> Result<(), Error> {
        if count > ARCHIVE_IMAGES_MAX {
            return Err(self.failed(BundleError::Images { max: ARCHIVE_IMAGES_MAX }));
        }
        Ok(())
    }

    fn failed(&self, source: BundleError) -> Error {
        Error::Bundle { path: self.path.to_owned(), source: Box::new(source) }
    }
}

fn names(entry: &IndexEntry) -> Vec<Reference> {
    let text = entry.annotations.get(FULL_NAME).or_else(|| entry.annotations.get(REF_NAME));
    text.and_then(|text| text.parse().ok()).into_iter().collect()
}
