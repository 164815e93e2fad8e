//! Tests of finding hierarchies.

use super::*;

const HYBRID: &str = "\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
34 30 0:30 /part /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

#[test]
fn each_mounted_hierarchy_tells_our_place() {
    let own = "5:pids:/other\n4:name=systemd:/\n3:memory:/a/b\n2:cpu,cpuacct:/x\n0::/u\n";
    let found: Vec<(PathBuf, bool)> =
        hierarchies(HYBRID, own).into_iter().map(|it| (it.own, it.unified)).collect();
    let expected = [
        ("/sys/fs/cgroup/cpu,cpuacct/x", false),
        ("/sys/fs/cgroup/memory/a/b", false),
        ("/sys/fs/cgroup/systemd/", false),
        ("/sys/fs/cgroup/unified/u", true),
    ];
    assert_eq!(found, expected.map(|(path, unified)| (PathBuf::from(path), unified)));
}
