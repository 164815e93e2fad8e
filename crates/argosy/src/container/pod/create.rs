//! `argosy pod create`: checks what a pod is to be, and writes it down.

use argosy_container::ContainerId;

use super::super::create::UNIT_VARIABLE;
use super::super::ids::new_id;
use super::super::names::naming;
use super::super::volumes::Volume;
use super::super::{Engine, network, now_ms, options};
use super::record::{Pod, Pods};
use crate::args::{ExitPolicy, PodCreate, Wiring};
use crate::failure::{Exit, Failure};

pub(super) fn create(engine: &Engine, create: &PodCreate) -> Result<Pod, Failure> {
    if !matches!(create.userns.as_deref(), None | Some("host" | ""))
        || !create.uidmap.is_empty()
        || !create.gidmap.is_empty()
    {
        let help = "leave out UserNS=, UIDMap= and GIDMap=; its containers have the machine's ids";
        return Err(options::bad("a pod has no user ids of its own yet", help));
    }
    let shm_bytes = create.shm_size.as_deref().map(options::bytes).transpose()?;
    let name = create.name.clone().or_else(|| create.positional.clone());
    let labels = options::pairs(&create.label)?;
    // What is wrong with them is told before anything is changed.
    options::add_shared(&create.volume, &mut Vec::new(), &mut Vec::new())?;
    // Until it is on record, nobody else takes its name.
    let _naming = naming(engine)?;
    let mut pod = new(engine, name, create.wiring.clone(), create.replace)?;
    (pod.labels, pod.exit_policy, pod.shm_bytes) = (labels, create.exit_policy, shm_bytes);
    let mut made = Vec::new();
    for text in &create.volume {
        pod.add_volume(text, &mut made)?;
    }
    Pods::of(engine).store(&pod)?;
    made.iter().try_for_each(|volume| engine.volumes.keep(volume))?;
    if let Some(path) = &create.pod_id_file {
        std::fs::write(path, &pod.id).map_err(|error| {
            Failure::new(Exit::BadInput, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    Ok(pod)
}

/// Makes a pod of a name and networks, for `run --pod new:NAME`.
pub(super) fn create_for(engine: &Engine, name: &str, wiring: Wiring) -> Result<Pod, Failure> {
    let _naming = naming(engine)?;
    let pod = new(engine, Some(name.to_owned()), wiring, false)?;
    Pods::of(engine).store(&pod)?;
    Ok(pod)
}

/// Decides about a pod, and sees to it that nobody else has its name.
fn new(
    engine: &Engine,
    name: Option<String>,
    wiring: Wiring,
    replace: bool,
) -> Result<Pod, Failure> {
    if !rustix::process::geteuid().is_root() {
        let help = "run it as root; or run the containers with --network container:NAME";
        return Err(options::bad("pods need root", help));
    }
    let id = new_id()?;
    let name = name.unwrap_or_else(|| id.short());
    ContainerId::new(name.as_str()).map_err(|error| {
        Failure::from_error(Exit::BadInput, &error).with_help("choose another name")
    })?;
    // What is wrong with them is told now, not when it starts.
    network::connection(&wiring, engine)?;
    network::publish(&wiring.publish)?;
    let pods = Pods::of(engine);
    let taken = pods.list()?.into_iter().find(|it| it.name == name);
    match taken {
        Some(pod) if replace => super::remove(engine, &pod, true)?,
        Some(_) => {
            let message = format!("there is a pod {name} already");
            return Err(Failure::new(Exit::Refused, message).with_help(format!(
                "remove it: argosy pod rm {name}; or choose another name, or --replace"
            )));
        }
        None => {}
    }
    Ok(Pod {
        id: id.to_string(),
        name,
        created_ms: now_ms(),
        unit: std::env::var(UNIT_VARIABLE).ok(),
        labels: Default::default(),
        exit_policy: ExitPolicy::Continue,
        wiring,
        volumes: Vec::new(),
        nameless: Vec::new(),
        shm_bytes: None,
    })
}

impl Pod {
    /// Tells whether it mounts a volume into its containers.
    pub(super) fn has_volume(&self, name: &str) -> bool {
        self.volumes.iter().any(|it| it.split(':').next() == Some(name))
    }

    /// Adds what is mounted into all containers. One without a name gets one, so that they share it.
    fn add_volume(&mut self, text: &str, new: &mut Vec<Volume>) -> Result<(), Failure> {
        let (source, rest) = text.split_once(':').unwrap_or(("", text));
        let source = match source {
            "" => {
                let volume = Volume::nameless(None)?;
                let name = volume.name.clone();
                self.nameless.push(name.clone());
                new.push(volume);
                name
            }
            // The containers may be run from another directory.
            path if path.starts_with('.') => std::path::absolute(path)
                .map_or_else(|_| path.to_owned(), |it| it.display().to_string()),
            source => source.to_owned(),
        };
        self.volumes.push(format!("{source}:{rest}"));
        Ok(())
    }
}
