//! The end of the process, when going on could break a promise already given.

use std::io::Write as _;

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
