//! Users and groups from passwd(5) and group(5), without the C library's name service.

use std::fs;
use std::path::Path;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// The two files as they are now.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl Accounts {
    /// Reads `passwd` and `group` in `etc`. A missing file is an empty one; a line that cannot
    /// be read is skipped, as the C library does.
    pub(crate) fn read(etc: &Path) -> Accounts {
        let text = |name: &str| fs::read_to_string(etc.join(name)).unwrap_or_default();
        Accounts::parse(&text("passwd"), &text("group"))
    }

    fn parse(passwd: &str, group: &str) -> Accounts {
        Accounts {
            users: passwd.lines().filter_map(parse_user).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }

    /// Finds a user by name or number. A number without an entry is a user all the same.
    pub(crate) fn user(&self, text: &str) -> Option<User> {
        if let Some(user) = self.users.iter().find(|user| user.name == text) {
            return Some(user.clone());
        }
        let uid: u32 = text.parse().ok()?;
        let known = self.users.iter().find(|user| user.uid == uid).cloned();
        Some(known.unwrap_or_else(|| User {
            name: text.to_owned(),
            uid,
            gid: uid,
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        }))
    }

    /// Finds a group by name or number.
    pub(crate) fn group(&self, text: &str) -> Option<u32> {
        let by_name = self.groups.iter().find(|group| group.name == text);
        by_name.map(|group| group.gid).or_else(|| text.parse().ok())
    }

    /// Returns the groups that list a user as member, and `primary`; initgroups(3).
    pub(crate) fn groups_of(&self, user: &str, primary: u32) -> Vec<u32> {
        let member = |group: &&Group| group.members.iter().any(|member| member == user);
        let mut gids: Vec<u32> = self.groups.iter().filter(member).map(|g| g.gid).collect();
        gids.push(primary);
        gids.sort_unstable();
        gids.dedup();
        gids
    }
}

fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
    let shell = if shell.is_empty() { "/bin/sh" } else { shell };
    Some(User {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.to_owned(),
        shell: shell.to_owned(),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields[..] else { return None };
    let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nwww:x:33:33::/var/www:\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nssl:x:44:www,root\nlog:x:4:www\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        let www = accounts.user("www").unwrap();
        assert_eq!((www.uid, www.gid, www.shell.as_str()), (33, 33, "/bin/sh"));
        assert_eq!(accounts.user("33").unwrap(), www);
        assert_eq!(accounts.user("4711").unwrap().uid, 4711);
        assert_eq!(accounts.user("nobody-here"), None);
    }

    #[test]
    fn groups_are_found_and_memberships_collected() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.group("ssl"), Some(44));
        assert_eq!(accounts.group("12"), Some(12));
        assert_eq!(accounts.group("none"), None);
        assert_eq!(accounts.groups_of("www", 33), [4, 33, 44]);
    }
}
