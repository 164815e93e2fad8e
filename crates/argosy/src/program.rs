//! Where the program is on disk, also after another version has been put in its place.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The program that runs, whatever lies where it came from.
pub(crate) const RUNNING: &str = "/proc/self/exe";

/// What proc(5) adds to the path of a program that was removed or replaced.
const DELETED: &[u8] = b" (deleted)";

/// Returns the path that this program was started from, if there still is a program: another
/// version, perhaps. Else the one that runs.
pub(crate) fn on_disk() -> PathBuf {
    let path = std::fs::read_link(RUNNING).map(without_mark);
    path.ok().filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(RUNNING))
}

/// How long a program may take to say its version.
const VERSION_MAX: Duration = Duration::from_secs(10);

/// Tries whether a program runs on this machine: half a copy does not, nor one for another processor.
pub(crate) async fn check(program: &Path) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(VERSION_MAX, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {} s", VERSION_MAX.as_secs())),
    };
    match output.status.success() && output.stdout.starts_with(b"argosy ") {
        true => Ok(()),
        false => Err(format!("{}, and it does not say that it is argosy", output.status)),
    }
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
