//! Images.

use std::collections::BTreeSet;
use std::sync::Arc;

use argosy_image::{Collect, Event, Image, Platform, PullOptions, Reference, Removal, When};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::let_images_go;
use super::Server;
use super::answer::{Answer, PIECES_MAX, Refusal, empty, in_thread, json, stream};
use super::call::Call;
use crate::args::RegistryOptions;
use crate::commands::image::{client, docker_value, policy};
use crate::container::Engine;
use crate::failure::chain;
use crate::session::API_SOCKET;
use crate::through_daemon;

fn find(engine: &Engine, name: &str) -> Result<Image, Refusal> {
    let none = |_| Refusal::new(StatusCode::NOT_FOUND, format!("No such image: {name}"));
    engine.store()?.find(name).map_err(none)
}

pub(super) async fn list(server: &Server, call: &Call) -> Answer {
    let filters = call.query.filters()?;
    let wanted = filters
        .iter()
        .map(|filter| match filter.split_once('=') {
            Some(("reference", text)) if !text.contains(['*', '?', '[']) => Ok(text.to_owned()),
            _ => Err(Refusal::not_there(&format!("images with the filter {filter}"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let engine = server.engine.clone();
    in_thread(move || {
        let store = engine.store()?;
        let mut values = Vec::new();
        for used in store.usage()?.images {
            // One that is removed just now is none.
            let Some(image) = store.image(&used.manifest)? else { continue };
            let mut value = docker_value(&store, &image)?;
            if !wanted.is_empty() {
                let names = value["RepoTags"].as_array_mut();
                let left = names.map(|names| {
                    names.retain(|it| is_named(it.as_str().unwrap_or_default(), &wanted));
                    !names.is_empty()
                });
                if left != Some(true) {
                    continue;
                }
            }
            values.push(listed(&value, used.holders.len()));
        }
        Ok(json(&values.into()))
    })
    .await
}

/// Tells whether a name is one of those that are wanted, whole or without its tag.
fn is_named(name: &str, wanted: &[String]) -> bool {
    wanted.iter().any(|it| name == it || name.rsplit_once(':').is_some_and(|name| name.0 == it))
}

fn listed(value: &Value, holders: usize) -> Value {
    let created = value["Created"].as_str().and_then(|it| it.parse::<jiff::Timestamp>().ok());
    json!({
        "Id": value["Id"],
        "ParentId": "",
        "RepoTags": value["RepoTags"],
        "RepoDigests": value["RepoDigests"],
        "Created": created.map_or(0, |it| it.as_second()),
        "Size": value["Size"],
        "VirtualSize": value["Size"],
        "SharedSize": -1,
        "Labels": value["Config"]["Labels"],
        "Containers": holders,
    })
}

pub(super) async fn inspect(server: &Server, name: &str) -> Answer {
    let (engine, name) = (server.engine.clone(), name.to_owned());
    in_thread(move || {
        let image = find(&engine, &name)?;
        Ok(json(&docker_value(&engine.store()?, &image)?))
    })
    .await
}

pub(super) async fn tag(server: &Server, call: &Call, name: &str) -> Answer {
    let repository =
        call.query.get("repo").ok_or_else(|| Refusal::bad("the parameter repo is missing"))?;
    let wanted = match call.query.get("tag") {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    let wanted: Reference = wanted.parse().map_err(|error| Refusal::bad(chain(&error)))?;
    let (engine, name) = (server.engine.clone(), name.to_owned());
    in_thread(move || {
        find(&engine, &name)?;
        Ok(engine.store()?.tag(&name, &wanted)?)
    })
    .await?;
    Ok(empty(StatusCode::CREATED))
}

pub(super) async fn remove(server: &Server, call: &Call, name: &str) -> Answer {
    let (engine, name) = (server.engine.clone(), name.to_owned());
    let removal = Removal { force: call.query.is_on("force"), in_use: BTreeSet::new() };
    in_thread(move || {
        let store = engine.store()?;
        find(&engine, &name)?;
        let data = engine.containers.data_dir.parent().unwrap_or(&engine.containers.data_dir);
        let_images_go(data, &store)?;
        let removed = store.remove(&name, &removal)?;
        let names = removed.names.iter().map(|it| json!({ "Untagged": it.familiar() }));
        let image = removed.image.iter().map(|it| json!({ "Deleted": it }));
        Ok(json(&names.chain(image).collect::<Vec<_>>().into()))
    })
    .await
}

pub(super) async fn prune(server: &Server, call: &Call) -> Answer {
    let mut what = Collect::Nameless;
    for filter in call.query.filters()? {
        match filter.as_str() {
            "dangling=false" | "dangling=0" => what = Collect::Unused,
            "dangling=true" | "dangling=1" => {}
            _ => return Err(Refusal::not_there(&format!("images prune with the filter {filter}"))),
        }
    }
    let engine = server.engine.clone();
    in_thread(move || {
        let store = engine.store()?;
        let data = engine.containers.data_dir.parent().unwrap_or(&engine.containers.data_dir);
        let_images_go(data, &store)?;
        let collected = store.collect(&BTreeSet::new(), what)?;
        let images: Vec<Value> =
            collected.images.iter().map(|it| json!({ "Deleted": it })).collect();
        Ok(json(&json!({ "ImagesDeleted": images, "SpaceReclaimed": collected.bytes })))
    })
    .await
}

/// Brings an image from its registry, and tells how far it is.
pub(super) async fn pull(server: &Arc<Server>, call: Call) -> Answer {
    if call.query.get("fromSrc").is_some() {
        return Err(Refusal::not_there("images create from an archive: argosy image import"));
    }
    let name = call.query.get("fromImage");
    let name = name.ok_or_else(|| Refusal::bad("the parameter fromImage is missing"))?;
    let wanted = match call.query.get("tag") {
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    };
    let reference: Reference = wanted.parse().map_err(|error| Refusal::bad(chain(&error)))?;
    let platform = call.query.get("platform").map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| Refusal::bad(chain(&error)))?;
    if call.request.headers().contains_key("x-registry-auth") && has_credentials(&call) {
        let what =
            "credentials with a pull: they are read from a file of this machine (docs/images.md)";
        return Err(Refusal::not_there(what));
    }
    let (sender, response) = stream("application/json");
    let server_too = Arc::clone(server);
    server.tasks.spawn(async move {
        let (told, mut events) = mpsc::channel(PIECES_MAX);
        let pulled = bring(&server_too.engine, &reference, platform, told);
        let passed = async {
            while let Some(line) = events.recv().await {
                // Who has left does not want to know; the image comes all the same.
                drop(sender.send(piece(&line)).await);
            }
        };
        let (pulled, ()) = tokio::join!(pulled, passed);
        let last = match pulled {
            Ok(image) => vec![
                json!({ "status": format!("Digest: {}", image.manifest) }),
                json!({ "status": format!("Status: Downloaded image for {}", reference.familiar()) }),
            ],
            Err(refusal) => {
                let message = refusal.message;
                vec![json!({ "errorDetail": { "message": message }, "error": message })]
            }
        };
        for line in last {
            drop(sender.send(piece(&line)).await);
        }
    });
    Ok(response)
}

/// Tells whether a client has sent more than an empty form: `{}`, as docker's own does without a login.
fn has_credentials(call: &Call) -> bool {
    use base64::Engine as _;
    let text = call.request.headers().get("x-registry-auth").map(|it| it.as_bytes().to_vec());
    let decode = |it: &Vec<u8>| {
        let url_safe = base64::engine::general_purpose::URL_SAFE;
        let decoded = url_safe.decode(it).or_else(|_| url_safe_bare().decode(it)).ok()?;
        serde_json::from_slice::<Value>(&decoded).ok()
    };
    let said = text.as_ref().and_then(decode).unwrap_or_default();
    ["username", "password", "identitytoken", "registrytoken", "auth"]
        .iter()
        .any(|key| said[*key].as_str().is_some_and(|it| !it.is_empty()))
}

fn url_safe_bare() -> base64::engine::GeneralPurpose {
    base64::engine::general_purpose::URL_SAFE_NO_PAD
}

fn piece(value: &Value) -> Bytes {
    Bytes::from(value.to_string() + "\r\n")
}

async fn bring(
    engine: &Engine,
    reference: &Reference,
    platform: Option<Platform>,
    told: mpsc::Sender<Value>,
) -> Result<Image, Refusal> {
    let first = json!({ "status": format!("Pulling from {}", reference.repository()) });
    // A line that nobody has room for is left out: another one says more.
    drop(told.try_send(first));
    let progress = Arc::new(move |event: Event| {
        if let Some(line) = line(&event) {
            drop(told.try_send(line));
        }
    });
    let (store, client, policy) = (engine.store()?, client(&RegistryOptions::usual())?, policy()?);
    let peers = through_daemon::peers(&engine.runtime_dir.join(API_SOCKET), &store);
    let how = PullOptions { holder: None, when: When::Always, platform, peers };
    argosy_image::pull(&store, &client, &policy, reference, &how, progress)
        .await
        .map_err(|error| Refusal::failed(chain(&error)))
}

/// Returns docker's line about an event.
fn line(event: &Event) -> Option<Value> {
    let of = |layer: &argosy_image::Digest, status: &str| {
        Some(json!({ "status": status, "progressDetail": {}, "id": layer.short() }))
    };
    match event {
        Event::Present { layer, .. } => of(layer, "Already exists"),
        Event::Waiting { layer } => of(layer, "Waiting"),
        Event::Begun { layer, .. } => of(layer, "Pulling fs layer"),
        Event::From { layer, peer } => of(layer, &format!("Pulling from {peer}")),
        Event::Coming { layer, peer } => of(layer, &format!("Waiting for {peer}")),
        Event::Retried { layer, error } => of(layer, &format!("Retrying: {error}")),
        Event::Done { layer } => of(layer, "Pull complete"),
        Event::Resolved { .. } | Event::Moved { .. } | Event::Finishing => None,
    }
}
