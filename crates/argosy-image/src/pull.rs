//! Pulls: from a reference to an image that a container can run.

mod feed;
mod layer;
mod search;
mod signatures;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use layer::LayerJob;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::assemble::{KnownLayers, ReadyLayer, Tree, assemble, check_platform, diff_ids};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{self, Descriptor, Document, Manifest, ManifestError};
use crate::peers::Peers;
use crate::platform::Platform;
use crate::policy::{Demands, Policy};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::registry::{Fetched, RegistryClient, RegistryError, Source};
use crate::store::{
    Image, NameRecord, Pressure, Session, Store, StoreError, chain_ids, parse_config,
};

/// Layers at once. Enough that a far registry is not waited for, few enough that disks and
/// registries are not overrun; podman takes as many.
const PARALLEL: usize = 6;
/// When to ask the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Always: a tag may have moved. Layers that are here do not travel again.
    #[default]
    Always,
    /// Only if no image has the name.
    Missing,
}

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// This machine's own if none is given; images for another one are then refused.
    pub platform: Option<Platform>,
    pub when: When,
    /// Who holds the image from the moment it is there; nobody if none is given.
    pub holder: Option<String>,
    /// Other machines to ask before the registry; none if none are given. Names they are asked for
    /// only with [`When::Missing`], and neither for names nor for manifests where the policy demands
    /// signatures.
    pub peers: Option<Arc<dyn Peers>>,
}

/// Pulls an image, or finds that it is here.
pub async fn pull(
    store: &Store,
    client: &RegistryClient,
    policy: &Policy,
    reference: &Reference,
    options: &PullOptions,
    progress: Progress,
) -> Result<Image, Error> {
    let demands = policy.check(reference)?;
    let wanted = options.platform.clone().unwrap_or_else(Platform::of_this_machine);
    if options.when == When::Missing
        && let Some(image) = local(store, reference, &wanted)?
    {
        store.used(&image.manifest)?;
        hold(store, &image, options)?;
        return Ok(image);
    }
    let disk = store.disk()?;
    if disk.pressure(store.limits()) == Pressure::Refuse {
        let refuse = store.limits().refuse_percent;
        return Err(Error::DiskFull { used: disk.used_percent, refuse });
    }
    let begun = store.clone();
    let session = Arc::new(blocking(move || Ok(Session::begin_after_dead(&begun)?)).await?);
    let pull = Pull {
        session,
        client: client.clone(),
        reference: reference.clone(),
        wanted,
        when: options.when,
        peers: options.peers.clone(),
        // Signatures are with the registry, and so is what they are for.
        manifests_from: options.peers.clone().filter(|_| demands.signatures.is_empty()),
        progress,
    };
    let image = pull.run(&demands).await?;
    hold(store, &image, options)?;
    // The session still keeps the image from being collected; only now may it end.
    let ended = pull.session;
    blocking(move || {
        drop(ended);
        Ok(())
    })
    .await?;
    Ok(image)
}

fn hold(store: &Store, image: &Image, options: &PullOptions) -> Result<(), StoreError> {
    if let Some(holder) = &options.holder {
        store.hold(&image.manifest, holder)?;
    }
    Ok(())
}

/// Tells whether an image is here as a whole, for this machine's platform. Reads files.
pub fn is_here(store: &Store, reference: &Reference) -> bool {
    matches!(local(store, reference, &Platform::of_this_machine()), Ok(Some(_)))
}

fn local(store: &Store, reference: &Reference, wanted: &Platform) -> Result<Option<Image>, Error> {
    let image = match store.find(&reference.to_string()) {
        Ok(image) => image,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let whole = image.layers.iter().all(|layer| layer.is_dir());
    Ok((whole && check_platform(&image.config, wanted).is_ok()).then_some(image))
}

/// Runs what may wait for the disk where waiting is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Thread)?
}

struct Pull {
    session: Arc<Session>,
    client: RegistryClient,
    reference: Reference,
    wanted: Platform,
    when: When,
    peers: Option<Arc<dyn Peers>>,
    /// The same, for manifests, names and configurations.
    manifests_from: Option<Arc<dyn Peers>>,
    progress: Progress,
}

/// What a reference means.
#[derive(Clone)]
struct Asked {
    fetched: Fetched,
    /// When a registry said so, in seconds since 1970.
    pulled: u64,
    /// Whether it is known from another machine only.
    by_peer: bool,
}

impl Pull {
    async fn run(&self, demands: &Demands<'_>) -> Result<Image, Error> {
        let asked = self.fetch().await?;
        let by_peer = asked.by_peer;
        match self.bring(asked, demands).await {
            // What the name meant once may be nowhere any more: it is the registry's to say what it
            // means now.
            Err(error) if by_peer && !error.is_local() => match self.fetch_from_registry().await {
                Ok(asked) => self.bring(asked, demands).await,
                Err(_) => Err(error),
            },
            result => result,
        }
    }

    async fn bring(&self, asked: Asked, demands: &Demands<'_>) -> Result<Image, Error> {
        let Asked { fetched: asked, pulled, .. } = asked;
        let (fetched, manifest) = self.chosen(asked.clone()).await?;
        self.verify(demands, &asked, &fetched).await?;
        let config = self.config(&fetched.source, &manifest.config).await?;
        let configuration = parse_config(&config)?;
        check_platform(&configuration, &self.wanted)?;
        let diff_ids = diff_ids(&configuration, &manifest.layers)?;
        (self.progress)(Event::Resolved {
            manifest: fetched.digest.clone(),
            platform: self.wanted.clone(),
            layers: manifest.layers.len(),
            bytes: manifest.layers.iter().fold(0, |sum, layer| layer.size.saturating_add(sum)),
        });
        let layers = self.layers(&fetched.source, &manifest, &diff_ids).await?;
        (self.progress)(Event::Finishing);
        let session = Arc::clone(&self.session);
        let reference = self.reference.clone();
        blocking(move || {
            let name = NameRecord {
                manifest: fetched.digest.clone(),
                asked: asked.digest.clone(),
                pulled: Some(pulled),
            };
            publish(&session, &reference, &name, [&asked, &fetched], &manifest, &config, layers)
        })
        .await
    }

    /// The manifest itself, by way of an index if one was sent.
    async fn chosen(&self, asked: Fetched) -> Result<(Fetched, Manifest), Error> {
        let wrong = |source| Error::manifest(self.reference.familiar(), source);
        let limits = self.session.store().limits();
        let parse = |fetched: &Fetched| {
            manifest::parse(&fetched.bytes, fetched.media_type.as_deref(), limits).map_err(wrong)
        };
        let entries = match parse(&asked)? {
            Document::Manifest(manifest) => return Ok((asked, manifest)),
            Document::Index(entries) => entries,
        };
        let chosen = manifest::choose(&entries, &self.wanted).map_err(wrong)?;
        let fetched = self.manifest_of(&asked.source, &chosen.digest).await?;
        match parse(&fetched)? {
            Document::Manifest(manifest) => Ok((fetched, manifest)),
            Document::Index(_) => Err(wrong(ManifestError::Nested)),
        }
    }

    /// Verifies what the policy demands, before anything else is brought. Who signs an index signs
    /// every manifest that it names.
    async fn verify(
        &self,
        demands: &Demands<'_>,
        asked: &Fetched,
        fetched: &Fetched,
    ) -> Result<(), Error> {
        if demands.signatures.is_empty() {
            return Ok(());
        }
        let mut digests = vec![&fetched.digest];
        if asked.digest != fetched.digest {
            digests.push(&asked.digest);
        }
        let max = self.session.store().limits().manifest_bytes_max;
        let mut found = Vec::new();
        for digest in &digests {
            let more = signatures::of(&self.client, &fetched.source, digest, max).await;
            found.extend(more.map_err(|error| self.failed(error))?);
        }
        for signed in &demands.signatures {
            signed.verify(&demands.scope, &self.reference, &digests, &found)?;
        }
        Ok(())
    }

    /// Brings all layers, each once, several at a time.
    async fn layers(
        &self,
        source: &Source,
        manifest: &Manifest,
        diff_ids: &[Digest],
    ) -> Result<Vec<ReadyLayer>, Error> {
        let session = Arc::clone(&self.session);
        let known = Arc::new(blocking(move || KnownLayers::of(&session)).await?);
        let permits = Arc::new(Semaphore::new(PARALLEL));
        let mut jobs = JoinSet::new();
        let mut first: BTreeMap<&Digest, usize> = BTreeMap::new();
        let chain = chain_ids(diff_ids);
        for (number, blob) in manifest.layers.iter().enumerate() {
            if first.contains_key(&blob.digest) {
                continue;
            }
            first.insert(&blob.digest, number);
            let job = LayerJob {
                session: Arc::clone(&self.session),
                client: self.client.clone(),
                peers: self.peers.clone(),
                reference: self.reference.clone(),
                source: source.clone(),
                known: Arc::clone(&known),
                blob: blob.clone(),
                diff_id: diff_ids[number].clone(),
                chain_id: chain[number].clone(),
                progress: Arc::clone(&self.progress),
            };
            let permits = Arc::clone(&permits);
            jobs.spawn(async move {
                let _permit = permits.acquire_owned().await.map_err(|_| Error::Thread)?;
                job.run().await.map(|layer| (number, layer))
            });
        }
        let mut done: BTreeMap<usize, ReadyLayer> = BTreeMap::new();
        while let Some(job) = jobs.join_next().await {
            // Dropping the set ends the other downloads.
            let (number, layer) = job.map_err(|_| Error::Thread)??;
            done.insert(number, layer);
        }
        Ok(in_order(manifest, diff_ids, &chain, &first, done))
    }

    fn failed(&self, error: RegistryError) -> Error {
        Error::Registry { reference: self.reference.clone(), source: Box::new(error) }
    }
}

/// One layer for each of the manifest. One that stands there twice has one directory.
fn in_order(
    manifest: &Manifest,
    diff_ids: &[Digest],
    chain: &[Digest],
    first: &BTreeMap<&Digest, usize>,
    mut done: BTreeMap<usize, ReadyLayer>,
) -> Vec<ReadyLayer> {
    let mut layers: Vec<ReadyLayer> = Vec::with_capacity(manifest.layers.len());
    for (number, blob) in manifest.layers.iter().enumerate() {
        if let Some(layer) = done.remove(&number) {
            layers.push(layer);
        } else if let Some(place) = first.get(&blob.digest) {
            let earlier = &layers[*place];
            let (kind, key) = earlier.place(&chain[*place]);
            let (blob, diff_id) = (blob.clone(), diff_ids[number].clone());
            let tree = Tree::Present { kind, key };
            layers.push(ReadyLayer { blob, diff_id, bytes: earlier.bytes, tree });
        }
    }
    layers
}

fn publish(
    session: &Session,
    reference: &Reference,
    name: &NameRecord,
    [asked, fetched]: [&Fetched; 2],
    manifest: &Manifest,
    config: &[u8],
    layers: Vec<ReadyLayer>,
) -> Result<Image, Error> {
    for (digest, bytes) in [
        (&asked.digest, &asked.bytes[..]),
        (&fetched.digest, &fetched.bytes[..]),
        (&manifest.config.digest, config),
    ] {
        session.add_blob(digest, bytes)?;
    }
    let blob = Descriptor {
        media_type: manifest.media_type.clone(),
        digest: fetched.digest.clone(),
        size: fetched.bytes.len() as u64,
    };
    assemble(session, blob, manifest, layers)?;
    session.set_name(reference, name)?;
    let unknown = || StoreError::NotFound { name: reference.to_string() };
    Ok(session.store().image(&fetched.digest)?.ok_or_else(unknown)?)
}
