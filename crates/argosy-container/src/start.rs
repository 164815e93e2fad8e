//! From a stored container to its first process, and what belongs to both the monitor and it.

mod child;
mod ids;
mod joined;
mod patience;
mod shm;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use crate::cgroup::{Cgroups, Forked, Hierarchies, fork_through};
use crate::clamped::Clamped;
use crate::launch::Launch;
use crate::link::{FromChild, Link, ToChild};
use crate::monitor::{Attendance, Guard};
use crate::procfs::{self, ProcessName};
use crate::record::{self, RunRecord, boot, now_ms};
use crate::setup::{self, Surroundings, device_nodes, sysctl_refusal};
use crate::spec::{ContainerSpec, Namespace, PodPart, UserNamespace};
use crate::store::{Containers, Lock, make_directory};
use crate::{ContainerError, StartFailure, sys};

pub(crate) use joined::of_process;
pub(crate) use patience::{SETUP_MAX, kill, talk_failed};

/// A container that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) record: RunRecord,
    /// A child of this process.
    pub(crate) pid: i32,
    /// Our end of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
    /// Whether it is removed at its end.
    pub(crate) throw_away: bool,
    /// What serves its network.
    pub(crate) attendance: Option<Attendance>,
    /// What ends it if this process is killed.
    pub(crate) guard: Guard,
    /// What tells its pod that it is there: held for as long as it runs.
    pub(crate) company: Option<OwnedFd>,
}

impl Containers {
    /// Starts a container as a child of this process, which has one thread and stays as its
    /// monitor. Whoever calls it has the lock, and keeps it also if the start fails: until that is on
    /// record, nobody else starts it.
    pub(crate) fn start(
        &self,
        spec: &ContainerSpec,
        throw_away: bool,
        lock: &Lock,
    ) -> Result<Started, ContainerError> {
        let id = &spec.id;
        self.clear_run(id)?;
        let mut launch = Launch::first(spec)?;
        let mut clamped = Vec::new();
        let (devices, rules) = device_nodes(spec, &mut clamped)?;
        refuse_sysctls(spec)?;
        let joined = self.joined(&spec.namespaces)?;
        let hierarchies =
            Hierarchies::read().map_err(ContainerError::system("find the cgroups"))?;
        let mut record = RunRecord {
            boot: boot(),
            monitor: procfs::own_number()
                .and_then(ProcessName::of)
                .ok_or(ContainerError::Refused { what: "there is no /proc".to_owned() })?,
            init: None,
            cgroups: Cgroups::plan(spec, &hierarchies),
            clamped: Vec::new(),
            started_ms: now_ms(),
        };
        self.begin(spec, &record, lock)?;
        launch.company = self.expect_company(id, spec.pod.as_ref())?;
        let company = match &spec.pod {
            Some(PodPart::Member { of }) => self.keep_company(of)?,
            Some(PodPart::Holder { .. }) | None => None,
        };
        clamped.extend(record.cgroups.create(spec, &rules));
        let rootless = !ids::is_machines_root();
        let mut surroundings = Surroundings {
            spec: spec.clone(),
            data: self.data(id),
            run: self.run(id),
            shifted: Vec::new(),
            hierarchies,
            cgroups: record.cgroups.clone(),
            devices,
            joined: joined.descriptors,
            shm_of: joined.shm_of,
            shm: None,
            own_user: rootless || spec.namespaces.user != UserNamespace::Host,
            rootless,
            throw_away,
        };
        let made = make(&mut surroundings, launch, joined.pid.as_ref());
        let started = made.and_then(|(pid, link)| {
            self.lead(&surroundings, &mut record, clamped, (pid, &link), lock)
                .inspect_err(|_| kill(pid))
        });
        match started {
            Ok(Led { pid, terminal, attendance, guard }) => {
                Ok(Started { record, pid, terminal, throw_away, attendance, guard, company })
            }
            Err(error) => {
                drop(self.clear_run(id));
                Err(error)
            }
        }
    }

    /// Writes what has to be known before anything is made.
    fn begin(
        &self,
        spec: &ContainerSpec,
        record: &RunRecord,
        lock: &Lock,
    ) -> Result<(), ContainerError> {
        self.make_private()?;
        let run = self.run(&spec.id);
        // As of its other directory, the root of another user namespace passes through.
        make_directory(&run, 0o711).map_err(ContainerError::file("make", &run))?;
        record::write(&self.run_path(&spec.id), record)?;
        match fs::remove_file(self.exit_path(&spec.id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ContainerError::file("remove", self.exit_path(&spec.id))(error));
            }
            _ => {}
        }
        let work = self.data(&spec.id).join("work");
        reuse(&work).map_err(ContainerError::file("use again", work))?;
        lock.note_start().map_err(ContainerError::system("note the start"))?;
        setup::write_files(spec, &run).map_err(ContainerError::file("write into", run))
    }

    /// Leads the process through its setup until it is the container's program.
    fn lead(
        &self,
        surroundings: &Surroundings,
        record: &mut RunRecord,
        mut clamped: Vec<Clamped>,
        (mut pid, link): (i32, &Link),
        lock: &Lock,
    ) -> Result<Led, ContainerError> {
        let patience = patience::setup_max(&surroundings.spec);
        let until = Instant::now() + patience;
        let talk = |error: io::Error| talk_failed(&error, patience);
        if surroundings.own_user {
            let shown = procfs::number_shown(pid).ok_or_else(died)?;
            clamped.extend(ids::map(shown, surroundings)?);
            ids::give_volumes(surroundings)?;
            for layer in ids::shifted_layers(shown, surroundings, &mut clamped)? {
                link.send_with(&ToChild::Layer, Some(&layer)).map_err(talk)?;
            }
            link.send(&ToChild::Mapped).map_err(talk)?;
        }
        let mut terminal = None;
        loop {
            match link.receive_until::<FromChild>(until).map_err(talk)? {
                Some((FromChild::Made(found), _)) => pid = found,
                Some((FromChild::Terminal, descriptor)) => terminal = descriptor,
                Some((FromChild::Ready(more), _)) => {
                    clamped.extend(more);
                    break;
                }
                Some((FromChild::Failed(failure), _)) => return Err(failure.into()),
                None => return Err(died().into()),
            }
        }
        record.init = procfs::number_shown(pid).and_then(ProcessName::of);
        record.clamped = clamped;
        record::write(&self.run_path(&surroundings.spec.id), record)?;
        // From its program's first step on it may change its user, and outlive this process.
        let guard = Guard::begin(self, &surroundings.spec.id, lock)
            .map_err(ContainerError::system("make the process that guards the container"))?;
        let companion = surroundings.spec.companion.as_ref().zip(record.init);
        let attendance =
            companion.map(|(companion, init)| Attendance::begin(companion, init)).transpose()?;
        link.send(&ToChild::Execute).map_err(talk)?;
        match link.receive_until::<FromChild>(until).map_err(talk)? {
            Some((FromChild::Failed(failure), _)) => Err(failure.into()),
            Some(_) => Err(died().into()),
            None => Ok(Led { pid, terminal, attendance, guard }),
        }
    }
}

/// A process that has become the container's program.
#[derive(Debug)]
struct Led {
    pid: i32,
    terminal: Option<OwnedFd>,
    attendance: Option<Attendance>,
    guard: Guard,
}

/// Removes the kernel's mark of a layer that it has not written to the disk. It was to be thrown
/// away, and is used again; unless the machine has crashed, all of it is there.
fn reuse(work: &Path) -> io::Result<()> {
    let inner = work.join("work");
    if !inner.exists() {
        return Ok(());
    }
    // overlayfs leaves it without any permission.
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o700))?;
    match fs::remove_dir_all(inner.join("incompat")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn died() -> StartFailure {
    StartFailure::new("set up the container", "the process that did it has died")
}

fn refuse_sysctls(spec: &ContainerSpec) -> Result<(), ContainerError> {
    match spec.sysctls.keys().find_map(|name| sysctl_refusal(spec, name)) {
        Some(what) => Err(ContainerError::Refused { what }),
        None => Ok(()),
    }
}

/// Makes the process that becomes the container; returns it and our end of the link to it.
fn make(
    surroundings: &mut Surroundings,
    launch: Launch,
    pid_namespace: Option<&OwnedFd>,
) -> Result<(i32, Link), ContainerError> {
    let (own, other) = Link::pair().map_err(ContainerError::system("make a socket"))?;
    let step = || ContainerError::system("enter the other PID namespace");
    // It holds for what this process makes from now on, which is to be this one process.
    let back = pid_namespace
        .map(|namespace| {
            let back = File::open("/proc/self/ns/pid")?;
            sys::enter_namespace(namespace.as_fd(), libc::CLONE_NEWPID).map(|()| back)
        })
        .transpose()
        .map_err(step())?;
    let door = surroundings.cgroups.door().map_err(ContainerError::system("enter the cgroup"))?;
    let forked = fork_through(door.as_ref(), flags(surroundings))
        .map_err(ContainerError::system("make a process in namespaces of its own"))?;
    match forked {
        Forked::Parent(pid) => {
            if let Some(back) = back {
                let left = sys::enter_namespace(back.as_fd(), libc::CLONE_NEWPID);
                left.inspect_err(|_| kill(pid)).map_err(step())?;
            }
            Ok((pid, own))
        }
        Forked::Child(entered) => {
            drop((own, door, back));
            child::run(surroundings, entered, launch, &other)
        }
    }
}

/// Returns the namespaces to make, for clone(2).
fn flags(surroundings: &Surroundings) -> i32 {
    let namespaces = &surroundings.spec.namespaces;
    let new = |namespace: &Namespace, flag| if *namespace == Namespace::Private { flag } else { 0 };
    let user = if surroundings.own_user { libc::CLONE_NEWUSER } else { 0 };
    libc::CLONE_NEWNS
        | user
        | new(&namespaces.net, libc::CLONE_NEWNET)
        | new(&namespaces.pid, libc::CLONE_NEWPID)
        | new(&namespaces.ipc, libc::CLONE_NEWIPC)
        | new(&namespaces.uts, libc::CLONE_NEWUTS)
}
