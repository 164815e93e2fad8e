//! What can go wrong.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Mode;

/// Why something was not done with a testbed.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// A name that cannot be part of paths and host names.
    #[error("{name:?} is not a name: 1 to 20 characters of a-z, 0-9 and - are")]
    Name { name: String },
    /// The directory of testbeds is not a private directory of this user.
    #[error("{} is not a directory that only this user can write", path.display())]
    NotPrivate { path: PathBuf },
    /// Something could not be done to a file.
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// A testbed of that name runs already.
    #[error("the testbed {name} runs already; destroy it first or take another name")]
    RunsAlready { name: String },
    /// No testbed of that name runs.
    #[error("no testbed {name} runs")]
    NotRunning { name: String },
    /// The switch process could not be started.
    #[error("cannot start {} as the testbed's switch", program.display())]
    StartSwitch { program: PathBuf, source: io::Error },
    /// The program ended, or went on, without becoming the switch.
    #[error(
        "{} did not become the testbed's switch; it must call hidden_role first in main",
        program.display()
    )]
    NotASwitch { program: PathBuf },
    /// No mode that the caller accepts works here.
    #[error("no accepted kind of testbed works here: {}", reasons(tried))]
    NoMode { tried: Vec<(Mode, Refusal)> },
    /// The switch did not keep to the protocol, most likely because it is gone.
    #[error("cannot talk to the testbed's switch")]
    Talk { source: io::Error },
    /// The switch refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The caller's terminal could not be prepared or carried.
    #[error("cannot carry the terminal")]
    Terminal { source: io::Error },
    /// A signal could not be sent to a process of a machine.
    #[error("cannot signal process {pid}")]
    Signal { pid: u32, source: io::Error },
}

fn reasons(tried: &[(Mode, Refusal)]) -> String {
    tried.iter().map(|(mode, why)| format!("{mode}: {why}")).collect::<Vec<_>>().join("; ")
}

/// Why the switch refused a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// This user may make no namespace.
    #[error(
        "user and network namespaces are denied to this user (sysctl user.max_user_namespaces, \
         user.max_net_namespaces, kernel.unprivileged_userns_clone)"
    )]
    NamespacesDenied,
    /// No machine has that name.
    #[error("there is no machine {machine}")]
    NoSuchMachine { machine: String },
    /// A machine has that name already.
    #[error("there is a machine {machine} already")]
    MachineExists { machine: String },
    /// Not a name for a machine.
    #[error("{machine:?} is not a name: 1 to 20 characters of a-z, 0-9 and - are")]
    BadName { machine: String },
    /// Every address is taken.
    #[error("a testbed has at most {limit} machines")]
    TooManyMachines { limit: usize },
    /// The machine must run for this.
    #[error("machine {machine} does not run")]
    NotRunning { machine: String },
    /// The machine must be stopped for this.
    #[error("machine {machine} is not stopped")]
    NotStopped { machine: String },
    /// A frozen machine cannot do this.
    #[error("machine {machine} is paused")]
    IsPaused { machine: String },
    /// Loopback mode has no network of its own.
    #[error("a testbed in loopback mode cannot {operation}")]
    NotInLoopback { operation: String },
    /// A percentage above 100, or one machine as both ends.
    #[error("{what}")]
    Meaningless { what: String },
    /// More requests or forwards at once than the switch holds.
    #[error("too many {what}: at most {limit}")]
    TooMany { what: String, limit: usize },
    /// The testbed is being destroyed.
    #[error("the testbed is being destroyed")]
    Ending,
    /// The machine's init ended before the machine was ready.
    #[error("the init of machine {machine} ended while it started")]
    InitEnded { machine: String },
    /// The system refused a step.
    #[error("cannot {step}: {}", io::Error::from_raw_os_error(*errno))]
    System { step: String, errno: i32 },
}

impl Refusal {
    /// A step that the system refused.
    pub(crate) fn system(step: impl Into<String>, error: &io::Error) -> Refusal {
        Refusal::System { step: step.into(), errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }
}
