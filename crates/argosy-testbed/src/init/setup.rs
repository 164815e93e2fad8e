//! What a machine's first process makes of its new namespaces.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::system::sethostname;

use argosy_netlink::RouteSocket;

use crate::network::PREFIX_BITS;
use crate::wire::Isolation;
use crate::{Refusal, sys};

/// The machine's end of its cable.
pub(crate) const INTERFACE: &str = "eth0";
/// The file that tells one boot from another.
pub(crate) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Sets up all namespaces.
pub(crate) fn isolate(host_name: &str, isolation: &Isolation) -> Result<(), Refusal> {
    step("set the host name", sethostname(host_name.as_bytes()))?;
    mounts(isolation)?;
    network(Ipv4Addr::from(isolation.address))
        .map_err(|error| Refusal::system("set up the network", &error))
}

fn mounts(isolation: &Isolation) -> Result<(), Refusal> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("make mounts private", mount_change("/", private))?;
    if !isolation.cgroups.is_empty() {
        sys::unshare_cgroups().map_err(|error| Refusal::system("unshare cgroups", &error))?;
    }
    // The machine sees its own cgroups where the hierarchies are.
    for (own, mount_point) in &isolation.cgroups {
        step("show the machine its cgroups", mount_bind(own, mount_point))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let plain = &isolation.plain_proc;
    step("mount a plain /proc", mount("proc", plain, "proc", flags, None))?;
    step("mount /proc", mount("proc", "/proc", "proc", flags, None))?;
    if Path::new("/dev/shm").is_dir() {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        step("mount /dev/shm", mount("tmpfs", "/dev/shm", "tmpfs", flags, None))?;
    }
    for (own, shown) in &isolation.files {
        if shown.exists() {
            step("show the machine its files", mount_bind(own, shown))?;
        }
    }
    Ok(())
}

fn network(address: Ipv4Addr) -> io::Result<()> {
    let netlink = RouteSocket::open()?;
    netlink.set_up(netlink.index("lo")?, true)?;
    let index = netlink.index(INTERFACE)?;
    netlink.set_no_own_address(index);
    netlink.add_address(index, address.into(), PREFIX_BITS)?;
    netlink.set_up(index, true)
}

fn step<T>(what: &str, result: rustix::io::Result<T>) -> Result<T, Refusal> {
    result.map_err(|error| Refusal::system(what, &error.into()))
}
