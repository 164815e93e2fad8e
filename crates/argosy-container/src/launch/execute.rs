//! Giving up what the program may not have, and executing it.

use std::ffi::CString;
use std::io;

use rustix::fs::{Gid, Mode, Uid};
use rustix::process::DumpableBehavior;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::Launch;
use crate::link::Link;
use crate::process::{DEFAULT_PATH, variable};
use crate::user::Identity;
use crate::{FailureKind, StartFailure, sys};

/// Executes the program; returns only why not.
pub(crate) fn execute(launch: &Launch, identity: &Identity, link: &Link) -> StartFailure {
    match drop_privileges(launch, identity, link) {
        Ok(()) => program(launch),
        Err(failure) => failure,
    }
}

/// Becomes the user, with the capabilities and under the filter that it is to have. The filter is
/// loaded as late as can be: a profile may forbid what this needs.
pub(crate) fn drop_privileges(
    launch: &Launch,
    identity: &Identity,
    link: &Link,
) -> Result<(), StartFailure> {
    // From here on others in its PID namespace may have the same user and capabilities. What this process
    // has open, such as control groups of the machine, is not for them; to execute a program ends that.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(StartFailure::at("keep what is open from others"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let cwd = launch.process.cwd.as_deref().unwrap_or("/");
    let entered = rustix::process::chdir(cwd);
    for number in crate::capabilities::numbers() {
        let one = crate::capabilities::one(number);
        if !launch.capabilities.contains(one) {
            match remove_capability_from_bounding_set(one) {
                // Beyond the last one that the kernel knows.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(StartFailure::new("give up capabilities", error)),
            }
        }
    }
    set_keep_capabilities(true).map_err(StartFailure::at("keep capabilities for a moment"))?;
    become_user(identity)?;
    // The change of user has cleared it.
    link.end_with_other()?;
    if entered.is_err() {
        // The user may be allowed what root is not, on a network disk for example.
        rustix::process::chdir(cwd).map_err(StartFailure::at(format!("enter {cwd}")))?;
    }
    let own = capabilities(None).map_err(StartFailure::at("look at the capabilities"))?.permitted;
    set(own)?;
    let _ = clear_ambient_capability_set();
    let filter = || match &launch.filter {
        Some(steps) => sys::load_filter(steps).map_err(StartFailure::at("load the seccomp filter")),
        None => Ok(()),
    };
    if launch.no_new_privileges {
        set_no_new_privs(true).map_err(StartFailure::at("forbid new privileges"))?;
        set(launch.capabilities)?;
        filter()
    } else {
        // Without that promise only SYS_ADMIN may load a filter, so it goes last.
        filter()?;
        set(launch.capabilities)
    }
}

fn become_user(identity: &Identity) -> Result<(), StartFailure> {
    let groups: Vec<Gid> = identity.groups.iter().map(|it| Gid::from_raw(*it)).collect();
    match set_thread_groups(&groups) {
        // In a user namespace of somebody who is not root the groups are what they are.
        Err(rustix::io::Errno::PERM) if groups.is_empty() => {}
        result => result.map_err(StartFailure::at("become member of the groups"))?,
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let step =
        || StartFailure::at(format!("become user {} of group {}", identity.uid, identity.gid));
    set_thread_res_gid(gid, gid, gid).map_err(step())?;
    set_thread_res_uid(uid, uid, uid).map_err(step())
}

fn set(set: CapabilitySet) -> Result<(), StartFailure> {
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: set, permitted: set, inheritable })
        .map_err(StartFailure::at("set the capabilities"))
}

/// Executes the program, found as a shell finds it; returns only why not.
pub(crate) fn program(launch: &Launch) -> StartFailure {
    let strings = |list: &[String]| {
        list.iter().map(|it| CString::new(it.as_str())).collect::<Result<Vec<_>, _>>()
    };
    let (args, env) = match (strings(&launch.process.args), strings(&launch.process.env)) {
        (Ok(args), Ok(env)) => (args, env),
        (Err(error), _) | (_, Err(error)) => return StartFailure::new("name the program", error),
    };
    let name = launch.process.args.first().cloned().unwrap_or_default();
    let path = variable(&launch.process.env, "PATH").unwrap_or(DEFAULT_PATH);
    let candidates: Vec<String> = match name.contains('/') {
        true => vec![name.clone()],
        false => path
            .split(':')
            .map(|it| format!("{}/{name}", if it.is_empty() { "." } else { it }))
            .collect(),
    };
    sys::reset_signals();
    let mut denied = None;
    for candidate in &candidates {
        let Ok(candidate) = CString::new(candidate.as_str()) else { continue };
        let error = sys::execve(&candidate, &args, &env);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => denied = Some(error),
            _ => return not_executed(&name, FailureKind::NotExecutable, &error),
        }
    }
    match denied {
        Some(error) => not_executed(&name, FailureKind::NotExecutable, &error),
        None if name.contains('/') => {
            let error = io::Error::from_raw_os_error(libc::ENOENT);
            not_executed(&name, FailureKind::NotFound, &error)
        }
        None => StartFailure {
            kind: FailureKind::NotFound,
            step: format!("execute {name}"),
            reason: "executable file not found in $PATH".to_owned(),
        },
    }
}

fn not_executed(name: &str, kind: FailureKind, error: &io::Error) -> StartFailure {
    StartFailure { kind, step: format!("execute {name}"), reason: error.to_string() }
}
