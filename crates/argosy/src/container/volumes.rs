//! Volumes: directories of this machine that outlive containers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use argosy_container::ContainerId;
use serde::{Deserialize, Serialize};

use super::{Engine, now_ms, random_hex};
use crate::failure::{Exit, Failure};

/// The record's name in a volume's directory.
const RECORD: &str = "volume.json";
/// Where what is in it lies, as with docker.
const DATA: &str = "_data";
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
    pub(crate) goes_with: Option<ContainerId>,
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

    /// Returns where what is in a volume lies; one in memory has no such place.
    pub(crate) fn data_of(&self, volume: &Volume) -> PathBuf {
        match &volume.kind {
            VolumeKind::Directory { path } => path.clone(),
            VolumeKind::Own | VolumeKind::Tmpfs { .. } => self.root.join(&volume.name).join(DATA),
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<Volume>, Failure> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(|error| failed("list", &self.root, &error))?,
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names.iter().filter_map(|name| self.read(name).transpose()).collect()
    }

    fn read(&self, name: &str) -> Result<Option<Volume>, Failure> {
        let path = self.root.join(name).join(RECORD);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| failed("read", &path, &error.into())),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Result<Volume, Failure> {
        Self::check_name(name)?;
        self.read(name)?.ok_or_else(|| {
            Failure::new(Exit::BadInput, format!("there is no volume {name}"))
                .with_help("list them: argosy volume ls")
        })
    }

    pub(crate) fn make_if_missing(&self, name: &str) -> Result<Volume, Failure> {
        Self::check_name(name)?;
        match self.read(name)? {
            Some(volume) => Ok(volume),
            None => self.make(Some(name), &NewVolume::default(), true),
        }
    }

    /// Makes a volume for a container, with whose end it goes if that takes the container away.
    pub(crate) fn make_nameless(&self, goes_with: Option<&ContainerId>) -> Result<Volume, Failure> {
        let new = NewVolume { goes_with: goes_with.cloned(), ..NewVolume::default() };
        self.make(None, &new, false)
    }

    /// Makes a volume; with `ignore` one of the name is left as it is.
    pub(crate) fn make(
        &self,
        name: Option<&str>,
        new: &NewVolume,
        ignore: bool,
    ) -> Result<Volume, Failure> {
        let nameless = name.is_none();
        let name = match name {
            Some(name) => name.to_owned(),
            None => random_hex::<NAMELESS_BYTES>()?,
        };
        Self::check_name(&name)?;
        let mut volume = Volume {
            name,
            nameless,
            goes_with: new.goes_with.clone(),
            kind: VolumeKind::Own,
            copy: true,
            created_ms: now_ms(),
            labels: new.labels.clone(),
        };
        let owner = apply_options(&mut volume, &new.options)?;
        if self.place(&volume, owner)? || ignore {
            // Who was first has made it, and says what it is.
            return self.find(&volume.name);
        }
        let message = format!("there is a volume {} already", volume.name);
        Err(Failure::new(Exit::Refused, message)
            .with_help(format!("look at it: argosy volume inspect {}", volume.name)))
    }

    /// Puts a volume into its place, whole; tells whether the place was free.
    fn place(&self, volume: &Volume, owner: (Option<u32>, Option<u32>)) -> Result<bool, Failure> {
        let hidden = self.root.join(format!(".{}", random_hex::<8>()?));
        let path = self.root.join(&volume.name);
        let make = || -> io::Result<bool> {
            let data = hidden.join(DATA);
            fs::create_dir_all(&data)?;
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o711))?;
            fs::set_permissions(&hidden, fs::Permissions::from_mode(0o711))?;
            fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
            std::os::unix::fs::chown(&data, owner.0, owner.1)?;
            let mut file = fs::File::create(hidden.join(RECORD))?;
            file.write_all(&serde_json::to_vec_pretty(volume)?)?;
            file.sync_all()?;
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(rustix::fs::CWD, &hidden, rustix::fs::CWD, &path, flags)
            {
                Ok(()) => fs::File::open(&self.root)?.sync_all().map(|()| true),
                Err(rustix::io::Errno::EXIST) => Ok(false),
                Err(error) => Err(error.into()),
            }
        };
        let made = make().map_err(|error| failed("make volume", &path, &error));
        if !matches!(made, Ok(true)) {
            drop(fs::remove_dir_all(&hidden));
        }
        made
    }

    /// Removes a volume with all that is in it.
    pub(crate) fn remove(&self, engine: &Engine, name: &str) -> Result<(), Failure> {
        let volume = self.find(name)?;
        let users = self.users(engine, &volume)?;
        if !users.is_empty() {
            let message = format!("volume {name} is in use by {}", users.join(", "));
            return Err(Failure::new(Exit::Refused, message)
                .with_help("remove these containers first: argosy container rm"));
        }
        let path = self.root.join(name);
        // From here on there is no such volume, however far the removal gets.
        let hidden = self.root.join(format!(".{}", random_hex::<8>()?));
        fs::rename(&path, &hidden).map_err(|error| failed("remove volume", &path, &error))?;
        fs::remove_dir_all(&hidden).map_err(|error| failed("remove volume", &path, &error))
    }

    /// Returns the names of the containers that have a volume.
    pub(crate) fn users(&self, engine: &Engine, volume: &Volume) -> Result<Vec<String>, Failure> {
        let mut users = Vec::new();
        for id in engine.ids()? {
            if let Some(record) = engine.record(&id)
                && record.volumes.contains(&volume.name)
            {
                users.push(record.name);
            }
        }
        Ok(users)
    }
}

/// Reads `--opt` and returns the owner that the volume's directory gets.
fn apply_options(
    volume: &mut Volume,
    options: &[String],
) -> Result<(Option<u32>, Option<u32>), Failure> {
    let bad = |text: &str, help: &str| {
        Failure::new(Exit::BadInput, format!("--opt {text} is not supported")).with_help(help)
    };
    let (mut kind, mut device, mut words) = (None, None, Vec::new());
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("copy", "" | "true") => volume.copy = true,
            ("nocopy", "" | "true") => volume.copy = false,
            ("type", value) => kind = Some(value),
            ("device", value) => device = Some(value),
            ("o", value) => words.extend(value.split(',').map(str::to_owned)),
            _ => return Err(bad(option, "there are type, device, o, copy and nocopy")),
        }
    }
    let mut owner = (None, None);
    let mut rest = Vec::new();
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        let number = |value: &str| value.parse().map_err(|_| bad(&word, "name the id as a number"));
        match word.split_once('=') {
            Some(("uid", value)) if kind != Some("tmpfs") => owner.0 = Some(number(value)?),
            Some(("gid", value)) if kind != Some("tmpfs") => owner.1 = Some(number(value)?),
            _ => rest.push(word),
        }
    }
    volume.kind = match (kind, device) {
        (Some("tmpfs"), _) => VolumeKind::Tmpfs { options: rest },
        (None | Some("none" | "bind"), Some(path)) => {
            if let Some(word) = rest.iter().find(|it| !matches!(it.as_str(), "bind" | "rbind")) {
                return Err(bad(&format!("o={word}"), "for a directory there are bind and rbind"));
            }
            if !Path::new(path).is_dir() {
                let message = format!("{path} is no directory of this machine");
                return Err(Failure::new(Exit::BadInput, message)
                    .with_help("make it first; the volume shows what is in it"));
            }
            VolumeKind::Directory { path: path.into() }
        }
        (None, None) => {
            if let Some(word) = rest.first() {
                return Err(bad(&format!("o={word}"), "without type= there are uid= and gid="));
            }
            VolumeKind::Own
        }
        (Some(other), _) => {
            let help = "there are none, bind and tmpfs; mount others on the machine and name the \
                        directory: type=none,device=PATH";
            return Err(bad(&format!("type={other}"), help));
        }
    };
    Ok(owner)
}
