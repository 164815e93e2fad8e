//! The helper: a process of one thread that becomes the monitor of a container, or of a process in
//! one. The program starts itself again as this.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::exec::ExecSpec;
use crate::monitor::{Ended, Streams};
use crate::ready::Ready;
use crate::record;
use crate::spec::ContainerId;
use crate::store::Containers;
use crate::witness::Witness;
use crate::{ContainerError, seal, sys};

/// Descriptors from here on are none of a helper's business.
const FIRST_UNKNOWN: u32 = 3;

/// What a helper is to do: its one argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HelperRequest {
    /// Run a stored container, and stay until it has ended.
    Run { containers: Containers, id: ContainerId, options: RunOptions },
    /// Execute a process in one that runs.
    Exec {
        containers: Containers,
        id: ContainerId,
        streams: Streams,
        request: PathBuf,
        /// As with a run in the background.
        #[serde(default)]
        background: bool,
    },
}

/// How a container is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunOptions {
    pub streams: Streams,
    /// Whether nothing of it is left when it has ended.
    pub remove: bool,
    /// Whether the helper leaves its caller once the container has started: it says `started` on
    /// its standard input, which the caller has opened for that, and then has no streams.
    pub background: bool,
    /// Whether it leaves without its standard output and error: they are a unit's, and outlive the
    /// caller.
    pub keeps_output: bool,
    /// Whether what the container prints is kept beside it, for [`Containers::log`]. Then others can
    /// attach, too.
    pub log: bool,
    /// Whether and when a supervisor is told.
    pub ready: Option<Ready>,
    /// Whether a supervisor judges a unit by how the helper ends: an end that `stop` or `kill` asked
    /// for is to look like one.
    pub supervised: bool,
    /// The descriptor of the container's lock, which the caller has taken and leaves to the helper;
    /// [`Taken::request`](crate::Taken::request) says it.
    #[serde(default)]
    pub lock: Option<i32>,
}

/// What a helper in the background says when the container has started.
pub const STARTED: &str = "started\n";

impl HelperRequest {
    /// The same, but the helper leaves its caller once the process runs: it says [`STARTED`] on its
    /// standard input, and then has no streams. A run says so in its options.
    #[must_use]
    pub fn in_background(mut self) -> HelperRequest {
        match &mut self {
            HelperRequest::Run { options, .. } => options.background = true,
            HelperRequest::Exec { background, .. } => *background = true,
        }
        self
    }

    /// Returns the argument to start the helper with.
    pub fn argument(&self) -> Result<String, ContainerError> {
        let failed = |source| ContainerError::Record { path: "helper request".into(), source };
        serde_json::to_string(self).map_err(failed)
    }
}

impl Containers {
    /// Returns the request to run a container.
    pub fn run_request(&self, id: &ContainerId, options: RunOptions) -> HelperRequest {
        HelperRequest::Run { containers: self.clone(), id: id.clone(), options }
    }

    /// Returns the request to execute a process in a container. It goes through a file, since
    /// everybody can read arguments, and variables may be secrets; the helper removes it.
    pub fn exec_request(
        &self,
        id: &ContainerId,
        exec: &ExecSpec,
        streams: Streams,
    ) -> Result<HelperRequest, ContainerError> {
        self.running(id)?;
        let mut chance = [0; 8];
        rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| ContainerError::system("get random bytes")(error.into()))?;
        let request = self.run(id).join(format!("exec-{:016x}.json", u64::from_ne_bytes(chance)));
        record::write(&request, exec)?;
        let (containers, id) = (self.clone(), id.clone());
        Ok(HelperRequest::Exec { containers, id, streams, request, background: false })
    }
}

/// Is the helper: does what its argument says, tells the witness of the container that it runs, and ends
/// with the container's exit code.
pub fn helper_main(
    arguments: impl Iterator<Item = OsString>,
    witness: &mut dyn Witness,
) -> ExitCode {
    match seal::seal_own_program()
        .map_err(ContainerError::system("seal the helper's program"))
        .and_then(|()| run(arguments, witness))
    {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(
    mut arguments: impl Iterator<Item = OsString>,
    witness: &mut dyn Witness,
) -> Result<u8, ContainerError> {
    sys::close_on_exec_from(FIRST_UNKNOWN);
    let text = arguments.next().and_then(|it| it.into_string().ok()).unwrap_or_default();
    let failed = |source| ContainerError::Record { path: "helper request".into(), source };
    match serde_json::from_str(&text).map_err(failed)? {
        HelperRequest::Run { containers, id, options } => {
            let lock = options.lock.map(|number| containers.inherit(&id, number)).transpose()?;
            if options.background {
                // What else its caller has open, such as locks, is not for as long as it runs.
                match options.lock {
                    Some(lock) => sys::close_from_but(FIRST_UNKNOWN, lock),
                    None => sys::close_from(FIRST_UNKNOWN),
                }
            }
            let ended = containers.run_foreground(&id, options, lock, witness);
            if options.remove && !is_anothers(&ended) {
                match containers.delete(&id, true) {
                    Ok(by_us) => witness.removed(&containers, &id, by_us),
                    // Somebody else was first.
                    Err(ContainerError::NotFound { .. }) => {
                        witness.removed(&containers, &id, false);
                    }
                    // How the container ended is what the caller asked for.
                    Err(error) => complain(&error),
                }
            }
            let ended = ended?;
            ended.rest.pass_on();
            if let Some(signal) = ended.by {
                // A supervisor takes the unit for stopped, not for failed. A shell shows the same code
                // in either case.
                sys::end_by(signal);
            }
            Ok(ended.code)
        }
        HelperRequest::Exec { containers, id, streams, request, background } => {
            let missing = || ContainerError::NotRunning { id: id.clone() };
            let exec: ExecSpec = record::read(&request)?.ok_or_else(missing)?;
            fs::remove_file(&request).map_err(ContainerError::file("remove", &request))?;
            containers.exec_foreground(&id, exec, streams, background)
        }
    }
}

/// Tells whether a container was not run because it is in somebody else's hands.
fn is_anothers(ended: &Result<Ended, ContainerError>) -> bool {
    matches!(ended, Err(ContainerError::Running { .. } | ContainerError::Held { .. }))
}

/// Says something on the standard error.
fn say(text: &str) {
    // Nobody may be there to read it.
    drop(std::io::stderr().write_all(format!("argosy: {text}\n").as_bytes()));
}

/// Says what went wrong and why.
fn complain(error: &ContainerError) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    say(&text);
}
