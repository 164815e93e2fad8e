//! What is shown of pods.

use argosy_container::State;
use argosy_network::{Endpoint, PublishedPort};
use serde::Serialize;

use super::super::{Engine, network};
use super::record::{Pod, Pods};
use super::{Part, parts};
use crate::commands::time;
use crate::failure::Failure;
use crate::printer::{Printer, table};

/// What a pod is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum PodState {
    /// It does not run, and has no containers.
    Created,
    /// It runs, and all its containers do.
    Running,
    /// It, or some container of it, has ended.
    Degraded,
    /// All have ended.
    Exited,
}

/// One container of a pod.
#[derive(Debug, Serialize)]
struct Member {
    id: String,
    name: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
}

/// All about a pod.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    pod: Pod,
    state: PodState,
    /// The container that has its namespaces, if it runs.
    holder: Option<String>,
    networks: Vec<Endpoint>,
    published: Vec<PublishedPort>,
    containers: Vec<Member>,
}

impl PodState {
    fn of(parts: &[Part]) -> PodState {
        let holds = parts.iter().any(|it| it.is_holder && it.state.is_live());
        let members = || parts.iter().filter(|it| !it.is_holder);
        let live = members().filter(|it| it.state.is_live()).count();
        match (holds, live, members().count()) {
            (true, live, all) if live == all => PodState::Running,
            (false, _, 0) => PodState::Created,
            (false, 0, _) => PodState::Exited,
            _ => PodState::Degraded,
        }
    }

    fn text(self) -> &'static str {
        match self {
            PodState::Created => "created",
            PodState::Running => "running",
            PodState::Degraded => "degraded",
            PodState::Exited => "exited",
        }
    }
}

fn whole(engine: &Engine, pod: Pod) -> Result<Whole, Failure> {
    let parts = parts(engine, &pod)?;
    let state = PodState::of(&parts);
    let holder = parts.iter().find(|it| it.is_holder && it.state.is_live());
    let networks = holder.map_or_else(Vec::new, |it| network::endpoints(engine, &it.id));
    let published = holder.map_or_else(Vec::new, |it| network::published(engine, &it.id).ports);
    let holder = holder.map(|it| it.id.to_string());
    let members = parts.into_iter().filter(|it| !it.is_holder);
    let containers = members
        .map(|it| Member { id: it.id.to_string(), name: it.name, state: it.state, unit: it.unit })
        .collect();
    Ok(Whole { pod, state, holder, networks, published, containers })
}

pub(super) fn list(engine: &Engine, quiet: bool, printer: &Printer) -> Result<(), Failure> {
    let pods = Pods::of(engine).list()?;
    let short = |pod: &Pod| pod.id.chars().take(12).collect::<String>();
    if quiet {
        return pods.iter().try_for_each(|pod| printer.line(&short(pod)));
    }
    let pods: Vec<Whole> =
        pods.into_iter().map(|pod| whole(engine, pod)).collect::<Result<_, _>>()?;
    for id in Pods::of(engine).damaged() {
        printer.note(&format!(
            "note: pod {id} has lost its record; remove it: argosy pod rm --force {id}"
        ));
    }
    printer.show(&pods, |pods| {
        let rows = pods.iter().map(|it| {
            let names: Vec<&str> = it.containers.iter().map(|it| it.name.as_str()).collect();
            vec![
                short(&it.pod),
                it.pod.name.clone(),
                it.state.text().to_owned(),
                time::since(it.pod.created_ms * 1_000),
                network::ports_text(&it.published),
                names.join(", "),
            ]
        });
        table(&["ID", "NAME", "STATE", "CREATED", "PORTS", "CONTAINERS"], rows.collect())
    })
}

pub(super) fn inspect(engine: &Engine, names: &[String], printer: &Printer) -> Result<(), Failure> {
    let pods = Pods::of(engine);
    let found: Vec<Whole> =
        names.iter().map(|name| whole(engine, pods.find(name)?)).collect::<Result<_, _>>()?;
    // JSON whatever was asked for, as podman has it.
    printer.line(&serde_json::to_string_pretty(&found).unwrap_or_default())
}
