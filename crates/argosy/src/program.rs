//! Where the program is on disk, also after another version has been put in its place.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The program that runs, whatever lies where it came from.
const RUNNING: &str = "/proc/self/exe";

/// What proc(5) adds to the path of a program that was removed or replaced.
const DELETED: &[u8] = b" (deleted)";

/// Returns the path that this program was started from, if there still is a program: another
/// version, perhaps. Else the one that runs.
pub(crate) fn on_disk() -> PathBuf {
    let path = std::fs::read_link(RUNNING).map(without_mark);
    path.ok().filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(RUNNING))
}

fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(path) => Path::new(OsStr::from_bytes(path)).to_owned(),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_found_where_it_was() {
        let path = |text: &str| without_mark(PathBuf::from(text));
        assert_eq!(path("/usr/bin/argosy (deleted)"), Path::new("/usr/bin/argosy"));
        assert_eq!(path("/usr/bin/argosy"), Path::new("/usr/bin/argosy"));
        assert!(on_disk().is_file());
    }
}
