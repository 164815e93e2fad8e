//! The cluster's units on this machine's disk: one file each, replaced in one piece.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argosy_model::{Epoch, RestartCount, UnitName, UnitRevision};
use argosy_supervisor::UnitSource;
use prost::Message;

use crate::{NativeError, private};

/// The format written.
const FORMAT: u32 = 1;

/// What is said as a cluster unit's origin.
pub(crate) const CLUSTER: &str = "cluster";

#[derive(Clone, PartialEq, Message)]
struct StoredText {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(uint64, tag = "4")]
    incarnation: u64,
    #[prost(uint64, tag = "5")]
    counter: u64,
    #[prost(uint64, tag = "6")]
    restart: u64,
    #[prost(message, repeated, tag = "7")]
    environment: Vec<StoredVariable>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredVariable {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The directory of stored units.
#[derive(Debug)]
pub(crate) struct UnitStore {
    dir: PathBuf,
}

impl UnitStore {
    pub(crate) fn open(dir: PathBuf) -> Result<UnitStore, NativeError> {
        match private::make_dir(&dir) {
            Ok(()) => Ok(UnitStore { dir }),
            Err(source) => Err(NativeError::File { what: "make", path: dir, source }),
        }
    }

    /// Stores a unit; when this returns it survives the machine's death.
    pub(crate) fn put(&self, name: &UnitName, source: &UnitSource) -> Result<(), NativeError> {
        let variable = |(name, value): &(String, String)| StoredVariable {
            name: name.clone(),
            value: value.clone(),
        };
        let record = StoredText {
            format: FORMAT,
            text: source.text.to_string(),
            revision: source.revision.0,
            incarnation: source.epoch.incarnation,
            counter: source.epoch.counter,
            restart: source.restart.0,
            environment: source.environment.iter().map(variable).collect(),
        };
        let path = self.dir.join(name.as_str());
        // `new` is no unit name, so it never hides one.
        let making = self.dir.join("new");
        let write = || {
            let mut file = private::create(&making)?;
            file.write_all(&record.encode_to_vec())?;
            file.sync_all()?;
            fs::rename(&making, &path)?;
            sync_dir(&self.dir)
        };
        write().map_err(|source| NativeError::File { what: "store the unit", path, source })
    }

    /// Removes a unit; one that is not there is removed already.
    pub(crate) fn remove(&self, name: &UnitName) -> Result<(), NativeError> {
        let path = self.dir.join(name.as_str());
        match fs::remove_file(&path).and_then(|()| sync_dir(&self.dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| NativeError::File { what: "remove", path, source }),
        }
    }

    /// Returns every unit that can be read. One that cannot is logged and left as it is: it is
    /// neither run nor removed.
    pub(crate) fn all(&self) -> Vec<(UnitName, UnitSource)> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut units = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_str().and_then(|name| UnitName::new(name).ok());
            let Some(name) = name else { continue };
            match read(&path) {
                Ok(source) => units.push((name, source)),
                Err(error) => tracing::error!(path = %path.display(), %error, "unreadable unit"),
            }
        }
        units.sort_by(|a, b| a.0.cmp(&b.0));
        units
    }
}

fn read(path: &Path) -> io::Result<UnitSource> {
    let record = StoredText::decode(fs::read(path)?.as_slice())?;
    if record.format != FORMAT {
        return Err(io::Error::other(format!("its format {} is not known", record.format)));
    }
    let StoredText { text, revision, incarnation, counter, restart, environment, .. } = record;
    Ok(UnitSource {
        text: Arc::from(text),
        origin: CLUSTER.to_owned(),
        environment: environment.into_iter().map(|v| (v.name, v.value)).collect(),
        revision: UnitRevision(revision),
        epoch: Epoch { incarnation, counter },
        restart: RestartCount(restart),
    })
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_put_comes_back_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = UnitStore::open(dir.path().join("units")).unwrap();
        let name = UnitName::new("a@1.service").unwrap();
        let source = UnitSource {
            text: Arc::from("[Service]\nExecStart=/bin/true\n"),
            origin: CLUSTER.to_owned(),
            environment: vec![("A".to_owned(), "1 2".to_owned())],
            revision: UnitRevision(3),
            epoch: Epoch { incarnation: 1, counter: 7 },
            restart: RestartCount(2),
        };
        store.put(&name, &source).unwrap();
        store.put(&name, &source).unwrap();
        assert_eq!(store.all(), [(name.clone(), source)]);
        let mode =
            |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("units"), mode("units/a@1.service")), (0o700, 0o600));
        fs::write(dir.path().join("units/broken.service"), b"\xff\xff").unwrap();
        assert_eq!(store.all().len(), 1);
        store.remove(&name).unwrap();
        store.remove(&name).unwrap();
        assert_eq!(store.all(), []);
    }
}
