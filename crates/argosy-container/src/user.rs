//! Users and groups as docker writes them, by the container's own `/etc/passwd` and `/etc/group`.

use std::fs::File;
use std::io::Read;

use rustix::fs::{Mode, OFlags};

/// Largest file of users or groups that is read. Directories of ten thousands of users fit; an
/// endless file of a hostile image does not.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Why a user cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Reads the files of the root file system that this process is in.
pub(crate) fn files() -> (String, String) {
    let read = |path| {
        let mut text = Vec::new();
        // An image without the file has no names; nor has one whose file is a pipe or a device, which
        // could be waited for in vain. Links are followed: this is the image's own tree.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
        if let Ok(file) = opened
            && file.metadata().is_ok_and(|it| it.is_file())
        {
            drop(file.take(FILE_BYTES_MAX).read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    (read("/etc/passwd"), read("/etc/group"))
}

/// Finds a user by the texts of both files.
pub(crate) fn find(
    user: &str,
    extra: &[String],
    passwd: &str,
    group: &str,
) -> Result<Identity, UserError> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|it| !it.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = name.parse::<u32>().ok();
    let line =
        passwd.lines().filter_map(passwd_line).find(|it| it.name == name || number == Some(it.uid));
    let mut identity = match (&line, number) {
        (Some(line), _) => Identity {
            uid: line.uid,
            gid: line.gid,
            groups: Vec::new(),
            home: if line.home.is_empty() { "/".to_owned() } else { line.home.to_owned() },
        },
        (None, Some(uid)) => Identity { uid, gid: 0, groups: Vec::new(), home: "/".to_owned() },
        (None, None) => return Err(UserError::NoUser(name.to_owned())),
    };
    match group_name {
        Some(name) => identity.gid = find_group(name, group)?,
        // A group that is named replaces those that the user is a member of.
        None => {
            let own = line.as_ref().map(|it| it.name);
            let member = |it: &GroupLine<'_>| it.members.split(',').any(|it| Some(it) == own);
            let found = group.lines().filter_map(group_line).filter(member);
            identity.groups.extend(found.map(|it| it.gid));
        }
    }
    for name in extra {
        let gid = find_group(name, group)?;
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    Ok(identity)
}

fn find_group(name: &str, text: &str) -> Result<u32, UserError> {
    let number = name.parse::<u32>().ok();
    let found = text
        .lines()
        .filter_map(group_line)
        .find(|it| it.name == name || number == Some(it.gid))
        .map(|it| it.gid);
    found.or(number).ok_or_else(|| UserError::NoGroup(name.to_owned()))
}

/// Reads a line of passwd(5); `None` for one that is none.
fn passwd_line(line: &str) -> Option<PasswdLine<'_>> {
    let fields: Vec<&str> = line.trim().split(':').collect();
    let [name, _, uid, gid, rest @ ..] = fields.as_slice() else { return None };
    let home = rest.get(1).copied().unwrap_or_default();
    Some(PasswdLine { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
}

/// Reads a line of group(5); `None` for one that is none.
fn group_line(line: &str) -> Option<GroupLine<'_>> {
    let fields: Vec<&str> = line.trim().split(':').collect();
    let [name, _, gid, rest @ ..] = fields.as_slice() else { return None };
    let members = rest.first().copied().unwrap_or_default();
    Some(GroupLine { name, gid: gid.parse().ok()?, members })
}

#[cfg(test)]
mod tests {
    use super::find;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a remark\nweb:x:33:33:web:/srv/www:/x\n\
                          5:x:1005:1005::/home/5:/x\nbroken:line\nnohome:x:44:44:\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nlogs:x:4:web,other\nshared:x:100:other,web\n";

    fn check(user: &str, extra: &[&str]) -> String {
        let extra: Vec<String> = extra.iter().map(|it| (*it).to_owned()).collect();
        match find(user, &extra, PASSWD, GROUP) {
            Ok(it) => format!("{}:{} {:?} {}", it.uid, it.gid, it.groups, it.home),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn users_are_written_as_docker_has_them() {
        assert_eq!(check("", &[]), "0:0 [] /root");
        assert_eq!(check("web", &[]), "33:33 [4, 100] /srv/www");
        assert_eq!(check("33", &[]), "33:33 [4, 100] /srv/www");
        assert_eq!(check("web:logs", &[]), "33:4 [] /srv/www");
        assert_eq!(check("web:7", &[]), "33:7 [] /srv/www");
        assert_eq!(check("1234", &[]), "1234:0 [] /");
        assert_eq!(check("1234:5678", &[]), "1234:5678 [] /");
        assert_eq!(check(":logs", &[]), "0:4 [] /root");
        assert_eq!(check("web:", &[]), "33:33 [4, 100] /srv/www");
        assert_eq!(check("nohome", &[]), "44:44 [] /");
        // A name of digits comes before a number.
        assert_eq!(check("5", &[]), "1005:1005 [] /home/5");
    }

    #[test]
    fn more_groups_are_added_whatever_the_user_is() {
        assert_eq!(check("web", &["shared", "777"]), "33:33 [4, 100, 777] /srv/www");
        assert_eq!(check("1:1", &["logs"]), "1:1 [4] /");
        assert_eq!(
            check("web", &["none"]),
            "unable to find group none: no matching entries in group file"
        );
    }

    #[test]
    fn unknown_names_are_errors() {
        assert_eq!(
            check("nobody", &[]),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert_eq!(
            check("web:none", &[]),
            "unable to find group none: no matching entries in group file"
        );
        assert_eq!(check("-1", &[]), "unable to find user -1: no matching entries in passwd file");
    }
}
