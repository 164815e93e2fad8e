//! Programs that the tests compare with or drive. They are named when missing, never installed.

use std::path::Path;

use anyhow::{Result, bail};

/// Program, Debian package, what it is for.
const NEEDS: [(&str, &str, &str); 16] = [
    ("etcdctl", "etcd-client", "etcd's own client against our store"),
    ("etcd", "etcd-server", "differential tests against etcd"),
    ("curl", "curl", "the README's commands"),
    ("perl", "perl-base", "units that print fast"),
    ("script", "bsdutils", "terminals inside machines"),
    ("setpriv", "util-linux", "tests as an ordinary user"),
    ("unshare", "util-linux", "tests with namespaces denied"),
    ("docker-registry", "docker-registry", "pulls from and pushes to a real registry"),
    ("skopeo", "skopeo", "images in every form"),
    ("umoci", "umoci", "images, and the trees they unpack to"),
    ("podman", "podman", "the trees that images unpack to"),
    ("setcap", "libcap2-bin", "images with file capabilities"),
    ("busybox", "busybox-static", "what runs in containers"),
    ("runc", "runc", "containers beside those of runc"),
    ("crun", "crun", "containers beside those of crun"),
    ("linux.uml", "user-mode-linux", "containers where cgroups are of version 2 alone"),
];

pub(crate) fn check() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| {
        std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
    };
    let missing: Vec<_> = NEEDS.iter().filter(|(program, _, _)| !found(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (program, package, purpose) in &missing {
        eprintln!("missing: {program} (Debian package {package}), needed for {purpose}");
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    bail!("install what is missing: apt-get install --no-install-recommends {}", packages.join(" "))
}
