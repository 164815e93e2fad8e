//! The small contents of an image: what its name means, its manifest, its configuration; from other
//! machines where that is allowed, and from the registry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::search::{Next, SMALL_PATIENCE, Search, Small, small};
use super::{Asked, Pull, When, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::Descriptor;
use crate::peers::{Errand, Named, Peers, Sought};
use crate::registry::{Fetched, RegistryError, Source};

impl Pull {
    /// Finds out what the reference means.
    pub(super) async fn fetch(&self) -> Result<Asked, Error> {
        // Who is blocked is blocked, whoever has his images.
        let places = self.client.places(&self.reference).map_err(|error| self.failed(error))?;
        let (Some(peers), Some(source)) = (&self.manifests_from, places.first()) else {
            return self.fetch_from_registry().await;
        };
        if let Some(digest) = self.reference.digest() {
            let max = self.session.store().limits().manifest_bytes_max;
            let (fetched, errand) = match small(peers, digest, max).await {
                Ok((bytes, errand)) => (given(digest, bytes, source), errand),
                Err(errand) => (self.fetch_from_registry().await?.fetched, errand),
            };
            self.keep(&fetched.digest, &fetched.bytes).await?;
            drop(errand);
            return Ok(Asked { fetched, pulled: now(), by_peer: false });
        }
        let mut errand = None;
        if self.when == When::Missing {
            match self.named_by_peers(peers, source).await {
                Ok((asked, errand)) => return self.hand_on(peers, asked, errand).await,
                Err(bringing) => errand = bringing,
            }
        }
        let asked = self.fetch_from_registry().await?;
        self.hand_on(peers, asked, errand).await
    }

    /// Lets others have what a name means from here on, long before the image is whole.
    async fn hand_on(
        &self,
        peers: &Arc<dyn Peers>,
        asked: Asked,
        errand: Option<Errand>,
    ) -> Result<Asked, Error> {
        let Asked { fetched, pulled, .. } = &asked;
        self.keep(&fetched.digest, &fetched.bytes).await?;
        let named = Named { digest: fetched.digest.clone(), pulled: *pulled };
        peers.named(&self.reference, &named).await;
        drop(errand);
        Ok(asked)
    }

    /// What other machines know of the name, if its manifest can be had as well.
    async fn named_by_peers(
        &self,
        peers: &Arc<dyn Peers>,
        source: &Source,
    ) -> Result<(Asked, Option<Errand>), Option<Errand>> {
        let sought = Sought::Name(self.reference.clone());
        let mut search = Search::new(peers, sought, BTreeSet::new(), SMALL_PATIENCE);
        match search.next(|_| {}).await {
            Next::Named(Named { digest, pulled }) => {
                let max = self.session.store().limits().manifest_bytes_max;
                let (bytes, errand) = self.here_or_small(peers, &digest, max).await?;
                let fetched = given(&digest, bytes, source);
                Ok((Asked { fetched, pulled, by_peer: true }, errand))
            }
            Next::Registry(errand) => Err(errand),
            Next::Peers(..) => Err(None),
        }
    }

    pub(super) async fn fetch_from_registry(&self) -> Result<Asked, Error> {
        let max = self.session.store().limits().manifest_bytes_max;
        let fetched = self.client.manifest(&self.reference, max).await;
        let fetched = fetched.map_err(|error| self.failed(error))?;
        Ok(Asked { fetched, pulled: now(), by_peer: false })
    }

    /// The manifest of one platform, which an index has named.
    pub(super) async fn manifest_of(
        &self,
        source: &Source,
        digest: &Digest,
    ) -> Result<Fetched, Error> {
        let max = self.session.store().limits().manifest_bytes_max;
        let name = digest.to_string();
        let Some(peers) = &self.manifests_from else {
            let fetched = self.client.manifest_at(source, &name, max).await;
            return fetched.map_err(|error| self.failed(error));
        };
        let errand = match self.here_or_small(peers, digest, max).await {
            Ok((bytes, errand)) => {
                self.keep(digest, &bytes).await?;
                drop(errand);
                return Ok(given(digest, bytes, source));
            }
            Err(errand) => errand,
        };
        let mut last = None;
        for place in self.places_after(source)? {
            match self.client.manifest_at(&place, &name, max).await {
                Ok(fetched) => {
                    self.keep(digest, &fetched.bytes).await?;
                    drop(errand);
                    return Ok(fetched);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(self.none_gave(last))
    }

    pub(super) async fn config(
        &self,
        source: &Source,
        config: &Descriptor,
    ) -> Result<Vec<u8>, Error> {
        if self.session.pin("blobs", &config.digest)?
            && let Ok(bytes) = self.session.store().read_blob(&config.digest)
        {
            return Ok(bytes);
        }
        let max = self.session.store().limits().config_bytes_max.min(config.size);
        // It is named by a manifest that is verified, so it may come from anybody.
        let errand = match &self.peers {
            None => None,
            Some(peers) => match small(peers, &config.digest, max).await {
                Ok((bytes, errand)) => {
                    self.keep(&config.digest, &bytes).await?;
                    drop(errand);
                    return Ok(bytes);
                }
                Err(errand) => errand,
            },
        };
        let mut last = None;
        for place in self.places_after(source)? {
            match self.client.small_blob(&place, &config.digest, max).await {
                Ok(bytes) => {
                    self.keep(&config.digest, &bytes).await?;
                    drop(errand);
                    return Ok(bytes);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(self.none_gave(last))
    }

    /// A small content of this machine, or of another one.
    async fn here_or_small(
        &self,
        peers: &Arc<dyn Peers>,
        digest: &Digest,
        max: u64,
    ) -> Result<Small, Option<Errand>> {
        // One that cannot be pinned or read is looked for elsewhere.
        if self.session.pin("blobs", digest).unwrap_or(false)
            && let Ok(bytes) = self.session.store().read_blob(digest)
        {
            return Ok((bytes, None));
        }
        small(peers, digest, max).await
    }

    /// Puts a small content into the store at once, where others find it.
    async fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let (session, digest, bytes) = (Arc::clone(&self.session), digest.clone(), bytes.to_vec());
        blocking(move || Ok(session.add_blob(&digest, &bytes)?)).await
    }

    /// Where to ask: the place that had the manifest first, then the others.
    fn places_after(&self, source: &Source) -> Result<Vec<Source>, Error> {
        if self.manifests_from.is_none() {
            return Ok(vec![source.clone()]);
        }
        let all = self.client.places(&self.reference).map_err(|error| self.failed(error))?;
        let others = all.into_iter().filter(|place| place != source);
        Ok(std::iter::once(source.clone()).chain(others).collect())
    }

    fn none_gave(&self, last: Option<RegistryError>) -> Error {
        let registry = self.reference.registry().to_owned();
        self.failed(last.unwrap_or(RegistryError::Blocked { registry }))
    }
}

/// What another machine gave: a registry has it, too, in the first place or another.
fn given(digest: &Digest, bytes: Vec<u8>, source: &Source) -> Fetched {
    Fetched { bytes, media_type: None, digest: digest.clone(), source: source.clone() }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
