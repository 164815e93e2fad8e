//! What this process may do to files: all that an image says, or as far as its user can.

use std::fs;

/// What of an image's files can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// Files get the owners that the image says; else they belong to this user.
    pub owners: bool,
    /// Device nodes are made; else they are left out, as podman does for ordinary users.
    pub devices: bool,
    /// Overlay marks are `user.overlay.*` (mount option `userxattr`) instead of `trusted.overlay.*`.
    pub user_marks: bool,
}

impl Privileges {
    pub const ROOT: Self = Self { owners: true, devices: true, user_marks: false };
    pub const ROOT_OF_NAMESPACE: Self = Self { owners: true, devices: false, user_marks: true };
    pub const USER: Self = Self { owners: false, devices: false, user_marks: true };

    /// What this process has.
    pub fn of_this_process() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::USER;
        }
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let fields: Vec<&str> = map.split_whitespace().collect();
        if fields == ["0", "0", "4294967295"] || fields.is_empty() {
            Self::ROOT
        } else {
            Self::ROOT_OF_NAMESPACE
        }
    }

    /// The attribute that hides what lies below a directory.
    pub(crate) const fn opaque_mark(self) -> &'static str {
        if self.user_marks { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
    }
}
