//! The machine's own unit files, with their drop-ins.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argosy_model::{Epoch, RestartCount, UnitKind, UnitName, UnitRevision, UnitSpec};
use argosy_supervisor::{Loaded, UnitSource};
use argosy_unit::{Severity, Specifiers, UnitFile, lower};

use crate::text_file::{self, TextFileError};
use quadlets::Quadlets;

mod quadlets;

/// Largest unit file that is read: a text for people, a thousand times the usual length.
pub(crate) const TEXT_BYTES_MAX: u64 = 512 << 10;

/// Digits of a machine's id, machine-id(5).
const MACHINE_ID_DIGITS: usize = 32;

/// A unit file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnitFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: TextFileError,
    },
    /// It says something that is refused.
    #[error("{message}")]
    Refused { message: String },
}

/// Turns a text into what it means.
pub(crate) fn parse(
    name: &UnitName,
    text: &str,
    origin: &str,
    specifiers: &Specifiers,
) -> Result<UnitSpec, UnitFileError> {
    let (file, mut diagnostics) = UnitFile::parse(origin, text);
    let mut specifiers = Specifiers { fragment_path: origin.to_owned(), ..specifiers.clone() };
    let unknown = specifiers.machine_id.is_empty();
    if unknown {
        specifiers.machine_id = "0".repeat(MACHINE_ID_DIGITS);
    }
    let (spec, more) = lower(&file, name, &specifiers);
    if unknown && spec.is_some() {
        // A text that means the same whatever the id is does not need it.
        specifiers.machine_id = "1".repeat(MACHINE_ID_DIGITS);
        if lower(&file, name, &specifiers).0 != spec {
            let message = format!("{origin}: %m stands for the machine's id, which it has not got");
            return Err(UnitFileError::Refused { message });
        }
    }
    diagnostics.extend(more);
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    match spec {
        Some(spec) if errors.is_empty() => Ok(spec),
        _ => Err(UnitFileError::Refused { message: errors.join("; ") }),
    }
}

/// Looks for units in a list of directories; a name found in an earlier one wins.
#[derive(Debug, Clone)]
pub(crate) struct UnitFiles {
    dirs: Vec<PathBuf>,
}

impl UnitFiles {
    pub(crate) fn new(dirs: Vec<PathBuf>) -> UnitFiles {
        UnitFiles { dirs }
    }

    /// Looks at the files as they are now.
    pub(crate) fn look(&self) -> Look<'_> {
        Look { dirs: &self.dirs, quadlets: OnceCell::new() }
    }
}

/// The unit files as they are at one moment: Quadlet files, each of which may need the others, are read
/// once, and only if somebody asks for what they become.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    dirs: &'a [PathBuf],
    quadlets: OnceCell<Quadlets>,
}

impl Look<'_> {
    fn quadlets(&self) -> &Quadlets {
        self.quadlets.get_or_init(|| Quadlets::read(self.dirs))
    }

    /// Returns the names of all unit files, templates included.
    pub(crate) fn names(&self) -> Vec<UnitName> {
        let mut names: BTreeMap<UnitName, ()> = BTreeMap::new();
        for dir in self.dirs {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name().to_str().and_then(|name| UnitName::new(name).ok());
                if let Some(name) = name
                    && !name.kind().is_quadlet()
                    && entry.path().is_file()
                {
                    names.insert(name, ());
                }
            }
        }
        for service in self.quadlets().services() {
            names.insert(service, ());
        }
        names.into_keys().collect()
    }

    /// Says of each file that looks like a unit's and has no name for one what is wrong with it,
    /// and what is left out.
    pub(crate) fn misnamed(&self) -> Vec<String> {
        let mut found = Vec::new();
        for dir in self.dirs {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                let suffix = path.extension().and_then(OsStr::to_str);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if suffix.and_then(UnitKind::from_suffix).is_some()
                    && let Err(error) = UnitName::new(name)
                    && path.is_file()
                {
                    found.push(format!("{}: {error}", path.display()));
                }
            }
        }
        found.sort();
        found.extend(self.quadlets().left_out());
        found
    }

    /// Loads a unit, an instance from its template's file. `None` when there is no file.
    pub(crate) fn load(
        &self,
        name: &UnitName,
        specifiers: &Specifiers,
    ) -> Option<Result<Loaded, UnitFileError>> {
        let template = name.template();
        let path = self
            .find(name.as_str())
            .or_else(|| template.as_ref().and_then(|template| self.find(template.as_str())));
        let text = match path {
            Some(path) => read(&path).map(|text| (text, path)),
            None => self.quadlets().service(name)?,
        };
        let loaded = text
            .and_then(|(text, path)| self.finish(name, template.as_ref(), text, &path, specifiers));
        Some(loaded)
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        self.dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file())
    }

    /// Adds the drop-ins to a unit's text, and reads what it means.
    fn finish(
        &self,
        name: &UnitName,
        template: Option<&UnitName>,
        mut text: String,
        path: &Path,
        specifiers: &Specifiers,
    ) -> Result<Loaded, UnitFileError> {
        for drop_in in self.drop_ins(name, template) {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&read(&drop_in)?);
        }
        let origin = path.display().to_string();
        let spec = parse(name, &text, &origin, specifiers)?;
        let source = UnitSource {
            text: Arc::from(text),
            origin,
            environment: Vec::new(),
            revision: UnitRevision::default(),
            epoch: Epoch::default(),
            restart: RestartCount::default(),
        };
        Ok(Loaded { spec, source })
    }

    /// `NAME.d/*.conf` of every directory, by file name; of the same file name the first counts.
    fn drop_ins(&self, name: &UnitName, template: Option<&UnitName>) -> Vec<PathBuf> {
        let mut found: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for unit in [Some(name), template].into_iter().flatten() {
            for dir in self.dirs {
                let Ok(entries) = fs::read_dir(dir.join(format!("{unit}.d"))) else { continue };
                for entry in entries.flatten() {
                    let path = entry.path();
                    if path.extension().is_some_and(|extension| extension == "conf") {
                        found.entry(entry.file_name()).or_insert(path);
                    }
                }
            }
        }
        found.into_values().collect()
    }
}

fn read(path: &Path) -> Result<String, UnitFileError> {
    text_file::read(path, TEXT_BYTES_MAX)
        .map_err(|source| UnitFileError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
