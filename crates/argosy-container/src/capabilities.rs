//! Capabilities by name (capabilities(7)).

use rustix::thread::CapabilitySet;

use crate::spec::Security;

/// Every capability in the order of its number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What docker gives every container.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A text names no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no capability {0:?}")]
pub struct UnknownCapability(pub String);

/// Returns the number of a capability, by its name with or without `CAP_`.
pub(crate) fn number(name: &str) -> Result<u32, UnknownCapability> {
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let found = NAMES.iter().position(|it| *it == plain);
    found.map(|it| it as u32).ok_or_else(|| UnknownCapability(name.to_owned()))
}

/// Returns the set of one capability.
pub(crate) fn one(number: u32) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << number)
}

/// Returns the names of a set, for people.
pub(crate) fn names(set: CapabilitySet) -> String {
    let has = |it: &usize| set.contains(one(*it as u32));
    (0..NAMES.len()).filter(has).map(|it| NAMES[it]).collect::<Vec<_>>().join(", ")
}

/// Returns all capabilities that have a name.
pub(crate) fn all() -> CapabilitySet {
    CapabilitySet::from_bits_retain((1 << NAMES.len()) - 1)
}

/// Returns the numbers of all capabilities that a kernel may know, named or not.
pub(crate) fn numbers() -> std::ops::Range<u32> {
    0..64
}

/// Returns what a container may have, by docker's rules: `ALL` is applied first, names after it.
pub(crate) fn wanted(security: &Security) -> Result<CapabilitySet, UnknownCapability> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let named = |list: &[String]| {
        list.iter()
            .filter(|name| !is_all(name))
            .try_fold(CapabilitySet::empty(), |set, name| Ok(set | one(number(name)?)))
    };
    let (added, dropped) = (named(&security.cap_add)?, named(&security.cap_drop)?);
    if security.privileged {
        return Ok(all());
    }
    let defaults = named(&DEFAULT.map(str::to_owned))?;
    Ok(match (security.cap_add.iter().any(is_all), security.cap_drop.iter().any(is_all)) {
        (true, _) => all() - dropped,
        (false, true) => added,
        (false, false) => (defaults | added) - dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::wanted;
    use crate::spec::Security;

    fn bits(add: &[&str], drop: &[&str], privileged: bool) -> String {
        let list = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let security = Security {
            cap_add: list(add),
            cap_drop: list(drop),
            privileged,
            ..Security::default()
        };
        wanted(&security).map_or_else(|error| error.to_string(), |set| format!("{:x}", set.bits()))
    }

    #[test]
    fn sets_are_those_of_docker() {
        // docker run busybox grep CapBnd /proc/self/status
        assert_eq!(bits(&[], &[], false), "a80425fb");
        assert_eq!(bits(&["NET_ADMIN"], &[], false), "a80435fb");
        assert_eq!(bits(&["cap_sys_time"], &["CAP_KILL"], false), "aa0425db");
        assert_eq!(bits(&["net_bind_service"], &["all"], false), "400");
        assert_eq!(bits(&["ALL"], &["SYS_ADMIN"], false), "1ffffdfffff");
        assert_eq!(bits(&[], &["ALL"], true), "1ffffffffff");
        assert_eq!(bits(&["FLY"], &[], false), "there is no capability \"FLY\"");
    }
}
