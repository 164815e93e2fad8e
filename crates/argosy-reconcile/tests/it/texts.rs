//! Unit texts of these tests: words, and what they ask for.

use std::collections::BTreeSet;

use argosy_model::{
    Announce, Dependencies, EndpointProtocol, EndpointSpec, HealthCheck, ImageEngine,
    MetadataRequirement, OnPartition, Placement, ServiceSpec, ServiceType, Traffic, UnitImage,
    UnitName, UnitSpec,
};
use argosy_reconcile::simulated::Behaviour;

use crate::world::name;

/// Reads a unit's words; `bad` is an error.
pub(crate) fn spec(unit: &UnitName, text: &str) -> Result<UnitSpec, String> {
    let (mut placement, mut announce) = (Placement::default(), None);
    let (mut traffic, mut images) = (Traffic::default(), BTreeSet::new());
    let (mut service, mut dependencies) = (ServiceSpec::default(), Dependencies::default());
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "ends" => service.service_type = ServiceType::Oneshot,
            "bad" => return Err("line 1: bad".to_owned()),
            "machine-id" => placement.machine_id = Some(value.to_owned()),
            "metadata" => {
                let (key, value) = value.split_once(':').unwrap();
                let (key, values) = (key.to_owned(), vec![value.to_owned()]);
                placement.metadata.push(MetadataRequirement { key, values });
            }
            "conflicts" => placement.conflicts.push(value.to_owned()),
            "replicas" => placement.replicas = value.parse().ok(),
            "global" => placement.global = true,
            "data" => placement.keeps_data = true,
            "requires" => dependencies.requires.push(name(value)),
            "wants" => dependencies.wants.push(name(value)),
            "before" => dependencies.before.push(name(value)),
            "image" | "docker-image" => {
                let is_docker = key.starts_with("docker");
                let engine = if is_docker { ImageEngine::Docker } else { ImageEngine::Argosy };
                images.insert(UnitImage { name: value.to_owned(), engine });
            }
            "standby" => placement.standby = value.parse().ok(),
            "after" => dependencies.after.push(name(value)),
            "fence" => placement.on_partition = OnPartition::Stop,
            "health" => traffic.health_check = HealthCheck::parse(value),
            "notify" => service.service_type = ServiceType::Notify,
            "endpoint" => {
                let (service, port) = value.split_once(':').unwrap();
                let (service, port) = (service.to_owned(), port.parse().ok());
                let protocol = EndpointProtocol::Http;
                traffic.endpoints.push(EndpointSpec { service, port, protocol });
            }
            "announce" => {
                let (key, port) = value.split_once(':').unwrap();
                let key = key.replace("%i", unit.instance().unwrap_or(""));
                announce = Some(Announce { key, port: port.parse().ok() });
            }
            _ => {}
        }
    }
    Ok(UnitSpec {
        name: unit.clone(),
        description: None,
        dependencies,
        service,
        placement,
        announce,
        traffic,
        images,
        wanted_by: Vec::new(),
    })
}

pub(crate) fn behaviour(text: &str) -> Behaviour {
    let word = |word| text.split_whitespace().any(|other| other == word);
    match () {
        () if word("fails") => Behaviour::Fails,
        () if word("slow") => Behaviour::Slow,
        () if word("ends") => Behaviour::Ends,
        () if word("broken") => Behaviour::Broken,
        () => Behaviour::Runs,
    }
}
