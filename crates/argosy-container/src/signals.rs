//! What signals do to a process that says nothing of them.

/// Tells whether a signal ends a process that says nothing of it (signal(7)).
pub(crate) fn ends_by_default(signal: i32) -> bool {
    !matches!(
        signal,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGURG
            | libc::SIGWINCH
    )
}
