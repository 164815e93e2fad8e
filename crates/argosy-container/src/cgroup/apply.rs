//! Setting limits, in either version's words.

use std::fs;
use std::io;
use std::path::Path;

use super::Cgroups;
use crate::clamped::Clamped;
use crate::spec::Limits;

/// The period that a share of processor time is counted in, in microseconds. The kernel's own.
const CPU_PERIOD: u64 = 100_000;

/// The leaf that a monitor moves into where the kernel wants a cgroup to have either processes or
/// limited children.
pub(crate) const MONITOR: &str = "monitor";

/// One file to write and what it stands for.
struct Setting {
    /// As docker names it.
    name: &'static str,
    wanted: String,
    v1: Option<(&'static str, &'static str, String)>,
    v2: Option<(&'static str, &'static str, String)>,
}

/// Sets all limits; reports those that the machine does not take.
pub(crate) fn limits(cgroups: &Cgroups, limits: &Limits, clamped: &mut Vec<Clamped>) {
    let settings = settings(limits);
    if let Some(path) = cgroups.v2() {
        let mut controllers: Vec<&str> =
            settings.iter().filter_map(|it| it.v2.as_ref().map(|it| it.0)).collect();
        // Measured even when they limit nothing.
        controllers.extend(["memory", "pids", "io", "cpu"]);
        controllers.sort_unstable();
        controllers.dedup();
        enable(path, &controllers);
    }
    for setting in &settings {
        if let Err(reason) = set(cgroups, setting) {
            clamped.push(Clamped::new(setting.name, &setting.wanted, "no limit", reason));
        }
    }
}

fn set(cgroups: &Cgroups, setting: &Setting) -> Result<(), String> {
    let write = |path: &Path, file: &str, value: &str| {
        fs::write(path.join(file), value).map_err(|error| format!("{file}: {error}"))
    };
    if let Some((controller, file, value)) = &setting.v1
        && let Some(path) = cgroups.v1(controller)
    {
        return write(path, file, value);
    }
    if let Some((_, file, value)) = &setting.v2
        && let Some(path) = cgroups.v2()
        && path.join(file).exists()
    {
        return write(path, file, value);
    }
    Err("the machine has no cgroup controller for it here".to_owned())
}

fn settings(limits: &Limits) -> Vec<Setting> {
    let mut list = Vec::new();
    let mut add = |name, wanted: String, v1, v2| {
        list.push(Setting { name, wanted, v1, v2 });
    };
    if let Some(bytes) = limits.memory {
        let text = bytes.to_string();
        let (v1, v2) = ("memory.limit_in_bytes", "memory.max");
        let both = (Some(("memory", v1, text.clone())), Some(("memory", v2, text.clone())));
        add("memory", text, both.0, both.1);
        let both = limits.memory_swap.unwrap_or_else(|| (bytes as i64).saturating_mul(2));
        let swap = u64::try_from(both).map(|both| both.saturating_sub(bytes).to_string());
        let swap = swap.unwrap_or_else(|_| "max".to_owned());
        let v1 = ("memory", "memory.memsw.limit_in_bytes", both.to_string());
        add("memory-swap", both.to_string(), Some(v1), Some(("memory", "memory.swap.max", swap)));
    }
    if let Some(bytes) = limits.memory_reservation {
        let text = bytes.to_string();
        let v1 = ("memory", "memory.soft_limit_in_bytes", text.clone());
        let v2 = ("memory", "memory.low", text.clone());
        add("memory-reservation", text, Some(v1), Some(v2));
    }
    if let Some(milli) = limits.milli_cpus {
        let quota = milli * CPU_PERIOD / 1000;
        let v1 = ("cpu", "cpu.cfs_quota_us", quota.to_string());
        let v2 = ("cpu", "cpu.max", format!("{quota} {CPU_PERIOD}"));
        add("cpus", format!("{}.{:03}", milli / 1000, milli % 1000), Some(v1), Some(v2));
    }
    if let Some(shares) = limits.cpu_shares {
        let v1 = ("cpu", "cpu.shares", shares.to_string());
        let v2 = ("cpu", "cpu.weight", weight(shares).to_string());
        add("cpu-shares", shares.to_string(), Some(v1), Some(v2));
    }
    if let Some(count) = limits.pids {
        let text = count.to_string();
        let both = ("pids", "pids.max", text.clone());
        add("pids-limit", text, Some(both.clone()), Some(both));
    }
    for (name, file, value) in [
        ("cpuset-cpus", "cpuset.cpus", &limits.cpuset_cpus),
        ("cpuset-mems", "cpuset.mems", &limits.cpuset_mems),
    ] {
        if let Some(value) = value {
            let both = ("cpuset", file, value.clone());
            add(name, value.clone(), Some(both.clone()), Some(both));
        }
    }
    list
}

/// Translates version 1's weight (2 to 262144) into version 2's (1 to 10000), as runc does.
fn weight(shares: u64) -> u64 {
    1 + shares.clamp(2, 262_144).saturating_sub(2) * 9999 / 262_142
}

/// Lets a version 2 cgroup use these controllers, as far as those above have them. Where they do
/// not, its files are missing, and what would be written to them is reported.
fn enable(path: &Path, controllers: &[&str]) {
    let Some(parent) = path.parent() else { return };
    let read = |file| fs::read_to_string(parent.join(file)).unwrap_or_default();
    let (available, present) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let has = |text: &str, name: &str| text.split_whitespace().any(|it| it == name);
    let missing = controllers.iter().filter(|it| has(&available, it) && !has(&present, it));
    let missing: Vec<String> = missing.map(|it| format!("+{it}")).collect();
    // The root of all may have processes beside limited children; only it has no type.
    let is_root = !parent.join("cgroup.type").exists();
    if missing.is_empty() || !(is_root || is_clear(parent)) {
        return;
    }
    for controller in missing {
        drop(fs::write(parent.join("cgroup.subtree_control"), controller));
    }
}

/// Makes sure that a cgroup has no processes of its own: with some, giving its children limits
/// would make all of them unusable.
fn is_clear(parent: &Path) -> bool {
    let members = || fs::read_to_string(parent.join("cgroup.procs")).unwrap_or_default();
    let own = std::process::id().to_string();
    if members().lines().eq([own.as_str()]) {
        drop(step_aside(parent));
    }
    members().is_empty()
}

/// Moves this process out of a cgroup that has to have none of its own.
fn step_aside(parent: &Path) -> io::Result<()> {
    let leaf = parent.join(MONITOR);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(leaf.join("cgroup.procs"), "0")
}

#[cfg(test)]
mod tests {
    use super::{settings, weight};
    use crate::spec::Limits;

    #[test]
    fn weights_are_runc_s() {
        assert_eq!([2, 1024, 262_144, 0].map(weight), [1, 39, 10_000, 1]);
    }

    #[test]
    fn limits_are_written_in_the_words_of_both_versions() {
        let limits = Limits {
            memory: Some(64 << 20),
            milli_cpus: Some(1500),
            pids: Some(9),
            ..Limits::default()
        };
        let lines: Vec<String> = settings(&limits)
            .iter()
            .map(|it| {
                let text = |it: &Option<(_, &str, String)>| {
                    it.as_ref()
                        .map_or("-".to_owned(), |it: &(&str, _, _)| format!("{}={}", it.1, it.2))
                };
                format!("{} {} {}", it.name, text(&it.v1), text(&it.v2))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "memory memory.limit_in_bytes=67108864 memory.max=67108864",
                "memory-swap memory.memsw.limit_in_bytes=134217728 memory.swap.max=67108864",
                "cpus cpu.cfs_quota_us=150000 cpu.max=150000 100000",
                "pids-limit pids.max=9 pids.max=9",
            ]
        );
    }
}
