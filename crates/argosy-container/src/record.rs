//! What is known of a container beside its spec: kept in files that are replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ContainerError;
use crate::cgroup::Cgroups;
use crate::clamped::Clamped;
use crate::procfs::ProcessName;

/// A run of a container, from before its first cgroup is made until the last one is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Which boot of the machine; start times are of one boot only.
    pub(crate) boot: String,
    pub(crate) monitor: ProcessName,
    /// The container's first process, once it is there.
    pub(crate) init: Option<ProcessName>,
    pub(crate) cgroups: Cgroups,
    pub(crate) clamped: Vec<Clamped>,
    /// Milliseconds since 1970, for display.
    pub(crate) started_ms: u64,
}

impl RunRecord {
    /// Tells whether the first process runs.
    pub(crate) fn is_running(&self) -> bool {
        self.boot == boot() && self.init.is_some_and(|it| it.is_alive())
    }

    /// Tells whether its monitor is still setting it up.
    pub(crate) fn is_setting_up(&self) -> bool {
        self.init.is_none() && self.is_watched()
    }

    /// Tells whether its monitor runs.
    pub(crate) fn is_watched(&self) -> bool {
        self.boot == boot() && self.monitor.is_alive()
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// By docker's rules: the code, 128 and the signal, or 125 to 127 if it never ran.
    pub code: u8,
    /// Whether a process of it was killed because memory ran out.
    pub oom_killed: bool,
    /// Why it never ran.
    pub error: Option<String>,
    /// Milliseconds since 1970, for display.
    pub started_ms: u64,
    pub finished_ms: u64,
    pub clamped: Vec<Clamped>,
}

/// Returns the time for display.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the name of this boot.
pub(crate) fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// Replaces a file, so that whoever reads it sees the old text or the new one.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    // Environments hold passwords.
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    File::from(rustix::fs::open(&next, flags, mode)?).write_all(text)?;
    fs::rename(next, path)
}

/// The same, and what is new is on the disk before it takes the old one's place.
pub(crate) fn replace_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&next, flags, mode)?);
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(next, path)
}

/// Writes a record.
pub(crate) fn write(path: &Path, record: &impl Serialize) -> Result<(), ContainerError> {
    let text = serde_json::to_vec(record)
        .map_err(|source| ContainerError::Record { path: path.to_owned(), source })?;
    replace(path, &text).map_err(ContainerError::file("write", path))
}

/// Reads a record, if there is one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ContainerError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ContainerError::file("read", path)(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| ContainerError::Record { path: path.to_owned(), source })
}

/// The same for a record of a run. While the machine runs it is replaced whole: one that cannot be
/// read is from before the machine lost its power, and counts as none.
pub(crate) fn read_whole<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ContainerError> {
    match read(path) {
        Err(ContainerError::Record { .. }) => Ok(None),
        result => result,
    }
}
