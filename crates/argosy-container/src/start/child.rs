//! The process that becomes the container.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Gid, Uid};

use super::shm;
use crate::clamped::Clamped;
use crate::launch::Launch;
use crate::link::{FromChild, Link, ToChild};
use crate::setup::{self, Opened, Surroundings};
use crate::{StartFailure, sys, terminal};

/// Sets up the container around this process and becomes its program.
pub(crate) fn run(
    surroundings: &mut Surroundings,
    entered: io::Result<()>,
    launch: Launch,
    link: &Link,
) -> ! {
    let failure = match prepare(surroundings, entered, link) {
        Ok(clamped) => launch.run(link, clamped),
        Err(failure) => failure,
    };
    let code = failure.kind.exit_code();
    drop(link.send(&FromChild::Failed(failure)));
    sys::exit_now(i32::from(code))
}

fn prepare(
    it: &mut Surroundings,
    entered: io::Result<()>,
    link: &Link,
) -> Result<Vec<Clamped>, StartFailure> {
    // A container without its monitor would be one whose end nobody sees.
    link.end_with_other()?;
    let opened = Opened::open(it)?;
    it.shm = it.shm_of.as_ref().map(shm::take).transpose()?;
    let mut clamped = Vec::new();
    // Before the cgroup namespace, which begins where the process is.
    if let Err(error) = entered.and_then(|()| it.cgroups.enter_v1()) {
        clamped.push(Clamped::new("cgroup", "its own", "the engine's", error));
    }
    for (namespace, kind) in &it.joined {
        sys::enter_namespace(namespace.as_fd(), *kind)
            .map_err(StartFailure::at("enter the namespaces of others"))?;
    }
    if it.own_user {
        loop {
            match link.receive::<ToChild>() {
                Ok(Some((ToChild::Layer, layer))) => it.shifted.extend(layer),
                Ok(Some((ToChild::Mapped, _))) => break,
                Ok(_) => return Err(StartFailure::new("go on", "the monitor is gone")),
                Err(error) => return Err(StartFailure::new("hear the monitor", error)),
            }
        }
        let (uid, gid) = (Uid::ROOT, Gid::ROOT);
        let step = || StartFailure::at("become root of the user namespace");
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(step())?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(step())?;
        // The change of user has cleared it.
        link.end_with_other()?;
    }
    rustix::process::setsid().map_err(StartFailure::at("begin a session"))?;
    clamped.extend(setup::build(it, &opened)?);
    if it.spec.process.tty {
        terminal::open_inside(link, true)?;
    }
    Ok(clamped)
}
