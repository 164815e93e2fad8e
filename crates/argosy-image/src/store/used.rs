//! When images were last used, and which of them nobody needs.
//!
//! An image was last used when its record was last modified: when it was pulled, and when a holder
//! took or let go of it. So it is known after a restart of everything, without a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;
use tracing::warn;

use super::{ImageRecord, Store, StoreError, names_in};
use crate::digest::{Digest, SHORT_DIGITS};
use crate::reference::Reference;

impl Store {
    /// Takes note that an image is used now.
    pub(crate) fn used(&self, manifest: &Digest) -> Result<(), StoreError> {
        let _shared = self.share()?;
        self.touch(manifest);
        Ok(())
    }

    /// The same for a caller that holds the store's lock. That it cannot be noted keeps nobody from
    /// the image: it might only go sooner.
    pub(super) fn touch(&self, manifest: &Digest) {
        let path = self.place("images", manifest);
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        };
        match rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                warn!(image = %path.display(), %error, "that it is used was not noted");
            }
        }
    }

    /// The manifests' digests of the images that are neither leased nor in `in_use`, the one that
    /// was last used the longest ago first.
    pub fn unused(&self, in_use: &BTreeSet<Digest>) -> Result<Vec<Digest>, StoreError> {
        let (unused, _) = self.by_use(in_use, |_| false)?;
        Ok(unused.into_iter().map(|record| record.manifest.digest).collect())
    }

    /// Tells whether anything might go: an image that nobody needs, or a blob that is not whole.
    pub fn has_unused(&self, in_use: &BTreeSet<Digest>) -> Result<bool, StoreError> {
        Ok(!self.unused(in_use)?.is_empty() || !names_in(&self.path("partial"))?.is_empty())
    }

    /// Parts all images into those that nobody needs, in the order of their last use, and the
    /// others.
    pub(super) fn by_use(
        &self,
        in_use: &BTreeSet<Digest>,
        is_needed: impl Fn(&ImageRecord) -> bool,
    ) -> Result<(Vec<ImageRecord>, Vec<ImageRecord>), StoreError> {
        let leased: BTreeSet<Digest> =
            self.leases()?.into_iter().map(|lease| lease.manifest).collect();
        let (mut unused, used): (Vec<_>, Vec<_>) =
            self.records()?.into_iter().partition(|record| {
                let manifest = &record.manifest.digest;
                !leased.contains(manifest) && !in_use.contains(manifest) && !is_needed(record)
            });
        // One that cannot be looked at counts as just used.
        let used_at = |record: &ImageRecord| {
            let place = self.place("images", &record.manifest.digest);
            let found = place.metadata().and_then(|found| found.modified());
            found.unwrap_or_else(|_| SystemTime::now())
        };
        unused.sort_by_cached_key(|record| (used_at(record), record.manifest.digest.clone()));
        Ok((unused, used))
    }

    /// The manifests' digests of the images that some of these words name: by a name, by an id, or
    /// by the beginning of one that is as long as lists show it.
    pub fn named_in<'w>(
        &self,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let names = self.names()?;
        let by_name: BTreeMap<&Reference, &Digest> =
            names.iter().map(|(name, record)| (name, &record.manifest)).collect();
        let records = self.records()?;
        let mut named = BTreeSet::new();
        for word in words {
            let hex = word.strip_prefix("sha256:").unwrap_or(word);
            if hex.len() >= SHORT_DIGITS && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let ids =
                    records.iter().map(|record| (&record.config.digest, &record.manifest.digest));
                let begun = ids.filter(|(id, manifest)| {
                    id.hex().starts_with(hex) || manifest.hex().starts_with(hex)
                });
                named.extend(begun.map(|(_, manifest)| manifest.clone()));
            }
            let Ok(reference) = word.parse::<Reference>() else { continue };
            match reference.digest() {
                Some(_) => named.extend(self.named(&reference)?),
                None => named.extend(by_name.get(&reference).map(|manifest| (*manifest).clone())),
            }
        }
        Ok(named)
    }
}
