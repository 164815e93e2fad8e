//! The records of pods: one file each.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::args::{ExitPolicy, Wiring};
use crate::failure::{Exit, Failure};

/// What a pod is. Written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::container) struct Pod {
    pub(in crate::container) id: String,
    pub(super) name: String,
    /// Milliseconds since 1970, for display.
    pub(super) created_ms: u64,
    /// The unit that made it.
    pub(super) unit: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) exit_policy: ExitPolicy,
    pub(super) wiring: Wiring,
    /// What is mounted into all its containers.
    pub(super) volumes: Vec<String>,
    /// Volumes among these that were made for it.
    pub(super) nameless: Vec<String>,
    pub(super) shm_bytes: Option<u64>,
}

/// All pods of this machine.
pub(super) struct Pods {
    root: PathBuf,
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::BadInput, format!("cannot {doing} {}: {error}", path.display()))
}

impl Pods {
    pub(super) fn of(engine: &Engine) -> Pods {
        Pods { root: engine.pods.clone() }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.root.join(format!("{id}.json"))
    }

    pub(super) fn list(&self) -> Result<Vec<Pod>, Failure> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(|error| failed("list", &self.root, &error))?,
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let records = paths.filter(|path| path.extension() == Some("json".as_ref()));
        // What cannot be read disturbs no other pod.
        let mut pods: Vec<Pod> = records.filter_map(|path| read(&path)).collect();
        pods.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(pods)
    }

    /// Returns the ids of pods whose records have been lost, with the machine's power for example.
    pub(super) fn damaged(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let lost = paths.filter(|path| {
            path.extension() == Some("json".as_ref()) && path.exists() && read(path).is_none()
        });
        lost.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
    }

    /// Forgets a pod whose record has been lost; tells whether there was one.
    pub(super) fn forget_damaged(&self, id: &str) -> Result<bool, Failure> {
        if !self.damaged().iter().any(|it| it == id) {
            return Ok(false);
        }
        let path = self.path(id);
        fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
        Ok(true)
    }

    /// Returns the pod that a user means: by name, id, or the beginning of one.
    pub(super) fn find(&self, wanted: &str) -> Result<Pod, Failure> {
        let mut pods = self.list()?;
        if let Some(place) = pods.iter().position(|it| it.name == wanted || it.id == wanted) {
            return Ok(pods.swap_remove(place));
        }
        pods.retain(|it| !wanted.is_empty() && it.id.starts_with(wanted));
        match (pods.pop(), pods.is_empty()) {
            (Some(pod), true) => Ok(pod),
            (Some(_), false) => {
                let message = format!("{wanted:?} begins the ids of several pods");
                Err(Failure::new(Exit::BadInput, message).with_help("give more of it"))
            }
            (None, _) => Err(Failure::new(Exit::BadInput, format!("there is no pod {wanted:?}"))
                .with_help("list them: argosy pod ps")),
        }
    }

    /// Stores a new pod, whole.
    pub(super) fn store(&self, pod: &Pod) -> Result<(), Failure> {
        let path = self.path(&pod.id);
        let hidden = self.root.join(format!(".{}", pod.id));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.root)?;
            let mut file = fs::File::create(&hidden)?;
            file.write_all(&serde_json::to_vec_pretty(pod)?)?;
            file.sync_all()?;
            fs::rename(&hidden, &path)?;
            fs::File::open(&self.root)?.sync_all()
        };
        write().map_err(|error| {
            drop(fs::remove_file(&hidden));
            failed("write", &path, &error)
        })
    }

    pub(super) fn forget(&self, pod: &Pod) -> Result<(), Failure> {
        let path = self.path(&pod.id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Option<Pod> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
