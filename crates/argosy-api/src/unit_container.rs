//! What the container engine tells the supervisor about a unit's container: a small file, which the
//! engine writes and the supervisor reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where these files are, below the directory of sockets.
const DIRECTORY: &str = "unit-containers";

/// The container of a run of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitContainer {
    /// The run of the unit, 32 hexadecimal digits.
    pub invocation: String,
    /// The container's id, 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image, as it was asked for.
    pub image: String,
}

fn path(runtime_dir: &Path, unit: &str) -> PathBuf {
    runtime_dir.join(DIRECTORY).join(format!("{unit}.json"))
}

impl UnitContainer {
    /// Writes it for a unit. The file is there whole or not at all.
    pub fn write(&self, runtime_dir: &Path, unit: &str) -> io::Result<()> {
        let path = path(runtime_dir, unit);
        fs::create_dir_all(runtime_dir.join(DIRECTORY))?;
        let new = path.with_extension(format!("new-{}", std::process::id()));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, &path)
    }

    /// Reads that of a run of a unit; `None` if there is none yet, or only that of another run.
    pub fn read(runtime_dir: &Path, unit: &str, invocation: &str) -> Option<UnitContainer> {
        let found: UnitContainer =
            serde_json::from_slice(&fs::read(path(runtime_dir, unit)).ok()?).ok()?;
        (found.invocation == invocation).then_some(found)
    }
}
