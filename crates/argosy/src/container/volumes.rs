//! Volumes: directories of this machine that outlive containers.

mod disk;
mod driver_options;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use argosy_container::ContainerId;
use serde::{Deserialize, Serialize};

use super::{Engine, now_ms, random_hex};
use driver_options::apply_options;

use crate::failure::{Exit, Failure};

/// The record's name in a volume's directory.
const RECORD: &str = "volume.json";
/// Where what is in it lies, as with docker.
const DATA: &str = "_data";
/// What tells how far one is filled.
const COPY_RECORD: &str = "copy";
/// Of a nameless volume's name, as with docker.
const NAMELESS_BYTES: usize = 32;

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// Whether nobody gave it a name.
    pub(crate) nameless: bool,
    /// The container with whose end it goes.
    #[serde(default)]
    pub(crate) goes_with: Option<ContainerId>,
    pub(crate) kind: VolumeKind,
    /// Whether it begins with what the image has where it is first mounted.
    pub(crate) copy: bool,
    pub(crate) created_ms: u64,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Volume {
    fn new(name: String) -> Volume {
        Volume {
            name,
            nameless: false,
            goes_with: None,
            kind: VolumeKind::Own,
            copy: true,
            created_ms: now_ms(),
            labels: BTreeMap::new(),
        }
    }

    /// One for a container, with whose end it goes if that takes the container away. It is not on
    /// the disk yet.
    pub(super) fn nameless(goes_with: Option<&ContainerId>) -> Result<Volume, Failure> {
        let name = random_hex::<NAMELESS_BYTES>()?;
        Ok(Volume { nameless: true, goes_with: goes_with.cloned(), ..Volume::new(name) })
    }
}

/// Where what is in a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VolumeKind {
    /// In its own directory.
    Own,
    /// In a directory that somebody else keeps.
    Directory { path: PathBuf },
    /// In memory, and each container has its own.
    Tmpfs { options: Vec<String> },
}

/// What is asked for when a volume is made.
#[derive(Debug, Default)]
pub(crate) struct NewVolume {
    pub(crate) options: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// All volumes of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Volumes {
    root: PathBuf,
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::BadInput, format!("cannot {doing} {}: {error}", path.display()))
}

impl Volumes {
    pub(crate) fn at(root: PathBuf) -> Volumes {
        Volumes { root }
    }

    /// Names are docker's, which are names of files.
    pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
        match ContainerId::new(name) {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::new(Exit::BadInput, format!("{name:?} is no name of a volume"))
                .with_help("letters, digits, `_`, `.` and `-`, beginning with a letter or digit")),
        }
    }

    /// Tells whether a name may be one that nobody has chosen, without reading anything.
    pub(super) fn may_be_nameless(name: &str) -> bool {
        name.len() == 2 * NAMELESS_BYTES && name.bytes().all(|it| it.is_ascii_hexdigit())
    }

    /// Returns where what is in a volume lies; one in memory has no such place.
    pub(crate) fn data_of(&self, volume: &Volume) -> PathBuf {
        match &volume.kind {
            VolumeKind::Directory { path } => path.clone(),
            VolumeKind::Own | VolumeKind::Tmpfs { .. } => self.root.join(&volume.name).join(DATA),
        }
    }

    /// Returns where it is noted how far a volume is filled; none if one container alone has it.
    pub(super) fn copy_record_of(&self, volume: &Volume) -> Option<PathBuf> {
        let shared = volume.goes_with.is_none();
        shared.then(|| self.root.join(&volume.name).join(COPY_RECORD))
    }

    /// Returns the volumes that there are. What else lies there, or cannot be read, is none.
    pub(crate) fn list(&self) -> Result<Vec<Volume>, Failure> {
        Ok(self.names()?.iter().filter_map(|name| self.read(name).ok().flatten()).collect())
    }

    /// Returns what there is that may be a volume.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(|error| failed("list", &self.root, &error))?,
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| Self::check_name(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Option<Volume>, Failure> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let path = self.root.join(name).join(RECORD);
        match fs::read(&path) {
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                failed("read", &path, &error.into())
                    .with_help(format!("it is damaged; remove it: argosy volume rm {name}"))
            }),
        }
    }

    /// Returns a volume, if there is one of the name.
    pub(crate) fn find_if_there(&self, name: &str) -> Result<Option<Volume>, Failure> {
        Self::check_name(name)?;
        self.read(name)
    }

    pub(crate) fn find(&self, name: &str) -> Result<Volume, Failure> {
        self.find_if_there(name)?.ok_or_else(|| {
            Failure::new(Exit::BadInput, format!("there is no volume {name}"))
                .with_help("list them: argosy volume ls")
        })
    }

    pub(crate) fn make_if_missing(&self, name: &str) -> Result<Volume, Failure> {
        match self.find_if_there(name)? {
            Some(volume) => Ok(volume),
            None => self.make(Some(name), &NewVolume::default(), true),
        }
    }

    /// Makes a volume; with `ignore` one of the name is left as it is.
    pub(crate) fn make(
        &self,
        name: Option<&str>,
        new: &NewVolume,
        ignore: bool,
    ) -> Result<Volume, Failure> {
        let mut volume = match name {
            Some(name) => Volume::new(name.to_owned()),
            None => Volume::nameless(None)?,
        };
        Self::check_name(&volume.name)?;
        volume.labels.clone_from(&new.labels);
        let owner = apply_options(&mut volume, &new.options)?;
        if self.place(&volume, owner)? || ignore {
            // Who was first has made it, and says what it is.
            return self.find(&volume.name);
        }
        let message = format!("there is a volume {} already", volume.name);
        Err(Failure::new(Exit::Refused, message)
            .with_help(format!("look at it: argosy volume inspect {}", volume.name)))
    }

    /// Returns the names of the containers and pods that have a volume.
    pub(crate) fn users(&self, engine: &Engine, name: &str) -> Result<Vec<String>, Failure> {
        let mut users = Vec::new();
        for id in engine.ids()? {
            if let Some(record) = engine.record(&id)
                && record.volumes.iter().any(|it| it == name)
            {
                users.push(record.name);
            }
        }
        users.extend(super::pod::users_of(engine, name)?);
        Ok(users)
    }
}
