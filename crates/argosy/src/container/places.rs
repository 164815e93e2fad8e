//! Where the engine keeps things: the machine's containers in the machine's directories, those of an
//! ordinary user in his own.
//!
//! A user's place depends on nothing but his home: whether he is logged in, or a unit with `User=`
//! runs as him, it is the same engine. Hence what does not outlive a boot is below it, too, and not in
//! `/run/user`, which comes and goes with his sessions.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::args::{DATA_DIR, Global};
use crate::failure::{Exit, Failure};

/// Below a user's home, unless `XDG_DATA_HOME` names another place.
const IN_HOME: &str = ".local/share";

/// Returns the data directory: `given`, unless that is the machine's by default, which an ordinary
/// user cannot have.
pub(crate) fn data_dir(given: &Path) -> Result<PathBuf, Failure> {
    if given != Path::new(DATA_DIR) || rustix::process::geteuid().is_root() {
        return Ok(given.to_owned());
    }
    let own = own_data_dir(|name| std::env::var_os(name));
    // Variables of containers are secrets, and their files may have rights of their own.
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    let made = own.and_then(|path| match private.create(&path) {
        Ok(()) => Ok(path),
        Err(error) => Err(format!("cannot make {}: {error}", path.display())),
    });
    made.map_err(|why| {
        let uid = rustix::process::geteuid().as_raw();
        let message = format!("the user {uid} has no place for containers of his own: {why}");
        Failure::new(Exit::BadInput, message).with_help(
            "name a directory that he may write by ARGOSY_DATA_DIR or --data-dir; in a unit \
             either by Environment=ARGOSY_DATA_DIR=DIR, or leave User= out, and \
             write docker run --user",
        )
    })
}

fn own_data_dir(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, String> {
    let path = |name| variable(name).map(PathBuf::from).filter(|it| it.is_absolute());
    if let Some(data) = path("XDG_DATA_HOME") {
        return Ok(data.join("argosy"));
    }
    match path("HOME") {
        Some(home) if home.parent().is_some() => Ok(home.join(IN_HOME).join("argosy")),
        _ => Err("HOME names no directory".to_owned()),
    }
}

/// Returns where what does not outlive a boot is kept. Units are told where the machine's sockets are;
/// a directory of somebody else's is no place for a user's containers.
pub(super) fn runtime_dir(global: &Global, data_dir: &Path) -> PathBuf {
    let uid = rustix::process::geteuid();
    let is_anothers =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|it| it.uid() != uid.as_raw());
    match &global.runtime_dir {
        _ if uid.is_root() => global.runtime_dir(),
        Some(given) if !is_anothers(given) => given.clone(),
        _ => data_dir.join("run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_his_engine_in_his_home() {
        let found = |variables: &[(&str, &str)]| {
            let value = |name: &str| variables.iter().find(|it| it.0 == name).map(|it| it.1.into());
            own_data_dir(value).map(|path| path.display().to_string())
        };
        assert_eq!(found(&[("HOME", "/home/a")]).unwrap(), "/home/a/.local/share/argosy");
        assert_eq!(
            found(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "/srv/a")]).unwrap(),
            "/srv/a/argosy"
        );
        for none in ["/", "", "relative"] {
            assert!(found(&[("HOME", none)]).unwrap_err().contains("HOME"), "{none:?}");
        }
    }
}
