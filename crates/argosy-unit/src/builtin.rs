//! Unit names that exist without a file: what every machine offers.

use argosy_model::UnitName;

/// Services this system offers by itself. `docker.service` is the container engine.
const SERVICES: [&str; 1] = ["docker.service"];

/// The targets of systemd.special(7) for system managers: all are reached here at once.
const TARGETS: [&str; 41] = [
    "basic",
    "boot-complete",
    "cryptsetup",
    "cryptsetup-pre",
    "default",
    "emergency",
    "exit",
    "final",
    "first-boot-complete",
    "getty",
    "getty-pre",
    "graphical",
    "halt",
    "integritysetup",
    "kexec",
    "local-fs",
    "local-fs-pre",
    "machines",
    "multi-user",
    "network",
    "network-online",
    "network-pre",
    "nss-lookup",
    "nss-user-lookup",
    "paths",
    "poweroff",
    "reboot",
    "remote-cryptsetup",
    "remote-fs",
    "remote-fs-pre",
    "rescue",
    "rpcbind",
    "shutdown",
    "slices",
    "sockets",
    "swap",
    "sysinit",
    "time-set",
    "time-sync",
    "timers",
    "umount",
];

/// Tells whether `name` exists on every machine without a file: `docker.service` and the
/// well-known targets, all of them active from the start.
pub fn is_builtin(name: &UnitName) -> bool {
    let text = name.as_str();
    SERVICES.contains(&text)
        || text.strip_suffix(".target").is_some_and(|stem| TARGETS.contains(&stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_and_the_targets_are_there_and_nothing_else() {
        let is = |text: &str| is_builtin(&UnitName::new(text).unwrap());
        assert!(is("docker.service"));
        assert!(is("multi-user.target"));
        assert!(is("network-online.target"));
        assert!(!is("docker.socket"));
        assert!(!is("multi-user.service"));
        assert!(!is("my.target"));
    }

    #[test]
    fn targets_are_sorted_so_that_a_reader_finds_them() {
        assert!(TARGETS.is_sorted());
    }
}
