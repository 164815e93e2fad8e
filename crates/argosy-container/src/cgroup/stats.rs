//! What a container uses, read from its cgroups.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Cgroups;

/// A limit beyond this is none: version 1 says so with the largest number of pages.
const UNLIMITED: u64 = 1 << 60;

/// What a container uses now. What the machine does not measure is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Bytes of memory, without file pages that can go at once, as docker counts.
    pub memory: Option<u64>,
    pub memory_limit: Option<u64>,
    /// Processor time since the start, in microseconds.
    pub cpu_us: Option<u64>,
    pub pids: Option<u64>,
    pub read_bytes: Option<u64>,
    pub written_bytes: Option<u64>,
    /// Processes that were killed because memory ran out.
    pub oom_kills: Option<u64>,
}

impl Cgroups {
    pub(crate) fn stats(&self) -> Stats {
        let (memory, memory_limit) = self.memory();
        let io = self.io();
        Stats {
            memory,
            memory_limit: memory_limit.filter(|it| *it < UNLIMITED),
            cpu_us: self.cpu_us(),
            pids: self.pids(),
            read_bytes: io.map(|it| it.0),
            written_bytes: io.map(|it| it.1),
            oom_kills: self.oom_kills(),
        }
    }

    /// Returns how many processes were killed because memory ran out.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        match self.v1("memory") {
            Some(path) => keyed(path, "memory.oom_control", "oom_kill"),
            None => keyed(self.v2()?, "memory.events", "oom_kill"),
        }
    }

    fn memory(&self) -> (Option<u64>, Option<u64>) {
        if let Some(path) = self.v1("memory") {
            let used = number(path, "memory.usage_in_bytes");
            let idle = keyed(path, "memory.stat", "total_inactive_file").unwrap_or(0);
            let used = used.map(|it| it.saturating_sub(idle));
            return (used, number(path, "memory.limit_in_bytes"));
        }
        let Some(path) = self.v2() else { return (None, None) };
        let idle = keyed(path, "memory.stat", "inactive_file").unwrap_or(0);
        let used = number(path, "memory.current").map(|it| it.saturating_sub(idle));
        (used, number(path, "memory.max"))
    }

    fn cpu_us(&self) -> Option<u64> {
        match self.v1("cpuacct") {
            Some(path) => number(path, "cpuacct.usage").map(|it| it / 1000),
            None => keyed(self.v2()?, "cpu.stat", "usage_usec"),
        }
    }

    fn pids(&self) -> Option<u64> {
        let counted = match self.v1("pids") {
            Some(path) => number(path, "pids.current"),
            None => self.v2().and_then(|path| number(path, "pids.current")),
        };
        counted.or_else(|| self.members().ok().map(|it| it.len() as u64))
    }

    fn io(&self) -> Option<(u64, u64)> {
        if let Some(path) = self.v1("blkio") {
            let text = read(path, "blkio.throttle.io_service_bytes_recursive")?;
            let sum = |word: &str| {
                let amount =
                    |line: &str| line.split_once(&format!(" {word} "))?.1.parse::<u64>().ok();
                text.lines().filter_map(amount).sum::<u64>()
            };
            return Some((sum("Read"), sum("Write")));
        }
        let text = read(self.v2()?, "io.stat")?;
        let sum = |word: &str| {
            let values = text.split_whitespace().filter_map(|it| it.strip_prefix(word));
            values.filter_map(|it| it.parse::<u64>().ok()).sum::<u64>()
        };
        Some((sum("rbytes="), sum("wbytes=")))
    }
}

fn read(path: &Path, file: &str) -> Option<String> {
    fs::read_to_string(path.join(file)).ok()
}

fn number(path: &Path, file: &str) -> Option<u64> {
    read(path, file)?.trim().parse().ok()
}

fn keyed(path: &Path, file: &str, key: &str) -> Option<u64> {
    let text = read(path, file)?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
