//! From a spawn request to a spawn record: users, environment, program and streams.

use std::path::{Path, PathBuf};

use argosy_keeper::{Identity, Output, SpawnId, SpawnRecord, Stdin, WorkingDirectory};
use argosy_model::{ServiceSpec, StandardInput, StandardOutput};
use argosy_supervisor::{ExecRole, SpawnFailure, SpawnRequest};

use crate::accounts::{Accounts, User};
use crate::engine::{Engine, is_engine, is_executable};
use crate::environment::{self, SEARCH_PATH};
use crate::expand::expand;

const EXIT_GROUP: u8 = 216;
const EXIT_USER: u8 = 217;
const EXIT_EXEC: u8 = 203;

/// The keeper's own program, which executes the record.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Looks up everything a process needs, so that the keeper has nothing left to decide.
pub(crate) fn record(
    request: &SpawnRequest,
    accounts: &Accounts,
    own: impl Fn(&str) -> Option<String>,
    engine: &Engine,
) -> Result<SpawnRecord, SpawnFailure> {
    let service = &request.loaded.spec.service;
    let (user, identity) = match request.command.prefix.privileged {
        true => (None, None),
        false => identity(service, accounts)?,
    };
    let mut variables = environment::build(request, user.as_ref(), own, engine)
        .map_err(|error| SpawnFailure { status: None, detail: error.to_string() })?;
    let argv = match request.command.prefix.no_environment {
        true => request.command.argv.clone(),
        false => expand(&request.command.argv, &variables),
    };
    let is_engine = is_engine(&request.command.program);
    engine.tell(&mut variables, identity.as_ref(), is_engine);
    let program = match is_engine {
        true => OWN_PROGRAM.to_owned(),
        false => find(&request.command.program)?,
    };
    let mut pid_variables = vec!["SYSTEMD_EXEC_PID".to_owned()];
    if request.role == ExecRole::Main && service.watchdog.duration().is_some() {
        pid_variables.push("WATCHDOG_PID".to_owned());
    }
    Ok(SpawnRecord {
        spawn_id: SpawnId(request.spawn.0),
        unit: request.unit.clone(),
        program,
        argv,
        environment: variables.into_iter().collect(),
        pid_variables,
        working_directory: directory(service, user.as_ref(), accounts),
        identity,
        umask: service.umask,
        stdin: match &service.standard_input {
            StandardInput::Null => Stdin::Null,
            StandardInput::File(path) => Stdin::File(path.clone()),
            StandardInput::Data(bytes) => Stdin::Bytes(bytes.clone()),
        },
        stdout: output(&service.standard_output),
        stderr: output(&service.standard_error),
        notify: request.notify,
        ignore_sigpipe: true,
        fenced: request.loaded.is_fenced(),
        ordered_at: request.ordered_at,
    })
}

/// Puts the PID into `MAINPID` that the unit's processes know its main process by; takes the
/// variable away when the process is gone.
pub(crate) fn name_main_pid_within(
    request: &mut SpawnRequest,
    within: impl Fn(u32) -> Option<u32>,
) {
    request.environment.retain_mut(|(name, value)| {
        if name != "MAINPID" {
            return true;
        }
        match value.parse().ok().and_then(&within) {
            Some(pid) => *value = pid.to_string(),
            None => return false,
        }
        true
    });
}

fn output(setting: &StandardOutput) -> Output {
    match setting {
        StandardOutput::Journal => Output::Journal,
        StandardOutput::Null => Output::Null,
        StandardOutput::Inherit => Output::Inherit,
        StandardOutput::File(path) => Output::File(path.clone()),
        StandardOutput::Append(path) => Output::Append(path.clone()),
        StandardOutput::Truncate(path) => Output::Truncate(path.clone()),
    }
}

/// Finds `User=` and `Group=`.
fn identity(
    service: &ServiceSpec,
    accounts: &Accounts,
) -> Result<(Option<User>, Option<Identity>), SpawnFailure> {
    let user = match &service.user {
        None => None,
        Some(name) => Some(accounts.user(name).ok_or_else(|| SpawnFailure {
            status: Some(EXIT_USER),
            detail: format!("Failed to determine user credentials: no user {name}"),
        })?),
    };
    let group = match &service.group {
        None => None,
        Some(name) => Some(accounts.group(name).ok_or_else(|| SpawnFailure {
            status: Some(EXIT_GROUP),
            detail: format!("Failed to determine group credentials: no group {name}"),
        })?),
    };
    let identity = match (&user, group) {
        (None, None) => None,
        (None, Some(gid)) => {
            let uid = rustix::process::geteuid().as_raw();
            Some(Identity { uid, gid, groups: vec![gid] })
        }
        (Some(user), group) => {
            let gid = group.unwrap_or(user.gid);
            Some(Identity { uid: user.uid, gid, groups: accounts.groups_of(&user.name, gid) })
        }
    };
    Ok((user, identity))
}

fn directory(
    service: &ServiceSpec,
    user: Option<&User>,
    accounts: &Accounts,
) -> Option<WorkingDirectory> {
    let wanted = service.working_directory.as_ref()?;
    let path = match wanted.path.as_str() {
        "~" => match user {
            Some(user) => user.home.clone(),
            None => accounts
                .user(&rustix::process::geteuid().as_raw().to_string())
                .map_or_else(|| "/root".to_owned(), |user| user.home),
        },
        path => path.to_owned(),
    };
    Some(WorkingDirectory { path, missing_ok: wanted.missing_ok })
}

/// Finds a program in the search path, unless its path is given.
fn find(program: &str) -> Result<String, SpawnFailure> {
    if program.starts_with('/') {
        return Ok(program.to_owned());
    }
    let mut candidates = SEARCH_PATH.split(':').map(|dir| Path::new(dir).join(program));
    let found: Option<PathBuf> = candidates.find(|path| is_executable(path));
    found.and_then(|path| path.to_str().map(str::to_owned)).ok_or_else(|| SpawnFailure {
        status: Some(EXIT_EXEC),
        detail: format!("Failed to locate executable {program}: not in {SEARCH_PATH}"),
    })
}
