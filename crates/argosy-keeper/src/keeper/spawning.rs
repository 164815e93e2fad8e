//! Starting a unit's process: pipes, group, notify socket, fork.

use std::ffi::NulError;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::Keeper;
use super::output::Pipe;
use super::poller::Source;
use super::unit::{Process, UnitGroup};
use crate::exec::{Ends, Prepared, SpawnError};
use crate::procfs::start_ticks;
use crate::{EventKind, ExecStep, Output, SpawnId, SpawnRecord, Stdin, Stream};

/// Wanted capacity of an output pipe: what a unit can print while the keeper is busy. The kernel
/// may grant less (pipe(7), `pipe-max-size`, `pipe-user-pages-soft`).
const PIPE_SIZE: usize = 256 << 10;

/// The keeper's ends of a process's pipes.
#[derive(Debug)]
struct OwnEnds {
    report: OwnedFd,
    outputs: Vec<(Stream, OwnedFd)>,
}

impl Keeper {
    /// Starts a process and logs how that went. An id used before is ignored.
    pub(super) fn spawn(&mut self, record: &SpawnRecord) {
        if record.spawn_id <= self.last_spawn_id {
            return;
        }
        self.last_spawn_id = record.spawn_id;
        if let Err(SpawnError { step, errno }) = self.try_spawn(record) {
            let spawn_id = record.spawn_id;
            self.push_event(EventKind::SpawnFailed { spawn_id, step, errno });
            self.check_group(&record.unit);
        }
    }

    fn try_spawn(&mut self, record: &SpawnRecord) -> Result<(), SpawnError> {
        let failed = |step| move |error: io::Error| SpawnError::new(step, &error);
        if !self.children_are_wanted() {
            // What is left is being killed.
            return Err(SpawnError { step: ExecStep::Fork, errno: libc::ECANCELED });
        }
        if record.fenced && !self.may_start(record.ordered_at) {
            return Err(SpawnError { step: ExecStep::Fence, errno: libc::ECANCELED });
        }
        if record.fenced && self.driver.mode() == crate::GroupMode::ProcessTree {
            // Nobody could be sure that all of it is gone when the grant is over.
            return Err(SpawnError { step: ExecStep::Fence, errno: libc::EOPNOTSUPP });
        }
        self.open_group(record)?;
        self.note_fence(&record.unit, record.fenced).map_err(failed(ExecStep::Cgroup))?;
        let journal = [&record.stdout, &record.stderr].contains(&&Output::Journal);
        if journal {
            self.ensure_spool(&record.unit).map_err(failed(ExecStep::Fork))?;
        }
        let notify = match record.notify {
            true => Some(self.ensure_notify(&record.unit).map_err(failed(ExecStep::Fork))?),
            false => None,
        };
        let (own, theirs) = make_ends(record).map_err(failed(ExecStep::Fork))?;
        let invalid = |_: NulError| SpawnError { step: ExecStep::Exec, errno: libc::EINVAL };
        let prepared =
            Prepared::unit(record, notify.as_deref(), theirs, self.nofile).map_err(invalid)?;
        let group = self.units.get(&record.unit).and_then(|unit| unit.group.as_ref());
        let entry = match group {
            Some(group) => Some(group.group.entry().map_err(failed(ExecStep::Cgroup))?),
            None => None,
        };
        let pid = prepared.spawn(entry)?;
        self.register(record, pid, own);
        Ok(())
    }

    /// Makes sure that the unit has a group that takes processes.
    fn open_group(&mut self, record: &SpawnRecord) -> Result<(), SpawnError> {
        let step = match self.driver.mode() {
            crate::GroupMode::PidNamespace => ExecStep::Namespace,
            _ => ExecStep::Cgroup,
        };
        let failed = |error: io::Error| SpawnError::new(step, &error);
        let closed = self.units.get(&record.unit).and_then(|unit| unit.group.as_ref());
        if closed.is_some_and(|group| !group.group.is_open()) {
            self.remove_group(&record.unit).map_err(failed)?;
        }
        let unit = self.units.entry(record.unit.clone()).or_default();
        if let Some(group) = &mut unit.group {
            group.remove = false;
            return Ok(());
        }
        let group = self.driver.create(&record.unit).map_err(failed)?;
        let token = match group.events() {
            Some(events) => {
                let source = Source::Group(record.unit.clone());
                Some(self.poller.add(events, source, EventFlags::PRI).map_err(failed)?)
            }
            None => None,
        };
        let (populated, killing, remove, marked) = (false, None, false, false);
        unit.group = Some(UnitGroup { group, token, populated, killing, remove, marked });
        Ok(())
    }

    fn register(&mut self, record: &SpawnRecord, pid: i32, own: OwnEnds) {
        let spawn_id = record.spawn_id;
        // It is not reaped yet, so it is still there.
        let start_ticks = start_ticks(pid).unwrap_or(0);
        self.pids.insert(pid, spawn_id);
        self.starting.insert(spawn_id);
        let unit = self.units.entry(record.unit.clone()).or_default();
        unit.live += 1;
        unit.pipes += own.outputs.len();
        if let Some(group) = &mut unit.group {
            group.populated = true;
        }
        let report = self.poller.add(&own.report, Source::Report(spawn_id), EventFlags::IN);
        let process = Process {
            unit: record.unit.clone(),
            pid,
            start_ticks,
            exit: None,
            // Without it in the epoll set it is still read when the process ends.
            report: report.ok().map(|token| (own.report, token)),
            failure: None,
        };
        self.processes.insert(spawn_id, process);
        self.push_event(EventKind::Spawned { spawn_id, pid: pid.cast_unsigned(), start_ticks });
        for (stream, fd) in own.outputs {
            self.open_pipe(spawn_id, stream, record, pid, fd);
        }
    }

    fn open_pipe(
        &mut self,
        spawn_id: SpawnId,
        stream: Stream,
        record: &SpawnRecord,
        pid: i32,
        fd: OwnedFd,
    ) {
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        match self.poller.add(&fd, Source::Pipe(spawn_id, stream), flags) {
            Ok(token) => {
                if let Some(link) = &mut self.link {
                    link.queue_pipe(&record.unit, spawn_id, stream, &fd);
                }
                let pid = pid.cast_unsigned();
                let pipe = Pipe { unit: record.unit.clone(), pid, fd, token };
                self.pipes.insert((spawn_id, stream), pipe);
            }
            Err(error) => {
                super::complain("a pipe cannot be waited for", &error);
                if let Some(unit) = self.units.get_mut(&record.unit) {
                    unit.pipes -= 1;
                }
            }
        }
    }
}

/// Makes the pipes of a process.
fn make_ends(record: &SpawnRecord) -> io::Result<(OwnEnds, Ends)> {
    let (report, report_end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let mut theirs = Ends { report: Some(report_end), ..Ends::default() };
    let mut outputs = Vec::new();
    if let Stdin::Bytes(bytes) = &record.stdin {
        let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        file.rewind()?;
        theirs.stdin = Some(file.into());
    }
    let wanted = [
        (Stream::Stdout, &record.stdout, &mut theirs.stdout),
        (Stream::Stderr, &record.stderr, &mut theirs.stderr),
    ];
    for (stream, output, end) in wanted {
        if *output == Output::Journal {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&read, true)?;
            // A smaller one works too.
            let _ = fcntl_setpipe_size(&read, PIPE_SIZE);
            outputs.push((stream, read));
            *end = Some(write);
        }
    }
    Ok((OwnEnds { report, outputs }, theirs))
}
