//! Pods: containers that share their network, host name and IPC. A pod is a record; while it runs, a
//! container of ours that runs nothing, its holder, has the namespaces that the others enter.

mod create;
mod holder;
mod member;
mod record;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use argosy_container::{ContainerId, PodPart, State};

use super::{Engine, STOP_GRACE, each, failed};
use crate::args::{Global, Pod as PodOptions, PodAction};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
pub(super) use member::{Joined, joined};
use record::{Pod, Pods};

pub(crate) fn main(
    options: &PodOptions,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let engine = Engine::of(global, &options.data.data_dir)?;
    let pods = Pods::of(&engine);
    match &options.action {
        PodAction::Create(options) => printer.line(&create::create(&engine, options)?.id)?,
        PodAction::Start { sdnotify, pods: named } => match (sdnotify, &named.pods[..]) {
            (None, names) => {
                return each(names, printer, |name| holder::start(&engine, &pods.find(name)?));
            }
            (Some(when), [name]) => {
                return Err(holder::become_holder(&engine, &pods.find(name)?, *when));
            }
            (Some(_), _) => {
                let message = "one process can be one pod";
                return Err(Failure::new(Exit::BadInput, message)
                    .with_help("name one pod beside --sdnotify"));
            }
        },
        PodAction::Stop { time, ignore, pods: named } => {
            return each(&named.pods, printer, |name| match pods.find(name) {
                Err(_) if *ignore => Ok(()),
                found => stop(&engine, &found?, time.map(Duration::from_secs)),
            });
        }
        PodAction::Rm { force, ignore, pods: named } => {
            return each(&named.pods, printer, |name| match pods.find(name) {
                Err(_) if *force && pods.forget_damaged(name)? => Ok(()),
                Err(_) if *force || *ignore => Ok(()),
                found => remove(&engine, &found?, *force),
            });
        }
        PodAction::Ps { quiet } => show::list(&engine, *quiet, printer)?,
        PodAction::Inspect { pods: named } => show::inspect(&engine, &named.pods, printer)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A container of a pod.
#[derive(Debug)]
struct Part {
    id: ContainerId,
    name: String,
    is_holder: bool,
    state: State,
    unit: Option<String>,
}

/// Returns the containers of a pod, its holder among them.
fn parts(engine: &Engine, pod: &Pod) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    for id in engine.ids()? {
        let Some(record) = engine.record(&id).filter(|it| it.pod.as_ref() == Some(&pod.id)) else {
            continue;
        };
        // One that is removed just now is none.
        let Ok(inspection) = engine.containers.inspect(&id) else { continue };
        parts.push(Part {
            is_holder: matches!(inspection.spec.pod, Some(PodPart::Holder { .. })),
            state: inspection.state,
            name: record.name,
            unit: record.unit,
            id,
        });
    }
    Ok(parts)
}

/// Stops the containers of a pod, all at once, and then the pod.
fn stop(engine: &Engine, pod: &Pod, time: Option<Duration>) -> Result<(), Failure> {
    let (holders, members): (Vec<Part>, Vec<Part>) = parts(engine, pod)?
        .into_iter()
        .filter(|it| it.state.is_live())
        .partition(|it| it.is_holder);
    let stopped: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
        let stop =
            |part: &Part| unless_gone(engine, part, engine.stop(part.id.as_str(), time, true));
        let all: Vec<_> = members.iter().map(|it| scope.spawn(move || stop(it))).collect();
        // A thread that has panicked has said why.
        all.into_iter().filter_map(|it| it.join().ok()).collect()
    });
    let mut result = stopped.into_iter().collect::<Result<(), _>>();
    for holder in holders {
        match engine.containers.stop(&holder.id, time.unwrap_or(STOP_GRACE)) {
            // Its end takes it away.
            Ok(()) | Err(argosy_container::ContainerError::NotFound { .. }) => {}
            Err(error) => result = result.and(Err(failed(&error))),
        }
    }
    result
}

/// Forgives what could not be done with a container that its own end has taken away.
fn unless_gone(engine: &Engine, part: &Part, done: Result<(), Failure>) -> Result<(), Failure> {
    match done {
        Err(_) if !engine.ids()?.contains(&part.id) => Ok(()),
        result => result,
    }
}

/// Removes a pod with its containers; with `force` also if these run.
fn remove(engine: &Engine, pod: &Pod, force: bool) -> Result<(), Failure> {
    let parts = parts(engine, pod)?;
    if !force && parts.iter().any(|it| it.state.is_live()) {
        let message = format!("pod {} runs", pod.name);
        return Err(Failure::new(Exit::Refused, message)
            .with_help("stop it first: argosy pod stop; or remove it all the same with --force"));
    }
    // The containers first: none of them is to be left in namespaces without a holder.
    let (holders, members): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|it| it.is_holder);
    for part in members.iter().chain(&holders) {
        unless_gone(engine, part, engine.remove(&part.id, force, true))?;
    }
    Pods::of(engine).forget(pod)?;
    for name in &pod.nameless {
        // Somebody may use it by its name, or have removed it.
        drop(engine.volumes.remove(engine, name));
    }
    Ok(())
}

/// Returns the pods that mount a volume.
pub(super) fn users_of(engine: &Engine, volume: &str) -> Result<Vec<String>, Failure> {
    let pods = Pods::of(engine).list()?.into_iter();
    Ok(pods.filter(|pod| pod.has_volume(volume)).map(|pod| format!("pod {}", pod.name)).collect())
}

/// Refuses to remove the holder of a pod apart from it.
pub(super) fn keep_holder(engine: &Engine, id: &ContainerId) -> Result<(), Failure> {
    keep_holder_to_pod(engine, id, "rm")
}

/// Refuses to do something with the holder of a pod that is to be done with the pod.
pub(super) fn keep_holder_to_pod(
    engine: &Engine,
    id: &ContainerId,
    verb: &str,
) -> Result<(), Failure> {
    let Some(pod) = engine.record(id).and_then(|it| it.pod) else { return Ok(()) };
    let Ok(pod) = Pods::of(engine).find(&pod) else { return Ok(()) };
    match parts(engine, &pod)?.iter().any(|it| it.id == *id && it.is_holder) {
        false => Ok(()),
        true => {
            let help = match verb {
                "rm" => format!("remove the pod: argosy pod rm {}", pod.name),
                "start" => format!("start the pod: argosy pod start {}", pod.name),
                _ => format!("argosy pod stop {0}, and then: argosy pod start {0}", pod.name),
            };
            let message = format!("container {} holds the pod {}", id.short(), pod.name);
            Err(Failure::new(Exit::Refused, message).with_help(help))
        }
    }
}
