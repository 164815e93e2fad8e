//! Each kernel interface, with real processes that are moved in.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{Cgroup, Version};

/// Returns a version's hierarchy with a directory name of this test's own.
fn hierarchies() -> Vec<(Version, String)> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let find = |wanted: &dyn Fn(&[&str]) -> bool| {
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.into_iter().find(|it| wanted(it)).map(|it| it[1].to_owned())
    };
    let option = |it: &[&str], name: &str| it[3].split(',').any(|option| option == name);
    [
        (Version::V2, find(&|it| it[2] == "cgroup2")),
        (Version::Freezer, find(&|it| it[2] == "cgroup" && option(it, "freezer"))),
        (Version::Named, find(&|it| it[2] == "cgroup" && option(it, "name=systemd"))),
    ]
    .into_iter()
    .filter_map(|(version, mount)| Some((version, mount?)))
    .collect()
}

type Kill = fn(&Cgroup) -> std::io::Result<()>;

fn sleeper(group: &Path) -> Child {
    let child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    fs::write(group.join("cgroup.procs"), child.id().to_string()).unwrap();
    child
}

#[test]
fn every_interface_kills_what_is_below_and_can_be_removed() {
    assert!(rustix::process::geteuid().is_root(), "this test makes cgroups and needs root");
    let hierarchies = hierarchies();
    assert!(!hierarchies.is_empty(), "no cgroup hierarchy is mounted");
    // As on a kernel without `cgroup.kill`.
    let older = hierarchies.iter().filter(|(version, _)| *version == Version::V2);
    let older: Vec<_> = older.map(|it| (it.clone(), Cgroup::kill_v2_members as Kill)).collect();
    let all = hierarchies.into_iter().map(|it| (it, Cgroup::kill as Kill)).chain(older);
    for ((version, mount), kill) in all {
        let path = Path::new(&mount).join(format!("argosy-test-{}", std::process::id()));
        let cgroup = Cgroup::create(path.clone(), version).unwrap();
        assert!(Cgroup::create(path.clone(), version).is_err(), "a name is used once");
        assert!(cgroup.is_empty().unwrap());
        fs::create_dir(path.join("below")).unwrap();
        let mut children = [sleeper(&path), sleeper(&path.join("below"))];
        let mut pids: Vec<_> = children.iter().map(|child| child.id().cast_signed()).collect();
        pids.sort_unstable();
        let mut members = cgroup.members().unwrap();
        members.sort_unstable();
        assert_eq!(members, pids, "{version:?}");
        assert!(!cgroup.is_empty().unwrap());
        assert!(cgroup.remove().is_err(), "a populated group stays");
        kill(&cgroup).unwrap();
        for child in &mut children {
            assert!(!child.wait().unwrap().success());
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while !cgroup.is_empty().unwrap() {
            assert!(Instant::now() < deadline, "{version:?} does not become empty");
        }
        cgroup.remove().unwrap();
        assert!(!path.exists());
    }
}
