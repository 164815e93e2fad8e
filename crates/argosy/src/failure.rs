//! How a command fails: what it says, what it advises, and its exit status.

use std::error::Error;

use std::path::Path;

pub(crate) use argosy_api::chain;
use argosy_api::{ApiError, ClientError, ErrorCode};

use crate::daemon::LAST_WORDS;
use crate::session::{API_SOCKET, SUPERVISOR_SOCKET};

/// Exit statuses, documented in `docs/commands.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Bad input, or anything without a status of its own.
    BadInput = 1,
    /// The cluster or the supervisor refused.
    Refused = 2,
    /// There is no such unit (`journal`, as systemctl's `status`).
    UnknownUnit = 4,
    /// The cluster or the supervisor is not reachable (EX_TEMPFAIL of sysexits.h).
    Unreachable = 75,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What, where and why.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) help: Option<String>,
    /// Already shown to the user in full.
    pub(crate) shown: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), help: None, shown: false }
    }

    /// Makes a failure from an error and all its causes.
    pub(crate) fn from_error(exit: Exit, error: &dyn Error) -> Failure {
        Failure::new(exit, chain(error))
    }

    /// Makes a failure whose diagnostics are printed already.
    pub(crate) fn shown(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { shown: true, ..Failure::new(exit, message) }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => refusal.into(),
            ClientError::Connect { ref server, ref source } => {
                let help = connect_help(server, source);
                Failure::from_error(Exit::Unreachable, &error).with_help(help)
            }
            ClientError::Silent { ref server, .. } => {
                let help = silent_help(server);
                Failure::from_error(Exit::Unreachable, &error).with_help(help)
            }
            ClientError::Broken { ref server, .. } => {
                let help = last_words(server);
                Failure { help, ..Failure::from_error(Exit::Unreachable, &error) }
            }
            ClientError::Answer { .. } => Failure::from_error(Exit::Refused, &error)
                .with_help("do the command and the daemon have the same version?"),
        }
    }
}

/// Returns what to do about a process that takes no notice of what it is asked.
fn silent_help(server: &str) -> &'static str {
    if server.ends_with(SUPERVISOR_SOCKET) {
        "what was asked for may still happen; if `argosy --local status` gets no answer either, the \
         supervisor hangs or is stopped: killed with SIGKILL it is started anew, and units run on"
    } else {
        "what was asked for may still happen; if `argosy status` gets no answer either, the daemon \
         hangs or is stopped: killed with SIGKILL it is started anew, and units run on \
         (`argosy --local status` asks the supervisor alone)"
    }
}

/// Returns what to do about a socket that does not answer: what the daemon last said, if it said
/// why it could not go on.
fn connect_help(server: &str, source: &std::io::Error) -> String {
    if server.contains(" of context ") {
        return "argosy context list shows its machines, argosy demo list how they are".into();
    }
    if source.kind() == std::io::ErrorKind::PermissionDenied {
        return "run the command as root, or as the user whose machine it is".into();
    }
    last_words(server).unwrap_or_else(|| {
        format!(
            "is `argosy supervisor` running? Name another socket with --socket, --runtime-dir or \
             --context if it is not {server}; `argosy demo` shows a cluster on this computer"
        )
    })
}

/// Returns why the daemon of a socket has ended, if it said so.
fn last_words(server: &str) -> Option<String> {
    let path = Path::new(server).with_file_name(LAST_WORDS);
    let words = std::fs::read_to_string(path).ok().filter(|_| server.ends_with(API_SOCKET))?;
    Some(format!("the daemon could not go on: {}", words.trim_end()))
}

impl From<ApiError> for Failure {
    fn from(refusal: ApiError) -> Self {
        let exit = match refusal.code {
            ErrorCode::BadInput => Exit::BadInput,
            ErrorCode::Unavailable | ErrorCode::TimedOut => Exit::Unreachable,
            ErrorCode::PermissionDenied
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::Internal => Exit::Refused,
        };
        Failure { exit, message: refusal.message, help: refusal.help, shown: false }
    }
}
