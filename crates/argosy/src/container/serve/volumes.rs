//! Volumes.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::inspect::volume_value;
use super::super::volumes::{NewVolume, Volume};
use super::Server;
use super::answer::{Answer, Refusal, done, in_thread, json, with_status};
use super::call::Call;
use crate::container::Engine;

fn find(engine: &Engine, name: &str) -> Result<Volume, Refusal> {
    let none = || Refusal::new(StatusCode::NOT_FOUND, format!("get {name}: no such volume"));
    engine.volumes.find_if_there(name).ok().flatten().ok_or_else(none)
}

pub(super) async fn list(server: &Server, call: &Call) -> Answer {
    let filters = call.query.filters()?;
    let wanted = filters
        .iter()
        .map(|filter| match filter.split_once('=') {
            Some(("name", name)) => Ok(name.to_owned()),
            _ => Err(Refusal::not_there(&format!("volumes with the filter {filter}"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let engine = server.engine.clone();
    in_thread(move || {
        let all = engine.volumes.list()?;
        let found = all
            .iter()
            .filter(|it| wanted.is_empty() || wanted.iter().any(|part| it.name.contains(part)));
        let values: Vec<Value> = found.map(|it| volume_value(&engine, it)).collect();
        Ok(json(&json!({ "Volumes": values, "Warnings": [] })))
    })
    .await
}

/// What docker's clients say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    cluster_volume_spec: Option<Value>,
}

pub(super) async fn create(server: &Server, call: Call) -> Answer {
    let body: Body = serde_json::from_value(call.json().await?)
        .map_err(|error| Refusal::bad(format!("the body is not understood: {error}")))?;
    if let Some(driver) = body.driver.filter(|it| !matches!(it.as_str(), "" | "local")) {
        return Err(Refusal::bad(format!(
            "there is no driver {driver:?} of volumes: there is local"
        )));
    }
    if body.cluster_volume_spec.is_some() {
        return Err(Refusal::not_there("volumes of a cluster"));
    }
    let options = body.driver_opts.unwrap_or_default();
    let new = NewVolume {
        options: options.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        labels: body.labels.unwrap_or_default(),
    };
    let (engine, name) = (server.engine.clone(), body.name.filter(|it| !it.is_empty()));
    in_thread(move || {
        // As with docker, one that is there is as good.
        let volume = engine.volumes.make(name.as_deref(), &new, true)?;
        Ok(with_status(StatusCode::CREATED, &volume_value(&engine, &volume)))
    })
    .await
}

pub(super) async fn inspect(server: &Server, name: &str) -> Answer {
    let (engine, name) = (server.engine.clone(), name.to_owned());
    in_thread(move || Ok(json(&volume_value(&engine, &find(&engine, &name)?)))).await
}

pub(super) async fn remove(server: &Server, call: &Call, name: &str) -> Answer {
    let (engine, name) = (server.engine.clone(), name.to_owned());
    let force = call.query.is_on("force");
    in_thread(move || {
        match find(&engine, &name) {
            Err(_) if force => return Ok(done()),
            found => drop(found?),
        }
        engine.volumes.remove(&engine, &name).map_err(|it| Refusal::conflict(it.message))?;
        Ok(done())
    })
    .await
}

pub(super) async fn prune(server: &Server, call: &Call) -> Answer {
    let mut all = false;
    for filter in call.query.filters()? {
        match filter.as_str() {
            "all=true" | "all=1" => all = true,
            "all=false" | "all=0" => {}
            _ => {
                return Err(Refusal::not_there(&format!("volumes prune with the filter {filter}")));
            }
        }
    }
    let engine = server.engine.clone();
    in_thread(move || {
        let mut removed = Vec::new();
        for volume in engine.volumes.list()?.iter().filter(|it| all || it.nameless) {
            let is_unused = engine.volumes.users(&engine, &volume.name)?.is_empty();
            if is_unused && engine.volumes.remove_if_there(&engine, &volume.name)? {
                removed.push(volume.name.clone());
            }
        }
        Ok(json(&json!({ "VolumesDeleted": removed, "SpaceReclaimed": 0 })))
    })
    .await
}
