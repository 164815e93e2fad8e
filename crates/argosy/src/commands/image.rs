//! Container images: `argosy image ...`, and the short forms `pull`, `images` and `rmi`.
//!
//! These work on this machine's store directly: it may be used by any number of processes.

mod bars;
mod shown;
mod transfer;

use std::collections::BTreeSet;
use std::path::Path;

use argosy_image::{
    AuthFiles, Blame, Collect, Error, Limits, Policy, Reference, Registries, RegistryClient,
    Removal, Store, StoreError,
};

pub(crate) use shown::docker_value;
pub(super) use shown::list;
pub(super) use transfer::pull;

use crate::args::{DataDir, Global, ImageAction, ImageGc, ImageRemove, ImageTag, RegistryOptions};
use crate::container::let_images_go;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// What is said about registries where nothing else is named.
const REGISTRIES: &str = "/etc/argosy/registries.toml";
/// Images below the data directory.
const IMAGES: &str = "images";

pub(super) async fn run(
    action: ImageAction,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    match action {
        ImageAction::Pull(options) => pull(&options, global, printer).await,
        ImageAction::Push(options) => transfer::push(&options, printer).await,
        ImageAction::List(options) => list(&options, printer),
        ImageAction::Inspect(options) => shown::inspect(&options, printer),
        ImageAction::Tag(options) => tag(&options),
        ImageAction::Rm(options) => remove(&options, printer),
        ImageAction::Import(options) => transfer::import(options, printer),
        ImageAction::Save(options) => transfer::save(&options),
        ImageAction::Load(options) => transfer::load(options, printer),
        ImageAction::Gc(options) => collect(&options, printer),
        ImageAction::Login { words: _ } => Err(login()),
    }
}

/// docker's `login` and `logout`, which keep passwords for others' commands.
fn login() -> Failure {
    Failure::new(Exit::BadInput, "there is no login here: credentials are read from a file")
        .with_help(
            "write {\"auths\": {\"REGISTRY\": {\"auth\": \"...\"}}}, with the base64 of USER:PASSWORD, \
             into ~/.docker/config.json, readable for you alone; docs/images.md has more",
        )
}

fn tag(options: &ImageTag) -> Result<(), Failure> {
    store(&options.data)?.tag(&options.image, &options.name).map_err(|error| failed(error.into()))
}

pub(super) fn remove(options: &ImageRemove, printer: &Printer) -> Result<(), Failure> {
    let store = store(&options.data)?;
    let_images_go(&crate::container::data_dir(&options.data.data_dir)?, &store)?;
    let removal = Removal { force: options.force, in_use: BTreeSet::new() };
    let mut removed = Vec::new();
    for image in &options.images {
        removed.push(store.remove(image, &removal).map_err(|error| failed(error.into()))?);
    }
    let value: Vec<serde_json::Value> = removed
        .iter()
        .map(|removed| {
            serde_json::json!({
                "names": removed.names, "image": removed.image, "bytes": removed.bytes,
            })
        })
        .collect();
    printer.show(&value, |_| {
        let mut lines = Vec::new();
        for removed in &removed {
            lines.extend(removed.names.iter().map(|name| format!("untagged {}", name.familiar())));
            if let Some(id) = &removed.image {
                lines.push(format!("removed {} ({})", id.short(), shown::size(removed.bytes)));
            }
        }
        lines.join("\n")
    })
}

fn collect(options: &ImageGc, printer: &Printer) -> Result<(), Failure> {
    let store = store(&options.data)?;
    let_images_go(&crate::container::data_dir(&options.data.data_dir)?, &store)?;
    let what = if options.all { Collect::Unused } else { Collect::Nameless };
    let collected = store.collect(&BTreeSet::new(), what).map_err(|error| failed(error.into()))?;
    let disk = store.disk().map_err(|error| failed(error.into()))?;
    let value = serde_json::json!({
        "images": collected.images,
        "contents": collected.contents,
        "bytes": collected.bytes,
        "disk_used_percent": disk.used_percent,
    });
    printer.show(&value, |_| {
        let mut lines: Vec<String> =
            collected.images.iter().map(|id| format!("removed {}", id.short())).collect();
        lines.push(format!(
            "{} freed; the disk is {} % full, {} are free",
            shown::size(collected.bytes),
            disk.used_percent,
            shown::size(disk.available_bytes),
        ));
        lines.join("\n")
    })
}

/// This machine's images.
fn store(data: &DataDir) -> Result<Store, Failure> {
    store_with(data, Limits::default())
}

fn store_with(data: &DataDir, limits: Limits) -> Result<Store, Failure> {
    let data_dir = crate::container::data_dir(&data.data_dir)?;
    Store::open(data_dir.join(IMAGES), limits).map_err(|error| {
        let denied = matches!(
            &error,
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied
        );
        let failure = failed(error.into());
        if denied {
            return failure.with_help("run it as root, or keep images of your own with --data-dir");
        }
        failure
    })
}

pub(crate) fn client(options: &RegistryOptions) -> Result<RegistryClient, Failure> {
    let auth_files = match &options.auth_file {
        Some(path) => AuthFiles::new(vec![path.clone()]),
        None => {
            let user = rustix::process::geteuid().as_raw();
            AuthFiles::usual(|name| std::env::var_os(name).map(Into::into), user)
        }
    };
    Ok(RegistryClient::new(registries(options)?, auth_files))
}

fn registries(options: &RegistryOptions) -> Result<Registries, Failure> {
    let path = options.registries.as_deref().unwrap_or(Path::new(REGISTRIES));
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::BadInput, format!("cannot read {}: {error}", path.display()))
    };
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| wrong(&error)),
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && options.registries.is_none() =>
        {
            Ok(Registries::default())
        }
        Err(error) => Err(wrong(&error)),
    }
}

pub(crate) fn policy() -> Result<Policy, Failure> {
    Policy::of_this_machine().map_err(|error| failed(error.into()))
}

/// A failure with the exit status that says whose it is.
pub(crate) fn failed(error: Error) -> Failure {
    let exit = match error.blame() {
        Blame::Input => Exit::BadInput,
        Blame::Refusal => Exit::Refused,
        Blame::Network => Exit::Unreachable,
    };
    Failure::from_error(exit, &error)
}

/// Names as people write them.
fn familiar(names: &[Reference]) -> Vec<String> {
    names.iter().map(Reference::familiar).collect()
}
