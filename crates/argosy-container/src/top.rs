//! The processes of a container, as `top` shows them.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::ContainerError;
use crate::procfs::field;
use crate::spec::ContainerId;
use crate::store::Containers;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProcess {
    /// By the machine's numbers.
    pub pid: i32,
    pub parent: i32,
    /// By the machine's numbers, too.
    pub uid: u32,
    /// Processor time, in clock ticks.
    pub cpu_ticks: u64,
    /// Start, in clock ticks since boot.
    pub start_ticks: u64,
    /// Its arguments; its name in brackets if it shows none.
    pub command: String,
}

impl Containers {
    /// Returns the processes of a running container, by their start.
    pub fn top(&self, id: &ContainerId) -> Result<Vec<ContainerProcess>, ContainerError> {
        let mut list: Vec<ContainerProcess> =
            // One that has ended meanwhile is none.
            self.processes(id)?.into_iter().filter_map(look_at).collect();
        list.sort_by_key(|it| (it.start_ticks, it.pid));
        Ok(list)
    }
}

fn look_at(pid: i32) -> Option<ContainerProcess> {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let number = |number| field(&stat, number)?.parse::<u64>().ok();
    let uid = status.lines().find_map(|it| it.strip_prefix("Uid:"))?;
    let line = String::from_utf8_lossy(&read("cmdline")?).replace('\0', " ");
    let name = stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
    Some(ContainerProcess {
        pid,
        parent: field(&stat, 4)?.parse().ok()?,
        uid: uid.split_ascii_whitespace().next()?.parse().ok()?,
        cpu_ticks: number(14)? + number(15)?,
        start_ticks: number(22)?,
        command: if line.trim().is_empty() { format!("[{name}]") } else { line.trim().to_owned() },
    })
}
