//! The end of the process, when going on could break a promise already given.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Where the reason is left beside standard error, if anywhere.
static LAST_WORDS: OnceLock<PathBuf> = OnceLock::new();

/// Has the reason written to a file, too, when the store ends the process. The first call counts.
pub fn leave_last_words(path: PathBuf) {
    drop(LAST_WORDS.set(path));
}

/// Writes one line to standard error and aborts the process.
///
/// After a failed sync the kernel may have dropped the very pages that failed, so neither a
/// retry nor an orderly shutdown (which would sync again, and succeed) tells the truth. A
/// restart reads back what is really on the disk.
pub(crate) fn abort(what: &str, source: &dyn std::error::Error) -> ! {
    let mut line = format!("argosy: fatal: {what}: {source}");
    let mut cause = source.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.push('\n');
    // One write, so that the line stays whole beside the output of other threads. Standard
    // error may be closed; there is nobody left to tell then.
    drop(std::io::stderr().write_all(line.as_bytes()));
    if let Some(path) = LAST_WORDS.get() {
        let words = line.trim_start_matches("argosy: fatal: ");
        // Whoever cannot read it there still finds standard error.
        drop(std::fs::write(path, words));
    }
    std::process::abort()
}

/// Held by a thread or task of the store, it ends the process when that panics. The others
/// could not notice, and would go on with a store that never answers; the panic's own message
/// has been printed.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    //! The test ends its own process, so it runs itself in another one.

    use std::process::Command;

    use super::*;

    const PATH: &str = "ARGOSY_TEST_LAST_WORDS";

    #[test]
    fn the_reason_is_left_where_it_is_looked_for() {
        if let Some(path) = std::env::var_os(PATH) {
            leave_last_words(path.into());
            abort("the disk failed", &std::io::Error::other("no space"));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words");
        let name = "fatal::tests::the_reason_is_left_where_it_is_looked_for";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output =
            child.args(["--exact", name, "--nocapture"]).env(PATH, &path).output().unwrap();
        assert!(!output.status.success());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "the disk failed: no space\n");
    }
}
