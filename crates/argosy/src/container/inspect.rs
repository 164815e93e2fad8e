//! `argosy container inspect`: all about containers and, under docker's name, about whatever has the
//! name.

use argosy_container::{ContainerId, Inspection};
use argosy_network::{Endpoint, PublishedPort};
use serde::Serialize;
use serde_json::{Value, json};

use super::record::EngineRecord;
use super::shape::Known;
use super::volumes::Volume;
use super::{Engine, failed, network, status};
use crate::args::{ContainerInspect, InspectKind};
use crate::commands::image::docker_value;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::template::Template;

/// Everything about one container.
#[derive(Debug, Serialize)]
struct Whole {
    engine: Option<EngineRecord>,
    networks: Vec<Endpoint>,
    published: Vec<PublishedPort>,
    #[serde(flatten)]
    inspection: Inspection,
}

pub(super) fn inspect(
    engine: &Engine,
    options: &ContainerInspect,
    printer: &Printer,
) -> Result<(), Failure> {
    let as_docker = options.docker || options.format.is_some();
    let each = options.containers.containers.iter().map(|name| match as_docker {
        true => of_docker(engine, options.kind, name),
        false => {
            let whole = whole(engine, &engine.find(name)?)?;
            serde_json::to_value(whole).map_err(|error| Failure::from_error(Exit::BadInput, &error))
        }
    });
    let found = each.collect::<Result<Vec<_>, _>>()?;
    show(&found, options.format.as_deref(), printer)
}

/// Prints values by a template, or all as a list in JSON.
pub(crate) fn show(
    values: &[Value],
    format: Option<&str>,
    printer: &Printer,
) -> Result<(), Failure> {
    match format {
        // JSON whatever was asked for, as docker has it.
        None => printer.line(&serde_json::to_string_pretty(values).unwrap_or_default()),
        Some("json") => printer.line(&json!(values).to_string()),
        Some(text) => {
            let template = Template::read(text)?;
            values.iter().try_for_each(|value| printer.line(&template.fill(value)?))
        }
    }
}

fn whole(engine: &Engine, id: &ContainerId) -> Result<Whole, Failure> {
    Ok(Whole {
        engine: engine.record(id),
        networks: network::endpoints(engine, id),
        published: network::published(engine, id).ports,
        inspection: engine.containers.inspect(id).map_err(|error| failed(&error))?,
    })
}

/// Returns, in docker's shape, what has a name: containers come before images, and these before
/// volumes and networks.
fn of_docker(engine: &Engine, kind: Option<InspectKind>, name: &str) -> Result<Value, Failure> {
    let wanted = |it| kind.is_none_or(|kind| kind == it);
    if wanted(InspectKind::Container) {
        match engine.find(name) {
            Ok(id) => return container(engine, &id),
            Err(failure) if kind.is_some() => return Err(failure),
            Err(_) => {}
        }
    }
    if wanted(InspectKind::Image)
        && let Some(image) = engine.store().ok().and_then(|store| store.find(name).ok())
    {
        return docker_value(&engine.store()?, &image);
    }
    if wanted(InspectKind::Volume)
        && let Ok(volume) = engine.volumes.find(name)
    {
        return Ok(volume_value(engine, &volume));
    }
    if wanted(InspectKind::Network)
        && let Ok(network) = engine.networks.find(name)
    {
        return Ok(network_value(&network));
    }
    let what = kind.map_or("object", InspectKind::word);
    Err(Failure::new(Exit::BadInput, format!("there is no {what} {name:?}"))
        .with_help("list containers: argosy container ps --all; images: argosy image list"))
}

/// Returns a container in docker's shape.
pub(super) fn container(engine: &Engine, id: &ContainerId) -> Result<Value, Failure> {
    let Whole { engine: record, networks, published, inspection } = whole(engine, id)?;
    let image = record.as_ref().and_then(|it| engine.store().ok()?.find(&it.manifest).ok());
    let known = Known {
        engine,
        record: record.as_ref(),
        image: image.as_ref(),
        inspection: &inspection,
        endpoints: &networks,
        published: &published,
    };
    Ok(known.docker())
}

/// Returns a volume in docker's shape.
pub(super) fn volume_value(engine: &Engine, volume: &Volume) -> Value {
    json!({
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": engine.volumes.data_of(volume),
        "CreatedAt": status::time(Some(volume.created_ms)),
        "Labels": volume.labels,
        "Options": {},
        "Scope": "local",
    })
}

/// Returns a network in docker's shape.
pub(super) fn network_value(network: &argosy_network::Network) -> Value {
    json!({
        "Name": network.name,
        "Id": network.id,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": false,
        "IPAM": {
            "Driver": "default",
            "Config": [{
                "Subnet": network.net.to_string(), "Gateway": network.gateway.to_string(),
            }],
        },
        "Internal": network.internal,
        "Options": network.options,
        "Labels": network.labels,
    })
}
