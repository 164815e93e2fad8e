//! Where the machine's cgroup hierarchies are mounted, and where this process is in each.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) point: PathBuf,
    /// What of the hierarchy the mount shows: `/` is all.
    root: String,
    /// Controllers, or `name=...`; `None` for version 2.
    pub(crate) controllers: Option<Vec<String>>,
    /// The cgroup of this process.
    pub(crate) own: PathBuf,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchies(Vec<Hierarchy>);

/// Options of a version 1 mount that are no controllers.
const NO_CONTROLLERS: [&str; 6] = ["rw", "ro", "relatime", "xattr", "noprefix", "clone_children"];

impl Hierarchies {
    pub(crate) fn read() -> io::Result<Hierarchies> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Ok(Hierarchies::parse(&mounts, &own))
    }

    /// Reads the texts of proc_pid_mountinfo(5) and proc_pid_cgroup(5).
    fn parse(mountinfo: &str, cgroup: &str) -> Hierarchies {
        let own: BTreeMap<&str, &str> = cgroup
            .lines()
            .filter_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                Some((parts.next()?, parts.next()?))
            })
            .flat_map(|(names, path)| names.split(',').map(move |name| (name, path)))
            .collect();
        let mut found: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.lines() {
            let Some(hierarchy) = hierarchy(line, &own) else { continue };
            if !found.iter().any(|it| it.controllers == hierarchy.controllers) {
                found.push(hierarchy);
            }
        }
        Hierarchies(found)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    pub(crate) fn has_v2(&self) -> bool {
        self.0.iter().any(|it| it.controllers.is_none())
    }

    pub(crate) fn has_v1(&self) -> bool {
        self.0.iter().any(|it| it.controllers.is_some())
    }
}

impl Hierarchy {
    /// Returns the directory of a cgroup that is named from the hierarchy's root.
    pub(crate) fn below_root(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").unwrap_or(path);
        let root = self.root.trim_start_matches('/');
        self.point.join(path.strip_prefix(root).unwrap_or(path))
    }
}

fn hierarchy(line: &str, own: &BTreeMap<&str, &str>) -> Option<Hierarchy> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(3);
    let (root, point) = (front.next()?, front.next()?);
    let mut back = back.split(' ');
    let (kind, options) = (back.next()?, back.nth(1)?);
    let controllers = match kind {
        "cgroup2" => None,
        "cgroup" => {
            let known =
                |it: &&str| !NO_CONTROLLERS.contains(it) && !it.starts_with("release_agent");
            Some(options.split(',').filter(known).map(str::to_owned).collect::<Vec<_>>())
        }
        _ => return None,
    };
    let name = controllers.as_ref().map_or("", |it| it.first().map_or("?", String::as_str));
    let path = own.get(name)?;
    // A mount may show only a part of the hierarchy, as in a container.
    let below = if root == "/" { path } else { path.strip_prefix(root)? };
    let point = PathBuf::from(point);
    let own = point.join(below.trim_start_matches('/'));
    Some(Hierarchy { point, root: root.to_owned(), controllers, own })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Hierarchies;

    const MOUNTS: &str = "\
25 20 0:22 / /sys/fs/cgroup rw,relatime shared:2 - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 /pod/a /sys/fs/cgroup/memory rw,relatime - cgroup memory rw,memory
28 25 0:25 / /sys/fs/cgroup/systemd rw,relatime - cgroup c rw,xattr,name=systemd
29 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
30 25 0:26 / /mnt/again rw,relatime - cgroup2 cgroup2 rw
";
    const OWN: &str =
        "4:memory:/pod/a/unit\n3:cpu,cpuacct:/\n2:name=systemd:/s\n0::/unit.service\n";

    #[test]
    fn hierarchies_are_found_where_they_are_mounted() {
        let found = Hierarchies::parse(MOUNTS, OWN);
        let lines: Vec<String> = found
            .iter()
            .map(|it| {
                let controllers =
                    it.controllers.as_ref().map_or("v2".to_owned(), |it| it.join("+"));
                format!("{controllers} {}", it.own.display())
            })
            .collect();
        assert_eq!(
            lines,
            [
                "cpu+cpuacct /sys/fs/cgroup/cpu,cpuacct/",
                "memory /sys/fs/cgroup/memory/unit",
                "name=systemd /sys/fs/cgroup/systemd/s",
                "v2 /sys/fs/cgroup/unified/unit.service",
            ]
        );
        let memory = found.iter().nth(1).unwrap();
        assert_eq!(memory.below_root(Path::new("/pod/a/x")), Path::new("/sys/fs/cgroup/memory/x"));
        assert!(found.has_v1() && found.has_v2());
    }
}
