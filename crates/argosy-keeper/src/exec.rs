//! Starting a process from a record in which everything is decided.
//!
//! All memory is allocated before the fork; the child makes system calls only.

mod child;

use std::ffi::{CString, NulError, OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Resource, Rlimit, WaitOptions, getegid, geteuid, getrlimit, setrlimit, waitpid,
};

use crate::group::Entry;
use crate::{ExecStep, Identity, Output, SpawnRecord, Stdin, sys};

/// Why a process was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnError {
    pub(crate) step: ExecStep,
    pub(crate) errno: i32,
}

impl SpawnError {
    pub(crate) fn new(step: ExecStep, error: &std::io::Error) -> SpawnError {
        SpawnError { step, errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }
}

/// What the child writes to its report pipe before it ends; nothing if it executes its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) step: u32,
    pub(crate) errno: i32,
}

impl Report {
    /// Bytes of a report.
    pub(crate) const SIZE: usize = 8;

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let [a, b, c, d] = self.step.to_ne_bytes();
        let [e, f, g, h] = self.errno.to_ne_bytes();
        [a, b, c, d, e, f, g, h]
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::SIZE]) -> Report {
        let [a, b, c, d, e, f, g, h] = bytes;
        Report { step: u32::from_ne_bytes([a, b, c, d]), errno: i32::from_ne_bytes([e, f, g, h]) }
    }
}

/// Where a standard descriptor of the child comes from.
#[derive(Debug)]
enum Source {
    /// The keeper's own.
    Keep,
    /// An open descriptor of the keeper.
    Descriptor(RawFd),
    /// A file, opened in the child.
    Open(CString, i32),
    /// Another standard descriptor, set up before.
    Same(RawFd),
}

/// The keeper's ends of what it shares with the child, as far as the record asks for them.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    pub(crate) report: Option<OwnedFd>,
}

/// A process ready to be made.
#[derive(Debug)]
pub(crate) struct Prepared {
    program: CString,
    argv: Vec<CString>,
    environment: Vec<CString>,
    /// Names, each with room behind it for the child to write its PID.
    pid_variables: Vec<Vec<u8>>,
    sources: [Source; 3],
    /// Kept open until the child has it.
    ends: Ends,
    /// Becomes descriptor 3.
    passed: Option<OwnedFd>,
    entry: Option<OwnedFd>,
    identity: Option<Identity>,
    umask: Option<u32>,
    directory: Option<(CString, bool)>,
    ignore_sigpipe: bool,
    /// Whether SIGTERM comes when the keeper dies.
    ends_with_keeper: bool,
    nofile: Option<u64>,
}

impl Prepared {
    /// Prepares a unit process. `ends` are the child's ends of its pipes; `nofile` is the soft
    /// limit of open files it starts with.
    pub(crate) fn unit(
        record: &SpawnRecord,
        notify_socket: Option<&str>,
        ends: Ends,
        nofile: Option<u64>,
    ) -> Result<Prepared, NulError> {
        let variable = |(name, value): &(String, String)| CString::new(format!("{name}={value}"));
        let mut environment: Vec<CString> =
            record.environment.iter().map(variable).collect::<Result<_, _>>()?;
        if let Some(path) = notify_socket {
            environment.push(CString::new(format!("NOTIFY_SOCKET={path}"))?);
        }
        let pid_variable = |name: &String| {
            let mut bytes = CString::new(format!("{name}="))?.into_bytes();
            bytes.resize(bytes.len() + child::PID_ROOM, 0);
            Ok(bytes)
        };
        let directory = match &record.working_directory {
            None => (c"/".to_owned(), false),
            Some(it) => (CString::new(it.path.as_str())?, it.missing_ok),
        };
        let sources = [
            stdin_source(&record.stdin, ends.stdin.as_ref())?,
            output_source(&record.stdout, ends.stdout.as_ref(), 0)?,
            output_source(&record.stderr, ends.stderr.as_ref(), 1)?,
        ];
        Ok(Prepared {
            program: CString::new(record.program.as_str())?,
            argv: record
                .argv
                .iter()
                .map(|it| CString::new(it.as_str()))
                .collect::<Result<_, _>>()?,
            environment,
            pid_variables: record
                .pid_variables
                .iter()
                .map(pid_variable)
                .collect::<Result<_, _>>()?,
            sources,
            ends,
            passed: None,
            entry: None,
            identity: record.identity.as_ref().and_then(needed_identity),
            umask: Some(record.umask),
            directory: Some(directory),
            ignore_sigpipe: record.ignore_sigpipe,
            ends_with_keeper: false,
            nofile,
        })
    }

    /// Prepares one of the keeper's own children: the keeper's environment and descriptors 0 to 2,
    /// and `passed` as descriptor 3.
    pub(crate) fn system(
        program: &OsStr,
        argv: &[OsString],
        variables: &[(&str, String)],
        passed: Option<OwnedFd>,
        ends_with_keeper: bool,
    ) -> Result<Prepared, NulError> {
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os() {
            if !variables.iter().any(|(own, _)| name == *own) {
                let bytes = [name.as_bytes(), b"=", value.as_bytes()].concat();
                environment.push(CString::new(bytes)?);
            }
        }
        for (name, value) in variables {
            environment.push(CString::new(format!("{name}={value}"))?);
        }
        Ok(Prepared {
            program: CString::new(program.as_bytes())?,
            argv: argv.iter().map(|it| CString::new(it.as_bytes())).collect::<Result<_, _>>()?,
            environment,
            pid_variables: Vec::new(),
            sources: [Source::Keep, Source::Keep, Source::Keep],
            ends: Ends::default(),
            passed,
            entry: None,
            identity: None,
            umask: None,
            directory: None,
            ignore_sigpipe: false,
            ends_with_keeper,
            nofile: None,
        })
    }

    /// Makes the process; returns its PID.
    pub(crate) fn spawn(mut self, entry: Option<Entry>) -> Result<i32, SpawnError> {
        let failed = |error: std::io::Error| SpawnError::new(ExecStep::Fork, &error);
        match entry {
            Some(Entry::Namespace(doors)) => self.spawn_within(doors),
            other => {
                match other {
                    Some(Entry::Cgroup(file)) => self.entry = Some(file),
                    Some(Entry::Tree(variable)) => self.environment.push(variable),
                    Some(Entry::Namespace(_)) | None => {}
                }
                let program = child::Program::new(&mut self);
                match sys::fork(0).map_err(failed)? {
                    0 => program.run(),
                    pid => Ok(pid),
                }
            }
        }
    }

    /// Makes the process within namespaces, as a child of the keeper: a helper enters them and
    /// forks with CLONE_PARENT, since whoever enters a user namespace does not come back.
    fn spawn_within(mut self, doors: crate::group::Doors) -> Result<i32, SpawnError> {
        let failed = |step, error: std::io::Error| SpawnError::new(step, &error);
        let (read, write) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(ExecStep::Fork, error.into()))?;
        let program = child::Program::new(&mut self);
        let helper = sys::fork(0).map_err(|error| failed(ExecStep::Fork, error))?;
        if helper == 0 {
            let entered = match &doors.user {
                Some(user) => sys::enter_namespace(user, libc::CLONE_NEWUSER),
                None => Ok(()),
            };
            let made = entered
                .and_then(|()| sys::enter_namespace(&doors.pid, libc::CLONE_NEWPID))
                .and_then(|()| sys::fork(libc::CLONE_PARENT));
            let answer = match made {
                Ok(0) => program.run(),
                Ok(pid) => pid,
                Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
            };
            let _ = rustix::io::write(&write, &answer.to_ne_bytes());
            sys::exit_now(0);
        }
        drop(write);
        let mut answer = [0; 4];
        let answered = std::fs::File::from(read).read_exact(&mut answer);
        if let Some(helper) = Pid::from_raw(helper) {
            // It has answered or died, so this takes no time.
            while let Err(rustix::io::Errno::INTR) = waitpid(Some(helper), WaitOptions::empty()) {}
        }
        answered.map_err(|error| failed(ExecStep::Namespace, error))?;
        match i32::from_ne_bytes(answer) {
            pid if pid > 0 => Ok(pid),
            errno => Err(SpawnError { step: ExecStep::Namespace, errno: -errno }),
        }
    }
}

/// Returns the soft limit of open files, for the units, after the keeper has raised its own.
pub(crate) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Not raised, the keeper simply holds fewer units.
    let _ = setrlimit(Resource::Nofile, raised);
    limit.current
}

/// Returns nothing for what the keeper already is: an ordinary user may not even set that.
fn needed_identity(identity: &Identity) -> Option<Identity> {
    let own = geteuid().as_raw() == identity.uid && getegid().as_raw() == identity.gid;
    (!own || geteuid().is_root()).then(|| identity.clone())
}

fn stdin_source(stdin: &Stdin, end: Option<&OwnedFd>) -> Result<Source, NulError> {
    Ok(match (stdin, end) {
        (Stdin::Bytes(_), Some(end)) => Source::Descriptor(end.as_raw_fd()),
        (Stdin::File(path), _) => Source::Open(CString::new(path.as_str())?, libc::O_RDONLY),
        (Stdin::Null | Stdin::Bytes(_), _) => null(),
    })
}

fn output_source(output: &Output, end: Option<&OwnedFd>, same: RawFd) -> Result<Source, NulError> {
    let open = |path: &str, flags| {
        Ok(Source::Open(CString::new(path)?, libc::O_WRONLY | libc::O_CREAT | flags))
    };
    match output {
        Output::Journal => Ok(end.map_or_else(null, |end| Source::Descriptor(end.as_raw_fd()))),
        Output::Null => Ok(null()),
        Output::File(path) => open(path, 0),
        Output::Append(path) => open(path, libc::O_APPEND),
        Output::Truncate(path) => open(path, libc::O_TRUNC),
        Output::Inherit => Ok(Source::Same(same)),
    }
}

fn null() -> Source {
    Source::Open(c"/dev/null".to_owned(), libc::O_RDWR)
}
