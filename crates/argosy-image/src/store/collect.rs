//! Collection: what no image needs goes, and images that nobody needs if that is asked for.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;

use super::durable::WRITING;
use super::session::{Pinned, Session, survey};
use super::{ImageRecord, Store, StoreError, digests_in, failed, names_in};
use crate::digest::Digest;
use crate::reference::Reference;

/// How long a blob that nobody brings any further is kept to be resumed.
const PARTIAL_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Which images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collect {
    /// None; only what belongs to no image.
    Nothing,
    /// Those without a name that are not in use.
    Nameless,
    /// Of those that are not in use the one that was last used the longest ago, if there is one.
    Oldest,
    /// All that are not in use.
    Unused,
}

impl Collect {
    /// Parts images that are not in use into those that go and those that stay.
    fn choose(
        self,
        mut unused: Vec<ImageRecord>,
        is_named: impl Fn(&ImageRecord) -> bool,
    ) -> (Vec<ImageRecord>, Vec<ImageRecord>) {
        match self {
            Collect::Nothing => (Vec::new(), unused),
            Collect::Nameless => unused.into_iter().partition(|record| !is_named(record)),
            Collect::Oldest => {
                let stay = unused.split_off(unused.len().min(1));
                (unused, stay)
            }
            Collect::Unused => (unused, Vec::new()),
        }
    }
}

/// What a collection removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// The ids of removed images.
    pub images: Vec<Digest>,
    /// The names that they had.
    pub names: Vec<Reference>,
    /// Blobs, layers and partial downloads.
    pub contents: usize,
    /// What that freed, as far as it is known.
    pub bytes: u64,
}

impl Collected {
    /// Adds what another collection removed.
    pub fn add(&mut self, other: Collected) {
        self.images.extend(other.images);
        self.names.extend(other.names);
        self.contents += other.contents;
        self.bytes += other.bytes;
    }

    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.contents == 0
    }
}

impl Store {
    /// Removes what is not needed: neither leased, nor in `in_use` (manifests' digests), nor
    /// counted on by a pull under way, in this process or another.
    pub fn collect(
        &self,
        in_use: &BTreeSet<Digest>,
        what: Collect,
    ) -> Result<Collected, StoreError> {
        let session = Session::begin(self)?;
        let mut collected = Collected::default();
        let lock = self.exclude()?;
        let pinned = survey(self, &session)?;
        let kept = self.remove_images(in_use, what, &pinned, &mut collected)?;
        for kind in ["blobs", "layers", "chains"] {
            for digest in digests_in(self, kind)? {
                let content = (kind.to_owned(), digest);
                if kept.contains(&content) || pinned.contains(&content) {
                    continue;
                }
                let place = self.place(kind, &content.1);
                if kind == "blobs" {
                    collected.bytes += place.metadata().map_or(0, |found| found.len());
                    std::fs::remove_file(&place).map_err(failed("remove", &place))?;
                } else {
                    // Out of sight at once; its files go with the session, the lock being free.
                    let aside = session.file_path(&format!("{kind}-{}", content.1.hex()));
                    std::fs::rename(&place, &aside).map_err(failed("move away", &place))?;
                }
                collected.contents += 1;
            }
        }
        self.remove_partials(what, &mut collected)?;
        self.remove_empty_leases()?;
        drop(lock);
        drop(session);
        Ok(collected)
    }

    /// Removes images that go, and tells what those that stay need.
    fn remove_images(
        &self,
        in_use: &BTreeSet<Digest>,
        what: Collect,
        pinned: &Pinned,
        collected: &mut Collected,
    ) -> Result<Pinned, StoreError> {
        let names = self.names()?;
        let is_pinned = |record: &ImageRecord| {
            pinned.contains(&("images".to_owned(), record.manifest.digest.clone()))
        };
        let (unused, used) = self.by_use(in_use, is_pinned)?;
        let is_named = |record: &ImageRecord| {
            names.iter().any(|(_, name)| name.manifest == record.manifest.digest)
        };
        let (gone, stay) = what.choose(unused, is_named);
        let mut kept: Pinned = used.iter().chain(&stay).flat_map(ImageRecord::contents).collect();
        for (reference, name) in &names {
            if gone.iter().any(|record: &ImageRecord| record.manifest.digest == name.manifest) {
                self.remove_name(reference)?;
                collected.names.push(reference.clone());
            } else {
                kept.insert(("blobs".to_owned(), name.asked.clone()));
            }
        }
        for record in gone {
            self.remove_record(&record.manifest.digest)?;
            let layers = record.layers.iter();
            collected.bytes += layers
                .filter(|layer| !kept.contains(&(layer.kind.clone(), layer.key.clone())))
                .map(|layer| layer.bytes)
                .sum::<u64>();
            collected.images.push(record.config.digest);
        }
        Ok(kept)
    }

    fn remove_partials(&self, what: Collect, collected: &mut Collected) -> Result<(), StoreError> {
        let folder = self.path("partial");
        for name in names_in(&folder)? {
            let path: PathBuf = folder.join(&name);
            let Ok(file) = File::open(&path) else { continue };
            let Ok(found) = file.metadata() else { continue };
            let age =
                found.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok());
            let old = age.is_some_and(|age| age > PARTIAL_KEPT);
            // Nobody writes small files while the store is locked exclusively.
            let goes = name.starts_with(WRITING) || old || what == Collect::Unused;
            let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if goes && free {
                std::fs::remove_file(&path).map_err(failed("remove", &path))?;
                collected.bytes += found.len();
                collected.contents += 1;
            }
        }
        Ok(())
    }
}
