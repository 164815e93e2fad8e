//! Containers whose monitors are still setting them up, which may take a while: a new volume is
//! filled, for example.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

use super::Containers;
use crate::record::RunRecord;
use crate::spec::ContainerId;
use crate::{ContainerError, sys};

/// How often it is looked whether a container runs by now: most do after some milliseconds.
const LOOK: Duration = Duration::from_millis(5);

impl Containers {
    fn setting_up(&self, id: &ContainerId) -> Result<Option<RunRecord>, ContainerError> {
        Ok(self.run_record(id)?.filter(RunRecord::is_setting_up))
    }

    /// Waits until a container that is being set up runs, or will not.
    pub(super) fn wait_set_up(&self, id: &ContainerId) -> Result<(), ContainerError> {
        while self.setting_up(id)?.is_some() {
            sleep(LOOK);
        }
        Ok(())
    }

    /// Sends a container that is being set up a signal, which comes to it once it runs; if it does not
    /// within the grace, its monitor is killed, and the container with it.
    pub(super) fn give_up(
        &self,
        id: &ContainerId,
        signal: i32,
        grace: Duration,
    ) -> Result<(), ContainerError> {
        let Some(run) = self.setting_up(id)? else { return Ok(()) };
        let until = Instant::now() + grace;
        let monitor = run.monitor.open();
        let send = |signal| {
            let failed = ContainerError::system("signal the container's monitor");
            match monitor.as_ref().map(|it| pidfd_send_signal(it, signal)) {
                // It has ended meanwhile.
                None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
                Some(Err(error)) => Err(failed(error.into())),
            }
        };
        if let Some(signal) = sys::signal(signal) {
            send(signal)?;
        }
        while self.setting_up(id)?.is_some() {
            if Instant::now() >= until {
                return send(Signal::KILL);
            }
            sleep(LOOK);
        }
        Ok(())
    }
}
