//! Capabilities, filters and hidden paths.

use argosy_container::{MASKED_PATHS, READ_ONLY_PATHS, SeccompChoice, Security};

use super::bad;
use crate::args::ContainerRun;
use crate::failure::Failure;

pub(super) fn security(options: &ContainerRun) -> Result<Security, Failure> {
    let mut security = Security {
        cap_add: options.cap_add.clone(),
        cap_drop: options.cap_drop.clone(),
        privileged: options.privileged,
        ..Security::default()
    };
    let list = |paths: &[&str]| paths.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let (mut masked, mut read_only) = (list(MASKED_PATHS), list(READ_ONLY_PATHS));
    for option in &options.security_opt {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((option, "true"));
        match (name, value) {
            ("no-new-privileges", "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("seccomp", "unconfined") => security.seccomp = SeccompChoice::Unconfined,
            ("seccomp", path) => security.seccomp = SeccompChoice::File(path.into()),
            ("mask", paths) => masked.extend(paths.split(':').map(str::to_owned)),
            ("unmask", "ALL") => {
                masked.clear();
                read_only.clear();
            }
            ("unmask", paths) => {
                for path in paths.split(':') {
                    masked.retain(|it| it != path);
                    read_only.retain(|it| it != path);
                }
            }
            // There are no security modules here that know labels.
            ("label" | "apparmor", _) => {}
            _ => {
                let help = "there are no-new-privileges, seccomp=unconfined, seccomp=FILE, \
                            mask=PATHS and unmask=PATHS";
                return Err(bad(format!("--security-opt {option} is not supported"), help));
            }
        }
    }
    security.masked_paths = (masked != MASKED_PATHS).then_some(masked);
    security.read_only_paths = (read_only != READ_ONLY_PATHS).then_some(read_only);
    Ok(security)
}
