//! The holder of a pod: a container without files or program. Its monitor is the pod's process.

use std::fs::File;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use argosy_container::{
    ContainerId, ContainerSpec, HelperRequest, Hold, PodPart, Process, Ready, Root, RunOptions,
    State, lock_within,
};

use super::super::background::{Output, start_in_background};
use super::super::create::{UNIT_VARIABLE, keep};
use super::super::ids::{is_being_made, new_id};
use super::super::names::not_locked;
use super::super::record::{EngineRecord, Runs};
use super::super::run::EXIT_NOT_MADE;
use super::super::sweep::sweep;
use super::super::{Engine, become_helper, network, now_ms};
use super::record::Pod;
use super::{Part, parts};
use crate::args::{ExitPolicy, NotifyWhen};
use crate::failure::{Exit, Failure};

/// What is shown as a holder's program.
const PROGRAM: &str = "(holds the pod)";

/// How long a holder that is being set up is waited for: as long as its setup may take, and a while.
const SETUP_MAX: Duration = Duration::from_secs(70);
/// How often it is looked whether it runs.
const LOOK: Duration = Duration::from_millis(5);

/// Returns the holder of a pod that runs. One that somebody starts just now is waited for.
pub(super) fn running(engine: &Engine, pod: &Pod) -> Result<Option<ContainerId>, Failure> {
    let until = Instant::now() + SETUP_MAX;
    loop {
        let is_there = |part: &Part| {
            part.is_holder
                && match part.state {
                    State::Created => is_being_made(&part.id),
                    _ => part.state.is_live(),
                }
        };
        let Some(holder) = parts(engine, pod)?.into_iter().find(is_there) else { return Ok(None) };
        match holder.state {
            State::Running => return Ok(Some(holder.id)),
            State::Created | State::Starting if Instant::now() < until => sleep(LOOK),
            state => {
                let message = format!("the pod {} neither runs nor starts: {state:?}", pod.name);
                return Err(Failure::new(Exit::Refused, message).with_help(format!(
                    "let it go on: argosy container unpause {}; or: argosy pod stop {}",
                    holder.id.short(),
                    pod.name
                )));
            }
        }
    }
}

/// Held by whoever starts a pod, so that it has one holder.
fn starting(engine: &Engine, pod: &Pod) -> Result<File, Failure> {
    lock_within(&engine.lock(&format!("pod-{}", pod.id))?, Hold::Alone, SETUP_MAX)
        .map_err(|error| not_locked(&error))
}

/// Starts a pod in the background, if it does not run.
pub(super) fn start(engine: &Engine, pod: &Pod) -> Result<(), Failure> {
    let _starting = starting(engine, pod)?;
    if running(engine, pod)?.is_some() {
        return Ok(());
    }
    let request = request(engine, pod, RunOptions { background: true, ..options() })?;
    // It says itself why it did not start.
    match start_in_background(&request, Output::Nobodys, EXIT_NOT_MADE, None)? {
        ExitCode::SUCCESS => Ok(()),
        _ => Err(Failure::new(Exit::BadInput, format!("the pod {} did not start", pod.name))),
    }
}

/// Becomes the monitor of a pod's holder, and so the pod. Returns only why not.
pub(super) fn become_holder(engine: &Engine, pod: &Pod, when: NotifyWhen) -> Failure {
    if when != NotifyWhen::Started {
        let failure = Failure::new(Exit::BadInput, "a pod says `started`, or nothing");
        return failure.with_help("write --sdnotify=started");
    }
    // It ends when this process becomes the holder's monitor, by whose id the next one knows it.
    let starting = match starting(engine, pod) {
        Ok(starting) => starting,
        Err(failure) => return failure,
    };
    let made = match running(engine, pod) {
        Ok(None) => request(engine, pod, RunOptions { ready: Some(Ready::Started), ..options() }),
        Ok(Some(_)) => {
            let failure = Failure::new(Exit::Refused, format!("the pod {} runs", pod.name));
            return failure.with_help(format!("stop it first: argosy pod stop {}", pod.name));
        }
        Err(failure) => Err(failure),
    };
    let failure = match made {
        Ok(request) => become_helper(&request),
        Err(failure) => failure,
    };
    drop(starting);
    failure
}

fn options() -> RunOptions {
    RunOptions { remove: true, ..RunOptions::default() }
}

/// Makes a holder, and the request to run it.
fn request(engine: &Engine, pod: &Pod, run: RunOptions) -> Result<HelperRequest, Failure> {
    // A holder whose monitor was killed has an address that this one wants.
    engine.make_private()?;
    sweep(engine, &engine.store()?, None);
    let id = new_id()?;
    if let Err(failure) = make(engine, pod, &id) {
        // Nothing half made is left.
        let record = engine.record(&id);
        drop(engine.containers.delete(&id, true));
        drop(engine.release(&id, record));
        return Err(failure);
    }
    Ok(engine.containers.run_request(&id, run))
}

fn make(engine: &Engine, pod: &Pod, id: &ContainerId) -> Result<(), Failure> {
    let process = Process { args: vec![PROGRAM.to_owned()], ..Process::default() };
    let mut spec = ContainerSpec::new(id.clone(), Root::Empty, process);
    spec.pod = Some(PodPart::Holder { ends_when_empty: pod.exit_policy == ExitPolicy::Stop });
    spec.hostname = Some(pod.wiring.hostname.clone().unwrap_or_else(|| pod.name.clone()));
    spec.shm_bytes = pod.shm_bytes;
    spec.root_read_only = true;
    spec.security.cap_drop = vec!["ALL".to_owned()];
    spec.security.no_new_privileges = true;
    let published = network::publish(&pod.wiring.publish)?;
    // In its networks it is known by the pod's name.
    let request = network::connect(&pod.wiring, published, engine, &pod.name, &mut spec)?;
    let record = EngineRecord {
        name: format!("{}-infra", id.short()),
        image: "-".to_owned(),
        manifest: String::new(),
        created_ms: now_ms(),
        unit: std::env::var(UNIT_VARIABLE).ok(),
        labels: Default::default(),
        annotations: Default::default(),
        exposed: Vec::new(),
        volumes: Vec::new(),
        nameless: Vec::new(),
        stop_timeout: None,
        remove: true,
        pod: Some(pod.id.clone()),
        // A pod that is started again has another holder.
        runs: Runs::default(),
    };
    keep(engine, &spec, &record, (request.as_ref(), &[]))
}
