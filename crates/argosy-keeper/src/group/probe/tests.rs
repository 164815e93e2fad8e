//! The kernel's texts about cgroups.

use std::path::PathBuf;

use super::Hierarchies;

#[test]
fn own_directories_are_found_in_every_layout() {
    let mounts = "31 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        32 23 0:27 /box /sys/fs/cgroup/freezer rw,nosuid shared:9 - cgroup cgroup rw,freezer\n\
        33 23 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        34 23 0:29 / / rw - ext4 /dev/vda rw\n";
    let own = "5:freezer:/box/a\n2:cpu,cpuacct:/\n1:name=systemd:/init\n0::/x/y\n";
    let found = Hierarchies::parse(mounts, own);
    assert!(found.has_v1());
    let directory = |kind, name| found.own_directory(kind, name);
    assert_eq!(directory("cgroup2", ""), Some(PathBuf::from("/sys/fs/cgroup/unified/x/y")));
    assert_eq!(directory("cgroup", "freezer"), Some(PathBuf::from("/sys/fs/cgroup/freezer/a")));
    assert_eq!(
        directory("cgroup", "name=systemd"),
        Some(PathBuf::from("/sys/fs/cgroup/systemd/init"))
    );
    assert_eq!(directory("cgroup", "memory"), None);
}
