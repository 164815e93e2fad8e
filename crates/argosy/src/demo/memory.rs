//! How much memory a machine takes: the proportional share of all its processes.

use std::collections::BTreeMap;
use std::fs;

/// Sums `Pss` (proc_pid_smaps(5)) over all processes below `init`, without `init` itself, which is
/// the testbed's; nothing if one of them cannot be read.
pub(super) fn pss_bytes(init: u32) -> Option<u64> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may end while it is looked at.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        children.entry(parent(&stat)?).or_default().push(pid);
    }
    let mut below = children.get(&init).cloned().unwrap_or_default();
    let mut next = 0;
    let mut sum = 0;
    while let Some(pid) = below.get(next).copied() {
        next += 1;
        below.extend(children.get(&pid).into_iter().flatten());
        sum += pss_of(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)?;
    }
    Some(sum)
}

/// The fourth field; the second is a name that may hold anything.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn pss_of(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    //! Tests of what is read.

    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        assert_eq!(parent("7 (a) b) (c) S 42 7 7 0"), Some(42));
        let rollup = "00-ff ---p 00 00:00 0 [rollup]\nRss:  90 kB\nPss:   12 kB\nPss_Anon: 3 kB\n";
        assert_eq!(pss_of(rollup), Some(12 << 10));
    }
}
