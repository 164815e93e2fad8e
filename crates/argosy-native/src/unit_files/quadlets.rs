//! The machine's own Quadlet files, as the services they become.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use argosy_model::{UnitKind, UnitName};
use argosy_unit::{HandedIn, join_one, service_of};

use super::{UnitFileError, read};

/// Most Quadlet files that are looked at: hundreds of containers, each with a volume and a network.
const FILES_MAX: usize = 1024;

/// All of them; of files of the same name the one in an earlier directory counts.
#[derive(Debug)]
pub(super) struct Quadlets {
    files: BTreeMap<UnitName, (PathBuf, Result<String, UnitFileError>)>,
    left_out: usize,
}

impl Quadlets {
    pub(super) fn read(dirs: &[PathBuf]) -> Quadlets {
        let mut paths = BTreeMap::new();
        for path in dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten() {
            let path = path.path();
            let name = path.file_name().and_then(|name| UnitName::new(name.to_str()?).ok());
            if let Some(name) = name.filter(|name| name.kind().is_quadlet())
                && path.is_file()
            {
                paths.entry(name).or_insert(path);
            }
        }
        let left_out = paths.len().saturating_sub(FILES_MAX);
        let files = paths.into_iter().take(FILES_MAX).map(|(name, path)| {
            let text = read(&path);
            (name, (path, text))
        });
        Quadlets { files: files.collect(), left_out }
    }

    /// Says how many files there are that are not looked at.
    pub(super) fn left_out(&self) -> Option<String> {
        (self.left_out > 0).then(|| {
            format!(
                "{} Quadlet files are left out, the last by name: at most {FILES_MAX} are read",
                self.left_out
            )
        })
    }

    /// Returns the files that could be read.
    fn handed_in(&self) -> Vec<(HandedIn<'_>, &Path)> {
        let readable = self.files.iter().filter_map(|(name, (path, text))| {
            let (text, file) = (text.as_ref().ok()?, path.to_str()?);
            Some((HandedIn { name, file, text }, path.as_path()))
        });
        readable.collect()
    }

    /// Returns the services of all containers and pods, templates included.
    pub(super) fn services(&self) -> Vec<UnitName> {
        let runs =
            |file: &HandedIn<'_>| matches!(file.name.kind(), UnitKind::Container | UnitKind::Pod);
        let files = self.handed_in();
        files.into_iter().map(|(file, _)| file).filter(runs).filter_map(service_of).collect()
    }

    /// Makes the service `name`; `None` if no file becomes it.
    pub(super) fn service(
        &self,
        name: &UnitName,
    ) -> Option<Result<(String, PathBuf), UnitFileError>> {
        let files = self.handed_in();
        let becomes = |wanted: &UnitName| {
            files.iter().find(|(file, _)| service_of(*file).as_ref() == Some(wanted))
        };
        let (source, path) = becomes(name).or_else(|| becomes(&name.template()?))?;
        let all: Vec<HandedIn<'_>> = files.iter().map(|(file, _)| *file).collect();
        let made = join_one(&all, *source, name).map_err(|wrong| {
            let message: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            UnitFileError::Refused { message: message.join("; ") }
        });
        Some(made.map(|made| (made.text, path.to_path_buf())))
    }
}
