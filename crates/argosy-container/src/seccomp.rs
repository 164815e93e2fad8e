//! Filters of system calls: docker's default profile, or one in docker's format.

mod assembler;
mod default_profile;
mod json;
mod syscalls;

use std::fs;
use std::path::PathBuf;

use rustix::thread::CapabilitySet;

use crate::spec::SeccompChoice;
use crate::sys::FilterStep;

pub(crate) use default_profile::default_profile;
use syscalls::Table;

/// Longest filter the kernel takes (BPF_MAXINSNS).
const STEPS_MAX: usize = 4096;

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    /// It fails with this error.
    Errno(u16),
    KillThread,
    KillProcess,
    Trap,
    Log,
    Trace(u16),
}

/// A condition about one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) index: u8,
    pub(crate) test: Test,
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    /// `argument & mask == value`.
    Masked {
        mask: u64,
        value: u64,
    },
}

/// One line of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) names: Vec<String>,
    pub(crate) action: Action,
    /// All of these have to hold.
    pub(crate) conditions: Vec<Condition>,
    pub(crate) when: When,
}

/// For which containers and machines a rule is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct When {
    /// The container has all of these capabilities.
    pub(crate) capabilities: Vec<u32>,
    /// It has none of these.
    pub(crate) no_capabilities: Vec<u32>,
    /// One of these machines; any if empty.
    pub(crate) machines: Vec<String>,
    pub(crate) no_machines: Vec<String>,
    /// The oldest kernel, as major and minor version.
    pub(crate) kernel: Option<(u32, u32)>,
}

/// A whole profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) default: Action,
    /// Whether calls of the machine's 32-bit programs are judged too. If not, they end the process.
    pub(crate) compatible: bool,
    pub(crate) rules: Vec<Rule>,
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    #[error("cannot read the seccomp profile {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the seccomp profile {path} is no profile in docker's format")]
    Syntax { path: PathBuf, source: serde_json::Error },
    #[error("the seccomp profile {path}: {what} is not supported")]
    Unsupported { path: PathBuf, what: String },
    #[error("the seccomp profile makes {steps} instructions, at most {STEPS_MAX} are possible")]
    TooLarge { steps: usize },
}

/// Makes the filter for a container with these capabilities; `None` is no filter.
pub(crate) fn filter_of(
    choice: &SeccompChoice,
    capabilities: CapabilitySet,
) -> Result<Option<Vec<FilterStep>>, SeccompError> {
    let profile = match choice {
        SeccompChoice::Unconfined => return Ok(None),
        SeccompChoice::Default => default_profile(),
        SeccompChoice::File(path) => {
            let text = fs::read_to_string(path)
                .map_err(|source| SeccompError::Read { path: path.clone(), source })?;
            json::parse(&text, path)?
        }
    };
    let steps = assembler::assemble(&profile, &Table::new(), capabilities, kernel());
    if steps.len() > STEPS_MAX {
        return Err(SeccompError::TooLarge { steps: steps.len() });
    }
    Ok(Some(steps))
}

/// Returns the kernel's version.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(|it| it.parse().ok());
    let mut next = || numbers.next().flatten().unwrap_or(0);
    (next(), next())
}

impl When {
    /// Tells whether a rule is for this container on this machine.
    fn holds(&self, capabilities: CapabilitySet, kernel: (u32, u32)) -> bool {
        let has = |number: &u32| capabilities.contains(crate::capabilities::one(*number));
        let machine = |it: &String| it == syscalls::MACHINE;
        self.capabilities.iter().all(has)
            && !self.no_capabilities.iter().any(has)
            && (self.machines.is_empty() || self.machines.iter().any(machine))
            && !self.no_machines.iter().any(machine)
            && self.kernel.is_none_or(|oldest| kernel >= oldest)
    }
}

#[cfg(test)]
mod tests;
