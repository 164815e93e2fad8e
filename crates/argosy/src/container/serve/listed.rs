//! A container in a list, in docker's shape.

use serde_json::{Value, json};

use super::super::list::Found;
use super::super::{inspect, now_ms, status};
use crate::container::Engine;

pub(super) fn listed(engine: &Engine, found: &Found) -> Value {
    // One that is removed just now has no more to say than its line.
    let whole = inspect::container(engine, &found.id).unwrap_or_default();
    let ports: Vec<Value> = found
        .ports
        .iter()
        .map(|it| {
            json!({
                "IP": it.address.to_string(),
                "PrivatePort": it.container_port,
                "PublicPort": it.port,
                "Type": it.protocol.to_string(),
            })
        })
        .collect();
    json!({
        "Id": found.id,
        "Names": [format!("/{}", found.name())],
        "Image": found.image(),
        "ImageID": whole["Image"],
        "Command": found.command(),
        "Created": found.created_ms() / 1_000,
        "Ports": ports,
        "Labels": found.record.as_ref().map(|it| it.labels.clone()).unwrap_or_default(),
        "State": status::word(&found.inspection.state),
        "Status": status::line(&found.inspection, now_ms()),
        "HostConfig": { "NetworkMode": whole["HostConfig"]["NetworkMode"] },
        "NetworkSettings": { "Networks": whole["NetworkSettings"]["Networks"] },
        "Mounts": whole["Mounts"],
    })
}
