//! Names: which image a reference means, one file for each.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable::sync_folder_of;
use super::{Session, Store, StoreError, failed, names_in};
use crate::digest::Digest;
use crate::reference::Reference;

const TAGS: &str = "_tags";
const DIGESTS: &str = "_digests";

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    /// The image.
    pub(crate) manifest: Digest,
    /// What the registry has under the name: the manifest, or the index that it was chosen from.
    pub(crate) asked: Digest,
    /// When a registry said so, in seconds since 1970. Not there for names that were given on a
    /// machine, which mean nothing to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pulled: Option<u64>,
}

impl NameRecord {
    /// A name that is given to an image here.
    pub(crate) const fn given(manifest: Digest, asked: Digest) -> Self {
        Self { manifest, asked, pulled: None }
    }
}

impl Session {
    /// Lets a name mean an image that exists.
    pub(crate) fn set_name(
        &self,
        reference: &Reference,
        record: &NameRecord,
    ) -> Result<(), StoreError> {
        let _shared = self.store().share()?;
        self.store().set_name_held(reference, record)
    }
}

impl Store {
    pub(super) fn set_name_held(
        &self,
        reference: &Reference,
        record: &NameRecord,
    ) -> Result<(), StoreError> {
        let path = self.name_path(reference);
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let text = serde_json::to_vec(record)
            .map_err(|source| StoreError::Damaged { path: path.clone(), source })?;
        self.write(&path, &text)
    }

    pub(crate) fn name(&self, reference: &Reference) -> Result<Option<NameRecord>, StoreError> {
        read(&self.name_path(reference))
    }

    /// Every name and what it means, in order.
    pub(crate) fn names(&self) -> Result<Vec<(Reference, NameRecord)>, StoreError> {
        let mut names = Vec::new();
        walk(&self.path("names"), String::new(), &mut names)?;
        names.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(names)
    }

    /// The names of an image.
    pub fn names_of(&self, manifest: &Digest) -> Result<Vec<Reference>, StoreError> {
        let names = self.names()?.into_iter();
        Ok(names
            .filter(|(_, record)| record.manifest == *manifest)
            .map(|(reference, _)| reference)
            .collect())
    }

    /// The image that a reference names. With a digest: any image of that repository that was
    /// asked for by it or has it.
    pub(super) fn named(&self, reference: &Reference) -> Result<Option<Digest>, StoreError> {
        let Some(digest) = reference.digest() else {
            return Ok(self.name(reference)?.map(|record| record.manifest));
        };
        let found = self.names()?.into_iter().find(|(known, record)| {
            known.name() == reference.name()
                && (record.manifest == *digest || record.asked == *digest)
        });
        Ok(found.map(|(_, record)| record.manifest))
    }

    /// Lets another name mean the same image.
    pub fn tag(&self, image: &str, name: &Reference) -> Result<(), StoreError> {
        if name.digest().is_some() {
            return Err(StoreError::DigestAsName { reference: name.clone() });
        }
        let manifest = self.resolve(image)?;
        let _shared = self.share()?;
        if self.record(&manifest)?.is_none() {
            return Err(StoreError::NotFound { name: image.to_owned() });
        }
        let record = NameRecord::given(manifest.clone(), manifest);
        self.set_name_held(name, &record)
    }

    /// Removes a name; the caller holds the store's lock exclusively.
    pub(super) fn remove_name(&self, reference: &Reference) -> Result<(), StoreError> {
        let path = self.name_path(reference);
        std::fs::remove_file(&path).map_err(failed("remove", &path))?;
        sync_folder_of(&path)?;
        // Folders of names go with their last name; one that is not empty stays.
        let top = self.path("names");
        let above = path.ancestors().skip(1).take_while(|folder| *folder != top);
        for folder in above {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn name_path(&self, reference: &Reference) -> PathBuf {
        let folder = self.path("names").join(reference.registry()).join(reference.repository());
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => folder.join(DIGESTS).join(digest.to_string()),
            (None, tag) => folder.join(TAGS).join(tag.unwrap_or(crate::reference::DEFAULT_TAG)),
        }
    }
}

fn walk(
    folder: &Path,
    name: String,
    names: &mut Vec<(Reference, NameRecord)>,
) -> Result<(), StoreError> {
    for item in names_in(folder)? {
        let path = folder.join(&item);
        let separator = match item.as_str() {
            TAGS => ':',
            DIGESTS => '@',
            _ => {
                let below = if name.is_empty() { item } else { format!("{name}/{item}") };
                walk(&path, below, names)?;
                continue;
            }
        };
        for last in names_in(&path)? {
            let Ok(reference) = format!("{name}{separator}{last}").parse() else { continue };
            if let Some(record) = read(&path.join(last))? {
                names.push((reference, record));
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<NameRecord>, StoreError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| StoreError::Damaged { path: path.to_owned(), source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}
