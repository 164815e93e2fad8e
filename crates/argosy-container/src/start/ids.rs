//! Which of the machine's users a container's users are.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::ContainerError;
use crate::clamped::Clamped;
use crate::setup::{Surroundings, is_unfilled};
use crate::spec::{IdRange, MountKind, Root, UserNamespace};
use crate::sys::{self, MountChange};

/// Tells whether this process is the machine's root: one of a user namespace may do little more to
/// the machine than any other user.
pub(crate) fn is_machines_root() -> bool {
    rustix::process::geteuid().is_root() && ranges("uid_map") == [ALL]
}

/// All ids there are.
const ALL: IdRange = IdRange { inside: 0, outside: 0, count: u32::MAX };

/// Returns which ids of the namespace around this process's own its ids are.
fn ranges(file: &str) -> Vec<IdRange> {
    // Without /proc there are no containers either.
    let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|it| it.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(IdRange { inside: next()?, outside: next()?, count: next()? })
    };
    text.lines().filter_map(range).collect()
}

/// Maps the ids of a process in a new user namespace.
pub(crate) fn map(pid: i32, surroundings: &Surroundings) -> Result<Vec<Clamped>, ContainerError> {
    match &surroundings.spec.namespaces.user {
        UserNamespace::Mapped { uids, gids } if !surroundings.rootless => {
            write(pid, "uid_map", uids)?;
            write(pid, "gid_map", gids)?;
            Ok(Vec::new())
        }
        _ if rustix::process::geteuid().is_root() => map_all(pid),
        _ => map_own(pid),
    }
}

/// Lets the root of a user namespace, and all other users there are in it, be the same in the
/// container.
fn map_all(pid: i32) -> Result<Vec<Clamped>, ContainerError> {
    let mut single = true;
    for file in ["uid_map", "gid_map"] {
        let same = |it: IdRange| IdRange { outside: it.inside, ..it };
        let all: Vec<IdRange> = ranges(file).into_iter().map(same).collect();
        single &= all.iter().map(|it| it.count).eq([1]);
        write(pid, file, &all)?;
    }
    if !single {
        return Ok(Vec::new());
    }
    let reason = "the user namespace around it has no others";
    Ok(vec![Clamped::new("users", "all of the image", "root alone", reason)])
}

/// Shows the image's layers to a new user namespace as if its root owned what root owns, and gives
/// it the layer that it writes to.
pub(crate) fn shifted_layers(
    pid: i32,
    surroundings: &Surroundings,
    clamped: &mut Vec<Clamped>,
) -> Result<Vec<OwnedFd>, ContainerError> {
    let spec = &surroundings.spec;
    let (Root::Layers(layers), UserNamespace::Mapped { uids, gids }, false) =
        (&spec.root, &spec.namespaces.user, surroundings.rootless)
    else {
        return Ok(Vec::new());
    };
    for name in ["upper", "work"] {
        let path = surroundings.data.join(name);
        chown(&path, root_of(uids), root_of(gids))
            .map_err(ContainerError::file("give away", &path))?;
    }
    let path = format!("/proc/{pid}/ns/user");
    let namespace = File::open(&path).map_err(ContainerError::file("open", path))?;
    let shift = |layer: &PathBuf| -> io::Result<OwnedFd> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = open_tree(CWD, layer, flags)?;
        let change = MountChange { id_map: Some(namespace.as_fd()), ..MountChange::default() };
        sys::change_mount(mount.as_fd(), false, change)?;
        Ok(mount)
    };
    match layers.iter().map(shift).collect() {
        Ok(shifted) => Ok(shifted),
        Err(error) => {
            let (wanted, given) =
                ("files of the image owned by its users", "files owned by nobody");
            clamped.push(Clamped::new("userns", wanted, given, error));
            Ok(Vec::new())
        }
    }
}

/// Gives the root of a new user namespace the volumes that are still to be filled: it is who fills
/// them, and uses them.
pub(crate) fn give_volumes(surroundings: &Surroundings) -> Result<(), ContainerError> {
    let spec = &surroundings.spec;
    let (UserNamespace::Mapped { uids, gids }, false) =
        (&spec.namespaces.user, surroundings.rootless)
    else {
        return Ok(());
    };
    for mount in &spec.mounts {
        if let MountKind::Bind { source, copy_up: true, copy_record, .. } = &mount.kind
            && is_unfilled(source, copy_record.as_deref())
            && fs::metadata(source).is_ok_and(|it| it.uid() == 0)
        {
            chown(source, root_of(uids), root_of(gids))
                .map_err(ContainerError::file("give away", source))?;
        }
    }
    Ok(())
}

/// Returns who is root, on the machine.
fn root_of(ids: &[IdRange]) -> Option<u32> {
    ids.iter().find(|it| it.inside == 0).map(|it| it.outside)
}

/// Lets an ordinary user be root in the container, with further ids if the machine grants some.
fn map_own(pid: i32) -> Result<Vec<Clamped>, ContainerError> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let users = map_granted(pid, "newuidmap", uid, "/etc/subuid");
    let groups = map_granted(pid, "newgidmap", gid, "/etc/subgid");
    let own = |outside| [IdRange { inside: 0, outside, count: 1 }];
    if !users {
        write(pid, "uid_map", &own(uid))?;
    }
    if !groups {
        let setgroups = format!("/proc/{pid}/setgroups");
        fs::write(&setgroups, "deny").map_err(ContainerError::file("write", setgroups))?;
        write(pid, "gid_map", &own(gid))?;
    }
    if users && groups {
        return Ok(Vec::new());
    }
    let reason =
        "newuidmap, newgidmap or the user's lines in /etc/subuid and /etc/subgid are missing";
    Ok(vec![Clamped::new("users", "all of the image", "root alone", reason)])
}

/// Maps root to the user and all further ids to those that the machine grants him; returns whether
/// that was done.
fn map_granted(pid: i32, program: &str, own: u32, file: &str) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let text = fs::read_to_string(file).unwrap_or_default();
    let Some(range) = granted(&text, user) else { return false };
    let root = [pid as u32, 0, own, 1].map(|it| it.to_string());
    let more = [1, range.outside, range.count].map(|it| it.to_string());
    let mut command = Command::new(program);
    command.args(root).args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn write(pid: i32, file: &str, ranges: &[IdRange]) -> Result<(), ContainerError> {
    let line = |it: &IdRange| format!("{} {} {}\n", it.inside, it.outside, it.count);
    let path = format!("/proc/{pid}/{file}");
    let text: String = ranges.iter().map(line).collect();
    // In one write: the kernel takes no second one.
    fs::write(&path, text).map_err(ContainerError::file("write", path))
}

/// Finds the first range of a user by number in the text of subuid(5). Names would have to be
/// asked of the machine's directory of users; `id -u` is what every tool can write there.
fn granted(text: &str, uid: u32) -> Option<IdRange> {
    let own = uid.to_string();
    let names = user_names(uid);
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let mine = name == own || names.iter().any(|it| it == name);
        let (outside, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        mine.then_some(IdRange { inside: 1, outside, count })
    };
    text.lines().find_map(line)
}

/// Returns the names that the machine's own file has for a user.
fn user_names(uid: u32) -> Vec<String> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::granted;

    #[test]
    fn a_user_is_granted_the_first_range_of_its_number() {
        let text = "other:1:2\n4242:100000:65536\n4242:5:5\n";
        let range = granted(text, 4242).map(|it| (it.outside, it.count));
        assert_eq!(range, Some((100_000, 65536)));
        assert_eq!(granted(text, 4243), None);
    }
}
