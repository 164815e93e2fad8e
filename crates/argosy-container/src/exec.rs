//! Another process in a container that runs.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use rustix::fs::{Gid, Uid};
use rustix::process::{Pid, WaitOptions, waitpid};
use serde::{Deserialize, Serialize};

use crate::cgroup::{Forked, fork_through};
use crate::launch::{Extra, Launch};
use crate::link::{FromChild, Link, ToChild};
use crate::procfs::ProcessName;
use crate::record::RunRecord;
use crate::spec::{ContainerId, ContainerSpec, Process};
use crate::start::{SETUP_MAX, kill, of_process, talk_failed};
use crate::store::Containers;
use crate::{ContainerError, StartFailure, sys, terminal};

/// What to execute in a container. What is left empty is as for its first process: variables,
/// user, directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    pub process: Process,
    #[serde(default)]
    pub privileged: bool,
}

/// A process in a container, as a child of this one.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) pid: i32,
    pub(crate) terminal: Option<OwnedFd>,
}

/// The container's namespaces in the order they are entered: what gives rights first, what takes
/// the machine's files away last.
const NAMESPACES: [(&str, i32); 7] = [
    ("user", libc::CLONE_NEWUSER),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("net", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("mnt", libc::CLONE_NEWNS),
];

impl Containers {
    /// Executes a process with this process's streams. This process has one thread.
    pub(crate) fn exec(
        &self,
        id: &ContainerId,
        exec: ExecSpec,
    ) -> Result<Executed, ContainerError> {
        let run = self.running(id)?;
        if run.cgroups.is_frozen() {
            // What enters a frozen cgroup stands still, and who waits for it would, too.
            return Err(ContainerError::Paused { id: id.clone() });
        }
        let spec = self.spec(id)?;
        let not_running = || ContainerError::NotRunning { id: id.clone() };
        let init = run.init.ok_or_else(not_running)?;
        let process = completed(exec.process, &spec);
        let tty = process.tty;
        let launch = Launch::of(&spec, process, Extra { privileged: exec.privileged })?;
        let foreign = NAMESPACES.into_iter().filter(|(file, _)| is_foreign(&init, file));
        let open = |(file, kind): (&str, i32)| Some((of_process(&init, file)?, kind));
        let namespaces: Option<Vec<(OwnedFd, i32)>> = foreign.map(open).collect();
        let namespaces = namespaces.ok_or_else(not_running)?;
        let (own, other) = Link::pair().map_err(ContainerError::system("make a socket"))?;
        let helper = sys::fork(0).map_err(ContainerError::system("make a process"))?;
        if helper == 0 {
            drop(own);
            enter(&run, &namespaces, launch, tty, &other);
        }
        drop(other);
        let result = lead(&own);
        // It ends as soon as it has made the process, or failed; if not, this ends it.
        match &result {
            Ok(_) => drop(waitpid(Pid::from_raw(helper), WaitOptions::empty())),
            Err(_) => kill(helper),
        }
        result
    }
}
/// Fills in what is not said from the container's own process.
fn completed(mut process: Process, spec: &ContainerSpec) -> Process {
    let mut env = spec.process.env.clone();
    for entry in &process.env {
        crate::process::set_variable(&mut env, entry);
    }
    process.env = env;
    if process.user.is_empty() {
        process.user.clone_from(&spec.process.user);
        process.groups.extend(spec.process.groups.iter().cloned());
    }
    if process.cwd.is_none() {
        process.cwd.clone_from(&spec.process.cwd);
    }
    process
}

/// Tells whether a process's namespace is another than ours: nobody can enter his own user namespace,
/// and whoever has entered another one has no power over the rest of his own.
fn is_foreign(process: &ProcessName, file: &str) -> bool {
    let number = |of: &str| std::fs::metadata(format!("/proc/{of}/ns/{file}")).map(|it| it.ino());
    number("self").ok() != number(&process.pid.to_string()).ok()
}

/// Leads the process until it executes its program.
fn lead(link: &Link) -> Result<Executed, ContainerError> {
    let until = Instant::now() + SETUP_MAX;
    let talk = |error: std::io::Error| talk_failed(&error, SETUP_MAX);
    let died = || StartFailure::new("enter the container", "the process that did it has died");
    let (mut pid, mut terminal) = (None, None);
    let mut hear = || loop {
        match link.receive_until::<FromChild>(until).map_err(talk)? {
            Some((FromChild::Made(found), _)) => pid = Some(found),
            Some((FromChild::Terminal, descriptor)) => terminal = descriptor,
            Some((FromChild::Ready(_), _)) => link.send(&ToChild::Execute).map_err(talk)?,
            Some((FromChild::Failed(failure), _)) => return Err(failure),
            None => return Ok(()),
        }
    };
    let heard = hear();
    if let (Err(_), Some(pid)) = (&heard, pid) {
        kill(pid);
    }
    heard?;
    let pid = pid.ok_or_else(died)?;
    Ok(Executed { pid, terminal })
}

/// Enters the container and makes the process in it, as a child of this helper's parent.
fn enter(
    run: &RunRecord,
    namespaces: &[(OwnedFd, i32)],
    launch: Launch,
    tty: bool,
    link: &Link,
) -> ! {
    let step = "enter the container's cgroups";
    let entered = run.cgroups.enter_v1().map_err(StartFailure::at(step)).and_then(|()| {
        let door = run.cgroups.door().map_err(StartFailure::at(step))?;
        enter_all(namespaces)?;
        let made = fork_through(door.as_ref(), libc::CLONE_PARENT);
        made.map_err(StartFailure::at("make a process"))
    });
    let failure = match entered {
        Ok(Forked::Child(entered)) => {
            let begun = entered.map_err(StartFailure::at(step)).and_then(|()| begin(tty, link));
            match begun {
                Ok(()) => launch.run(link, Vec::new()),
                Err(failure) => failure,
            }
        }
        Ok(Forked::Parent(pid)) => {
            drop(link.send(&FromChild::Made(pid)));
            sys::exit_now(0)
        }
        Err(failure) => failure,
    };
    let code = failure.kind.exit_code();
    drop(link.send(&FromChild::Failed(failure)));
    sys::exit_now(i32::from(code))
}

fn enter_all(namespaces: &[(OwnedFd, i32)]) -> Result<(), StartFailure> {
    for (namespace, kind) in namespaces {
        sys::enter_namespace(namespace.as_fd(), *kind)
            .map_err(StartFailure::at("enter the container's namespaces"))?;
        if *kind == libc::CLONE_NEWUSER {
            let step = || StartFailure::at("become root of the user namespace");
            rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(step())?;
            rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(step())?;
        }
    }
    Ok(())
}

fn begin(tty: bool, link: &Link) -> Result<(), StartFailure> {
    // What was executed for somebody ends with him.
    link.end_with_other()?;
    rustix::process::setsid().map_err(StartFailure::at("begin a session"))?;
    if tty { terminal::open_inside(link, false) } else { Ok(()) }
}
