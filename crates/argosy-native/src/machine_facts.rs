//! What specifiers of unit files stand for on this machine.

use std::fs;
use std::path::Path;

use argosy_unit::{OsRelease, Specifiers};

/// Asks this machine; what cannot be had keeps its sample.
pub(crate) fn specifiers(data_dir: &Path, accounts: &crate::accounts::Accounts) -> Specifiers {
    let mut facts = Specifiers::default();
    let system = rustix::system::uname();
    facts.machine_name = system.nodename().to_string_lossy().into_owned();
    facts.kernel_release = system.release().to_string_lossy().into_owned();
    facts.architecture = match system.machine().to_string_lossy().as_ref() {
        "x86_64" => "x86-64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    if let Some(id) = hexadecimal(&data_dir.join("id")) {
        facts.machine_id = id;
    }
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
