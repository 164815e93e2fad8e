//! Removing what a user names: a name, or an image with its last one.

use std::collections::BTreeSet;

use super::session::survey;
use super::{Collect, Session, Store, StoreError};
use crate::digest::Digest;
use crate::reference::Reference;

/// How to remove.
#[derive(Debug, Clone, Default)]
pub struct Removal {
    /// An id that has several names loses all of them.
    pub force: bool,
    /// Images that are in use beyond what leases say, by their manifests' digests.
    pub in_use: BTreeSet<Digest>,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    pub names: Vec<Reference>,
    /// The image's id, if the image itself is gone.
    pub image: Option<Digest>,
    /// What was freed on the disk.
    pub bytes: u64,
}

impl Store {
    /// Removes a name, and the image if that was its last one. An image in use keeps its last
    /// name; so it is never left behind without one.
    pub fn remove(&self, name: &str, removal: &Removal) -> Result<Removed, StoreError> {
        let session = Session::begin(self)?;
        let lock = self.exclude()?;
        let pinned = survey(self, &session)?;
        let manifest = self.resolve(name)?;
        let unknown = || StoreError::NotFound { name: name.to_owned() };
        let record = self.record(&manifest)?.ok_or_else(unknown)?;
        let names = self.names_of(&manifest)?;
        let by_name = name.parse::<Reference>().ok().filter(|name| names.contains(name));
        if let Some(reference) = &by_name
            && names.len() > 1
        {
            self.remove_name(reference)?;
            return Ok(Removed { names: vec![reference.clone()], ..Removed::default() });
        }
        if names.len() > 1 && !removal.force {
            let names = names.iter().map(Reference::familiar).collect();
            return Err(StoreError::SeveralNames { id: name.to_owned(), names });
        }
        let mut holders = self.holders(&manifest)?;
        if removal.in_use.contains(&manifest) && holders.is_empty() {
            holders.push("a running unit".to_owned());
        }
        if pinned.contains(&("images".to_owned(), manifest.clone())) {
            holders.push("a pull, load, save or push that is under way".to_owned());
        }
        if !holders.is_empty() {
            return Err(StoreError::InUse { name: name.to_owned(), holders });
        }
        for reference in &names {
            self.remove_name(reference)?;
        }
        self.remove_record(&manifest)?;
        drop(lock);
        drop(session);
        let swept = self.collect(&removal.in_use, Collect::Nothing)?;
        let bytes = swept.bytes + record.bytes();
        Ok(Removed { names, image: Some(record.config.digest), bytes })
    }
}
