//! The image of a container: from this machine, or a registry.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use argosy_container::{ContainerId, Health};
use argosy_image::{Event, Image, Platform, Progress, PullOptions, Reference, Store, When};

use serde::Deserialize;

use super::options;
use crate::args::{ContainerRun, PullWhen, RegistryOptions};
use crate::commands::image::{client, failed, policy};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::through_daemon;

/// How often a pull is tried again when nothing is said; `pull` itself tries each layer again.
const RETRIES: u32 = 0;
/// Most tries; each may take as long as a registry likes.
const RETRIES_MAX: u32 = 20;
/// Between two tries, when nothing is said.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Returns the image, held for the container that is to be; of one that is passing nothing has to be
/// there after the machine lost its power.
pub(super) fn image(
    store: &Store,
    socket: &Path,
    options: &ContainerRun,
    (id, passing): (&ContainerId, bool),
    printer: &Printer,
) -> Result<Image, Failure> {
    let wanted = options.image_and_command[0].as_str();
    let here = || {
        let image = store.find(wanted).ok()?;
        let held = match passing {
            true => store.hold_passing(&image.manifest, id.as_str()),
            false => store.hold(&image.manifest, id.as_str()),
        };
        held.ok()?;
        Some(image)
    };
    // By an id, or one that is here: no registry is asked.
    let platform = options.platform.as_deref().map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let asks = matches!(options.pull, PullWhen::Always | PullWhen::Newer);
    if !asks
        && platform.is_none()
        && let Some(image) = here()
    {
        return Ok(image);
    }
    if options.pull == PullWhen::Never {
        return Err(Failure::new(Exit::BadInput, format!("there is no image {wanted:?} here"))
            .with_help(format!("get it: argosy image pull {wanted}")));
    }
    let reference: Reference = wanted.parse().map_err(|error: argosy_image::ReferenceError| {
        Failure::from_error(Exit::BadInput, &error)
    })?;
    let how = PullOptions {
        holder: Some(id.as_str().to_owned()),
        when: if asks { When::Always } else { When::Missing },
        platform,
        peers: through_daemon::peers(socket, store),
    };
    printer.progress(&format!("pulling {reference} ..."));
    let pulled = pull_again(store, &reference, &how, options);
    match (pulled, options.pull) {
        (Err(failure), PullWhen::Newer) => here().ok_or(failure),
        (result, _) => result,
    }
}

fn pull_again(
    store: &Store,
    reference: &Reference,
    how: &PullOptions,
    options: &ContainerRun,
) -> Result<Image, Failure> {
    let delay = options.retry_delay.as_deref().map(options::span).transpose()?;
    let mut left = options.retry.unwrap_or(RETRIES).min(RETRIES_MAX);
    loop {
        match pull(store, reference, how) {
            Err(failure) if left > 0 => {
                crate::printer::note(&format!("{}; tried again", failure.message));
                left -= 1;
                std::thread::sleep(delay.unwrap_or(RETRY_DELAY));
            }
            result => return result,
        }
    }
}

fn pull(store: &Store, reference: &Reference, how: &PullOptions) -> Result<Image, Failure> {
    let client = client(&RegistryOptions::usual())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    runtime
        .block_on(argosy_image::pull(store, &client, &policy()?, reference, how, told()))
        .map_err(failed)
}

/// Says what a person who waits wants to know; the journal of a unit has it, too.
fn told() -> Progress {
    Arc::new(|event| match event {
        Event::Resolved { layers, bytes, .. } => {
            crate::printer::note(&format!("{layers} layers, {} MiB", bytes >> 20));
        }
        Event::From { layer, peer } => {
            crate::printer::note(&format!("layer {} comes from {peer}", layer.short()));
        }
        Event::Retried { layer, error } => {
            crate::printer::note(&format!("layer {}: {error}; tried again", layer.short()));
        }
        _ => {}
    })
}

/// What an image says of its health (docker's format; times are in nanoseconds).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Healthcheck {
    test: Vec<String>,
    interval: u64,
    timeout: u64,
    start_period: u64,
    retries: u32,
}

/// Returns the health check of an image, if it has one.
pub(super) fn health(image: &Image) -> Option<Health> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Config {
        healthcheck: Option<Healthcheck>,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Whole {
        config: Option<Config>,
    }
    let whole: Whole = serde_json::from_str(&image.config_text).ok()?;
    let check = whole.config?.healthcheck?;
    let mut health = match check.test.first()?.as_str() {
        "NONE" => return None,
        _ => Health::new(options::listed(&check.test)),
    };
    for (nanos, place) in [
        (check.interval, &mut health.interval),
        (check.timeout, &mut health.timeout),
        (check.start_period, &mut health.start_period),
    ] {
        if nanos > 0 {
            *place = Duration::from_nanos(nanos);
        }
    }
    if check.retries > 0 {
        health.retries = check.retries;
    }
    Some(health)
}

/// Returns a container's labels: its own, over those of its image.
pub(super) fn labels(image: &Image, own: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let config = image.config.config().as_ref();
    let of_image = config.and_then(|it| it.labels().clone()).unwrap_or_default();
    let mut labels: BTreeMap<String, String> = of_image.into_iter().collect();
    labels.extend(options::pairs(own)?);
    Ok(labels)
}

/// Returns the places where an image wants volumes.
pub(super) fn volumes(image: &Image) -> Vec<String> {
    let config = image.config.config().as_ref();
    config.and_then(|it| it.volumes().clone()).unwrap_or_default()
}
