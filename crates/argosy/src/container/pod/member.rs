//! A container that runs in a pod.

use std::os::fd::OwnedFd;

use argosy_container::{ContainerId, ContainerSpec, Namespace, PodPart};

use super::super::options::{self, Wanted, bad};
use super::super::{Engine, failed};
use super::record::{Pod, Pods};
use super::{create, holder};
use crate::args::{ContainerRun, Wiring};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// Before the name of a pod that is made first.
const NEW: &str = "new:";

/// A pod that runs, for a container that is to be in it.
#[derive(Debug)]
pub(in crate::container) struct Joined {
    pub(in crate::container) pod: Pod,
    holder: ContainerId,
    /// What it is.
    spec: ContainerSpec,
    /// Keeps it from ending while the container is made: to get its image may take long.
    _company: Option<OwnedFd>,
}

/// Finds the pod of a container, and starts it if it does not run. A unit's pod is a unit of its own,
/// which nobody else starts: else it would end with whoever came first.
pub(in crate::container) fn joined(
    engine: &Engine,
    options: &ContainerRun,
    in_unit: bool,
    printer: &Printer,
) -> Result<Option<Joined>, Failure> {
    let named = match &options.pod_id_file {
        None => options.pod.clone().unwrap_or_default(),
        Some(path) => {
            let read = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(Exit::BadInput, format!("cannot read {}: {error}", path.display()))
            });
            read?.trim().to_owned()
        }
    };
    if named.is_empty() {
        return Ok(None);
    }
    let new = named.strip_prefix(NEW);
    check(options, new.is_some())?;
    let pod = match new {
        Some(name) => create::create_for(engine, name, options.into())?,
        None => Pods::of(engine).find(&named)?,
    };
    if holder::running(engine, &pod)?.is_none() {
        if in_unit {
            let help = "start its unit first: BindsTo= and After= on it see to that";
            return Err(bad(format!("the pod {} does not run", pod.name), help));
        }
        printer.progress(&format!("starting the pod {} ...", pod.name));
        holder::start(engine, &pod)?;
    }
    let ended = || bad(format!("the pod {} has ended", pod.name), "start it: argosy pod start");
    let holder = holder::running(engine, &pod)?.ok_or_else(ended)?;
    let company = engine.containers.keep_company(&holder).map_err(|error| failed(&error))?;
    let spec = engine.containers.inspect(&holder).map_err(|error| failed(&error))?.spec;
    Ok(Some(Joined { pod, holder, spec, _company: company }))
}

/// Refuses what a pod decides for all its containers.
fn check(options: &ContainerRun, new: bool) -> Result<(), Failure> {
    let own = Wiring::from(options);
    let wiring = [
        ("--network", !own.network.is_empty()),
        ("--publish", !own.publish.is_empty()),
        ("--ip", own.ip.is_some()),
        ("--mac-address", own.mac_address.is_some()),
        ("--network-alias", !own.network_alias.is_empty()),
        ("--hostname", own.hostname.is_some()),
        ("--add-host", !own.add_host.is_empty()),
        ("--dns", !own.dns.is_empty()),
        ("--dns-option", !own.dns_option.is_empty()),
        ("--dns-search", !own.dns_search.is_empty()),
    ];
    if let Some((option, _)) = wiring.iter().find(|(_, is_said)| *is_said && !new) {
        let help = format!("its containers share the network: give {option} to argosy pod create");
        return Err(bad(format!("{option} does not go with --pod"), &help));
    }
    let shared = [
        ("--publish-all", options.publish_all),
        ("--ipc", options.ipc.is_some()),
        ("--uts", options.uts.is_some()),
        ("--userns", !matches!(options.userns.as_deref(), None | Some("host" | ""))),
        ("--uidmap", !options.uidmap.is_empty()),
        ("--gidmap", !options.gidmap.is_empty()),
    ];
    match shared.iter().find(|(_, is_said)| *is_said) {
        None => Ok(()),
        Some((option, _)) => {
            let help = "the containers of a pod share this; leave it out";
            Err(bad(format!("{option} does not go with --pod"), help))
        }
    }
}

impl Joined {
    /// Returns the host name of all its containers.
    pub(in crate::container) fn hostname(&self) -> String {
        self.spec.hostname()
    }

    /// Makes a container one of the pod.
    pub(in crate::container) fn enter(
        &self,
        spec: &mut ContainerSpec,
        wanted: &mut Vec<Wanted>,
    ) -> Result<(), Failure> {
        let holders = || Namespace::Container(self.holder.clone());
        spec.pod = Some(PodPart::Member { of: self.holder.clone() });
        spec.namespaces.net = match &self.spec.namespaces.net {
            Namespace::Host => Namespace::Host,
            _ => holders(),
        };
        (spec.namespaces.ipc, spec.namespaces.uts) = (holders(), holders());
        spec.hostname = Some(self.hostname());
        spec.hosts.clone_from(&self.spec.hosts);
        spec.resolv_conf.clone_from(&self.spec.resolv_conf);
        options::add_shared(&self.pod.volumes, &mut spec.mounts, wanted)
    }
}
