//! What specifiers of unit files stand for on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use argosy_unit::{OsRelease, Specifiers};

use crate::accounts::Accounts;

/// What is known of the machine, and where its id is found once it has one.
#[derive(Debug)]
pub(crate) struct MachineFacts {
    id: PathBuf,
    known: Specifiers,
}

impl MachineFacts {
    pub(crate) fn read(data_dir: &Path) -> MachineFacts {
        let known = specifiers(&Accounts::read("/etc".as_ref()));
        MachineFacts { id: data_dir.join("id"), known }
    }

    /// What specifiers stand for now. As long as the machine has no id, which the daemon makes
    /// at its first start, that is empty.
    pub(crate) fn now(&self) -> Specifiers {
        let machine_id = hexadecimal(&self.id).unwrap_or_default();
        Specifiers { machine_id, ..self.known.clone() }
    }
}

/// Asks this machine; what cannot be had keeps its sample.
fn specifiers(accounts: &Accounts) -> Specifiers {
    let mut facts = Specifiers::default();
    let system = rustix::system::uname();
    facts.machine_name = system.nodename().to_string_lossy().into_owned();
    facts.kernel_release = system.release().to_string_lossy().into_owned();
    facts.architecture = match system.machine().to_string_lossy().as_ref() {
        "x86_64" => "x86-64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    if let Some(id) = hexadecimal(Path::new("/proc/sys/kernel/random/boot_id")) {
        facts.boot_id = id;
    }
    let uid = rustix::process::geteuid().as_raw();
    if let Some(user) = accounts.user(&uid.to_string()) {
        facts.user = user.name;
        facts.user_id = uid;
        facts.group_id = user.gid;
        facts.home = user.home;
        facts.shell = user.shell;
    }
    facts.os_release = os_release();
    facts
}

/// The first 32 hexadecimal digits of a file, dashes left out.
fn hexadecimal(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    (digits.len() == 32).then_some(digits)
}

fn os_release() -> OsRelease {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    OsRelease {
        id: field("ID"),
        version_id: field("VERSION_ID"),
        build_id: field("BUILD_ID"),
        variant_id: field("VARIANT_ID"),
        image_id: field("IMAGE_ID"),
        image_version: field("IMAGE_VERSION"),
    }
}
