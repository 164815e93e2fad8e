//! What the engine keeps of a container beside what it runs: its name, its image, whose it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use argosy_container::{ContainerId, Containers, Ready};
use serde::{Deserialize, Serialize};

use crate::args::Wiring;

/// The record's name in the container's directory.
pub(super) const FILE: &str = "engine.json";

/// One container's record. Written once, with the container, and when it gets another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EngineRecord {
    pub(super) name: String,
    /// As the user named it.
    pub(super) image: String,
    /// The digest of its manifest.
    pub(super) manifest: String,
    /// Milliseconds since 1970, for display.
    pub(super) created_ms: u64,
    /// The unit that started it.
    pub(super) unit: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    /// Ports it is said to listen at.
    #[serde(default)]
    pub(super) exposed: Vec<String>,
    /// The volumes it has.
    #[serde(default)]
    pub(super) volumes: Vec<String>,
    /// Those of them that were made for it.
    #[serde(default)]
    pub(super) nameless: Vec<String>,
    /// Seconds that `stop` waits before SIGKILL.
    #[serde(default)]
    pub(super) stop_timeout: Option<u64>,
    /// Whether its end takes it away.
    #[serde(default)]
    pub(super) remove: bool,
    /// The id of its pod.
    #[serde(default)]
    pub(super) pod: Option<String>,
    /// How it is started, each time.
    #[serde(default)]
    pub(super) runs: Runs,
}

/// What every run of a container has in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Runs {
    /// Whether its standard input is open.
    pub(super) interactive: bool,
    /// Whether and when the supervisor of a unit that starts it is told.
    pub(super) ready: Option<Ready>,
    /// What was said of its networks; each run asks for addresses anew.
    pub(super) wiring: Option<Wiring>,
    /// Whether `create` has made it, and it waits for somebody to start it.
    pub(super) waits: bool,
}

impl EngineRecord {
    fn path(containers: &Containers, id: &ContainerId) -> PathBuf {
        containers.data_dir.join(id.as_str()).join(FILE)
    }

    /// Returns the record of a container; one that lost its records with the machine's power has none.
    pub(super) fn read(containers: &Containers, id: &ContainerId) -> Option<EngineRecord> {
        serde_json::from_slice(&fs::read(Self::path(containers, id)).ok()?).ok()
    }

    /// Returns a container's name, or the beginning of its id.
    pub(super) fn name_of(containers: &Containers, id: &ContainerId) -> String {
        Self::read(containers, id).map_or_else(|| id.short(), |record| record.name)
    }
}
