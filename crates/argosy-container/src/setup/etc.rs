//! The three files of `/etc` that an engine gives its containers.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::mounts::is_replaced;
use super::{Inside, Opened, Surroundings};
use crate::StartFailure;
use crate::spec::{ContainerSpec, Namespace};
use crate::store::make_directory;

/// Writes the files that are mounted into the container, on the machine. They are of one run, as
/// the names and addresses in them are.
pub(crate) fn write_files(spec: &ContainerSpec, run: &Path) -> io::Result<()> {
    let name = match spec.namespaces.uts {
        Namespace::Host => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        _ => spec.hostname(),
    };
    let directory = run.join("etc");
    make_directory(&directory, 0o755)?;
    let hosts = spec.hosts.clone().unwrap_or_else(|| {
        format!(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\t{name}\n"
        )
    });
    let resolv_conf = spec.resolv_conf.clone().unwrap_or_else(|| match spec.namespaces.net {
        Namespace::Host => fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        _ => String::new(),
    });
    for (file, text) in
        [("hostname", format!("{name}\n")), ("hosts", hosts), ("resolv.conf", resolv_conf)]
    {
        let path = directory.join(file);
        fs::write(&path, text)?;
        // Whatever the umask is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Mounts them, except where the user mounts something else.
pub(crate) fn mount_files(
    it: &Surroundings,
    opened: &Opened,
    inside: &Inside,
) -> Result<(), StartFailure> {
    for name in ["hostname", "hosts", "resolv.conf"] {
        let target = format!("/etc/{name}");
        if is_replaced(it, &target) || is_replaced(it, "/etc") {
            continue;
        }
        let source = format!("/proc/self/fd/{}/etc/{name}", opened.run.as_raw_fd());
        inside
            .bind_file(Path::new(&source), &target)
            .map_err(StartFailure::at(format!("mount {target}")))?;
    }
    Ok(())
}
