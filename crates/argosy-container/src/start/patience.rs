//! How long a setup is waited for, and what becomes of one that takes longer.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::StartFailure;
use crate::spec::{ContainerSpec, Mount, MountKind};
use crate::store::KILLED_MAX;

/// How long the setup of a container may take, or that of a process in one. It asks the kernel for a
/// hundred things, each of which takes less than a millisecond; a minute is for a machine that is
/// about to give up, and a disk that spins up.
pub(crate) const SETUP_MAX: Duration = Duration::from_secs(60);
/// The same where a new volume may first have to be filled: with gigabytes, on a slow disk.
const FILLING_MAX: Duration = Duration::from_secs(3600);
/// How often the end of a process is looked for that was killed.
const LOOK: Duration = Duration::from_millis(1);

/// Returns how long a setup may take.
pub(super) fn setup_max(spec: &ContainerSpec) -> Duration {
    let fills = |it: &Mount| matches!(it.kind, MountKind::Bind { copy_up: true, .. });
    if spec.mounts.iter().any(fills) { FILLING_MAX } else { SETUP_MAX }
}

/// Says why a process that is being set up was not heard.
pub(crate) fn talk_failed(error: &io::Error, patience: Duration) -> StartFailure {
    if error.kind() != io::ErrorKind::TimedOut {
        return StartFailure::new("talk to the container", error);
    }
    let reason = format!(
        "it was not done after {} s, and was given up; look for a file system, of the image or of a \
         mount, that does not answer",
        patience.as_secs()
    );
    StartFailure::new("set up the container", reason)
}

/// Ends a process that did not become a container, and collects it. One that hangs in the kernel is
/// left to it: whoever waits for this one is told why.
pub(crate) fn kill(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let _ = kill_process(pid, Signal::KILL);
    let until = Instant::now() + KILLED_MAX;
    while matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) && Instant::now() < until {
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::{FILLING_MAX, SETUP_MAX, setup_max, talk_failed};
    use crate::spec::{ContainerId, ContainerSpec, Mount, MountKind, Process, Root};

    #[test]
    fn a_volume_that_may_have_to_be_filled_is_waited_for_longer() {
        let root = Root::Directory("/".into());
        let id = ContainerId::new("c").unwrap();
        let mut spec = ContainerSpec::new(id, root, Process::default());
        spec.mounts.push(Mount::bind("/srv", "/srv"));
        assert_eq!(setup_max(&spec), SETUP_MAX);
        if let MountKind::Bind { copy_up, .. } = &mut spec.mounts[0].kind {
            *copy_up = true;
        }
        assert_eq!(setup_max(&spec), FILLING_MAX);
    }

    #[test]
    fn a_setup_that_hangs_is_told_from_one_that_cannot_be_heard() {
        let told =
            |kind: io::ErrorKind| talk_failed(&kind.into(), Duration::from_secs(60)).to_string();
        assert!(told(io::ErrorKind::TimedOut).contains("not done after 60 s"));
        assert!(told(io::ErrorKind::BrokenPipe).starts_with("cannot talk to the container"));
    }
}
