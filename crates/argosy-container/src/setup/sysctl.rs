//! Kernel settings of the container's own namespaces.

use super::{Inside, Surroundings};
use crate::StartFailure;
use crate::spec::{ContainerSpec, Namespace};

/// What docker sets where the container has a network of its own: any user may open any port and
/// send pings.
const NETWORK_DEFAULTS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// Tells why a setting is not the container's to make; `None` if it is.
pub(crate) fn refusal(spec: &ContainerSpec, name: &str) -> Option<String> {
    let of_ipc = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let (needed, mode) = if name.starts_with("net.") {
        ("network", &spec.namespaces.net)
    } else if name.starts_with("fs.mqueue.") || of_ipc.contains(&name) {
        ("IPC", &spec.namespaces.ipc)
    } else if name == "kernel.domainname" {
        ("UTS", &spec.namespaces.uts)
    } else {
        return Some(format!("sysctl {name} is the whole machine's: set it there"));
    };
    (*mode == Namespace::Host)
        .then(|| format!("sysctl {name} needs a {needed} namespace of the container's own"))
}

/// Makes the settings.
pub(crate) fn apply(it: &Surroundings, inside: &Inside) -> Result<(), StartFailure> {
    let write = |name: &str, value: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let file = inside.open_to_write(&path)?;
        rustix::io::write(&file, value.as_bytes()).map(drop)
    };
    if it.own_network() && !it.own_user {
        for (name, value) in NETWORK_DEFAULTS {
            if !it.spec.sysctls.contains_key(name) {
                // A kernel without it has the stricter rule, as it always had.
                let _ = write(name, value);
            }
        }
    }
    for (name, value) in &it.spec.sysctls {
        write(name, value).map_err(StartFailure::at(format!("set sysctl {name}")))?;
    }
    Ok(())
}
