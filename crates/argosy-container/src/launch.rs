//! Becoming the container's program: user, limits, capabilities, filter, and the program itself.
//! The same for a container's first process and for those that are executed in it later.

mod execute;
mod init;
mod pause;
mod rlimits;

use std::fs::{self, File};

use rustix::fs::{FileType, Gid, Uid, fchown, fstat};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::clamped::Clamped;
use crate::link::{FromChild, Link, ToChild};
use crate::process::{set_variable, variable};
use crate::spec::{ContainerSpec, PodPart, Process, Ulimit};
use crate::sys::FilterStep;
use crate::user::{self, Identity};
use crate::{ContainerError, StartFailure, capabilities, seccomp};

/// The device number of `/dev/null`, whose owner is nobody's business.
const NULL: (u32, u32) = (1, 3);

/// A program and all that it may do.
#[derive(Debug)]
pub(crate) struct Launch {
    process: Process,
    capabilities: CapabilitySet,
    filter: Option<Vec<FilterStep>>,
    no_new_privileges: bool,
    ulimits: Vec<Ulimit>,
    oom_score_adj: Option<i32>,
    /// Whether an init of ours comes first.
    init: bool,
    /// Whether it only waits, and nothing is executed.
    pause: bool,
    /// What it hears meanwhile of those for whom it waits.
    pub(crate) company: Option<File>,
}

/// What an executed process may have beyond or below what its container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Extra {
    pub(crate) privileged: bool,
}

impl Launch {
    /// Decides for a container's first process.
    pub(crate) fn first(spec: &ContainerSpec) -> Result<Launch, ContainerError> {
        let launch = Launch::of(spec, spec.process.clone(), Extra::default())?;
        let pause = matches!(spec.pod, Some(PodPart::Holder { .. }));
        Ok(Launch { init: spec.init, pause, ..launch })
    }

    /// Decides for any process in a container.
    pub(crate) fn of(
        spec: &ContainerSpec,
        process: Process,
        extra: Extra,
    ) -> Result<Launch, ContainerError> {
        if process.args.is_empty() {
            return Err(ContainerError::Refused { what: crate::NoCommand.to_string() });
        }
        let mut security = spec.security.clone();
        security.privileged |= extra.privileged;
        let wanted = capabilities::wanted(&security)?;
        let filter = match security.privileged {
            true => None,
            false => seccomp::filter_of(&security.seccomp, wanted)?,
        };
        Ok(Launch {
            process,
            capabilities: wanted,
            filter,
            no_new_privileges: security.no_new_privileges,
            ulimits: spec.ulimits.clone(),
            oom_score_adj: spec.oom_score_adj,
            init: false,
            pause: false,
            company: None,
        })
    }

    /// Does, within the container, what can still be reported; tells the monitor and waits for its
    /// order; then becomes the program. Returns only if that fails.
    pub(crate) fn run(mut self, link: &Link, mut clamped: Vec<Clamped>) -> StartFailure {
        match self.prepare(link, &mut clamped) {
            Ok(identity) if self.pause => pause::run(&self, &identity, link),
            Ok(identity) if self.init => init::run(&self, &identity, link),
            Ok(identity) => execute::execute(&self, &identity, link),
            Err(failure) => failure,
        }
    }

    fn prepare(
        &mut self,
        link: &Link,
        clamped: &mut Vec<Clamped>,
    ) -> Result<Identity, StartFailure> {
        let (passwd, group) = user::files();
        let identity = user::find(&self.process.user, &self.process.groups, &passwd, &group)
            .map_err(StartFailure::at("find the user"))?;
        if variable(&self.process.env, "HOME").is_none_or(str::is_empty) {
            set_variable(&mut self.process.env, &format!("HOME={}", identity.home));
        }
        rlimits::set(&self.ulimits, clamped)?;
        if let Some(wanted) = self.oom_score_adj {
            set_oom_score(wanted, clamped);
        }
        self.clamp_capabilities(clamped)?;
        link.send(&FromChild::Ready(std::mem::take(clamped)))
            .map_err(StartFailure::at("tell the monitor"))?;
        link.expect(ToChild::Execute)?;
        give_stdio(&identity);
        Ok(identity)
    }

    /// Leaves out what this process does not have itself.
    fn clamp_capabilities(&mut self, clamped: &mut Vec<Clamped>) -> Result<(), StartFailure> {
        let own = rustix::thread::capabilities(None)
            .map_err(StartFailure::at("look at the capabilities"))?
            .permitted;
        let missing = self.capabilities - own;
        if !missing.is_empty() {
            let list = capabilities::names(missing);
            let reason = "the engine does not have them itself here";
            clamped.push(Clamped::new("cap-add", list, "none of these", reason));
            self.capabilities &= own;
        }
        Ok(())
    }
}

fn set_oom_score(wanted: i32, clamped: &mut Vec<Clamped>) {
    const FILE: &str = "/proc/self/oom_score_adj";
    if let Err(error) = fs::write(FILE, wanted.to_string()) {
        let given = fs::read_to_string(FILE).unwrap_or_default();
        clamped.push(Clamped::new("oom-score-adj", wanted, given.trim(), error));
    }
}

/// Lets a process that is not root open its own standard output again by name.
fn give_stdio(identity: &Identity) {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for stream in streams {
        let Ok(status) = fstat(stream) else { continue };
        let device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
        let own = match FileType::from_raw_mode(status.st_mode) {
            FileType::Fifo => true,
            FileType::CharacterDevice => device != NULL,
            _ => false,
        };
        if own && status.st_uid != identity.uid {
            // Somebody else's file stays so: then it is only opened as it was passed.
            let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(status.st_gid));
            let _ = fchown(stream, Some(uid), Some(gid));
        }
    }
}
