//! Lists images and shows all about one.

use argosy_image::{
    DiskUse, Image, ImageUse, LastCollection, Limits, Pressure, Reference, Store, Usage,
};

use super::{failed, familiar, store, store_with};
use crate::args::{ImageInspect, ImageList};
use crate::commands::time;
use crate::container::show;
use crate::failure::{Exit, Failure};
use crate::printer::{Printer, table};
use crate::template::{Columns, print_lines};

/// docker's fields of `images`, and its names of columns.
const COLUMNS: &Columns = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];

pub(in crate::commands) fn list(options: &ImageList, printer: &Printer) -> Result<(), Failure> {
    let limits = options.disk.limits();
    let store = store_with(&options.data, limits)?;
    let mut usage = store.usage().map_err(|error| failed(error.into()))?;
    let last = store.last_collection().map_err(|error| failed(error.into()))?;
    if let Some(name) = &options.name {
        for image in &mut usage.images {
            image.names.retain(|it| is_named(it, name));
        }
        usage.images.retain(|image| !image.names.is_empty());
    }
    let id = |image: &ImageUse| match options.no_trunc {
        true => image.id.to_string(),
        false => image.id.short().to_owned(),
    };
    if options.quiet {
        let ids: Vec<String> = usage.images.iter().map(id).collect();
        return if ids.is_empty() { Ok(()) } else { printer.line(&ids.join("\n")) };
    }
    if let Some(format) = &options.format {
        let lines: Vec<_> = usage.images.iter().flat_map(|it| fields(it, &id(it))).collect();
        if print_lines(format, COLUMNS, &lines, printer)? {
            return Ok(());
        }
    }
    let images: Vec<serde_json::Value> = usage.images.iter().map(listed).collect();
    let value = serde_json::json!({
        "images": images,
        "layer_bytes": usage.layer_bytes,
        "blob_bytes": usage.blob_bytes,
        "partial_bytes": usage.partial_bytes,
        "disk": {
            "total_bytes": usage.disk.total_bytes,
            "available_bytes": usage.disk.available_bytes,
            "used_percent": usage.disk.used_percent,
            "collect_percent": limits.collect_percent,
            "refuse_percent": limits.refuse_percent,
            "pressure": usage.disk.pressure(&limits).as_str(),
        },
        "last_collection": last,
    });
    printer.show(&value, |_| {
        let last = last.as_ref().map(|last| format!("\n{}", went(last))).unwrap_or_default();
        let pressure = pressure(&usage.disk, &limits);
        format!("{}{}{last}", people(&usage), pressure.unwrap_or_default())
    })
}

/// Says what a disk over a mark means.
fn pressure(disk: &DiskUse, limits: &Limits) -> Option<String> {
    let (collect, refuse) = (limits.collect_percent, limits.refuse_percent);
    match disk.pressure(limits) {
        Pressure::None => None,
        Pressure::Collect => {
            Some(format!("; from {collect} % on the daemon removes what is not used"))
        }
        Pressure::Refuse => {
            Some(format!("; from {refuse} % on pulls are refused, and no new units come here"))
        }
    }
}

/// Says what last went by itself.
fn went(last: &LastCollection) -> String {
    let names = familiar(&last.names);
    let what = match (&names[..], last.images.len()) {
        ([], 0) => "what belonged to no image".to_owned(),
        ([], count) => format!("{count} images without a name"),
        (names, _) => names.join(", "),
    };
    let at = time::since(last.at.saturating_mul(1_000_000));
    format!("removed for room at {at}: {what} ({})", size(last.bytes))
}

/// Tells whether a name is the one, or has the one before its tag.
fn is_named(name: &Reference, wanted: &str) -> bool {
    let is_tagged = wanted.rsplit('/').next().is_some_and(|it| it.contains([':', '@']));
    match (wanted.parse::<Reference>(), is_tagged) {
        (Ok(wanted), true) => *name == wanted,
        (Ok(wanted), false) => split(name).0 == split(&wanted).0,
        (Err(_), _) => false,
    }
}

/// Returns docker's fields of an image, a line for each of its names.
fn fields(image: &ImageUse, id: &str) -> Vec<serde_json::Value> {
    let line = |repository: &str, tag: &str, digest: &str| {
        serde_json::json!({
            "ID": id,
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "CreatedAt": image.created,
            "CreatedSince": date(image),
            "Size": size(image.bytes),
            "SharedSize": size(image.shared_bytes),
            "UniqueSize": size(image.unique_bytes()),
            "Containers": image.holders.len().to_string(),
        })
    };
    if image.names.is_empty() {
        return vec![line("<none>", "<none>", "<none>")];
    }
    let named = |name: &Reference| {
        let (repository, tag) = split(name);
        match name.digest() {
            Some(digest) => line(&repository, "<none>", &digest.to_string()),
            None => line(&repository, &tag, "<none>"),
        }
    };
    image.names.iter().map(named).collect()
}

fn people(usage: &Usage) -> String {
    let mut rows = Vec::new();
    for image in &usage.images {
        let rest = |name: String, tag: String| {
            vec![
                name,
                tag,
                image.id.short().to_owned(),
                date(image),
                size(image.bytes),
                size(image.unique_bytes()),
                if image.holders.is_empty() { "-".into() } else { image.holders.join(",") },
            ]
        };
        if image.names.is_empty() {
            rows.push(rest("<none>".into(), "<none>".into()));
        }
        rows.extend(image.names.iter().map(|name| {
            let (name, tag) = split(name);
            rest(name, tag)
        }));
    }
    rows.sort();
    let head = ["REPOSITORY", "TAG", "ID", "CREATED", "SIZE", "UNIQUE", "USED BY"];
    let total = format!(
        "{} images; layers {}, blobs {}, disk {} % full",
        usage.images.len(),
        size(usage.layer_bytes),
        size(usage.blob_bytes + usage.partial_bytes),
        usage.disk.used_percent,
    );
    format!("{}\n\n{total}", table(&head, rows))
}

/// Repository and tag as people write them; a digest stands in the tag's place.
fn split(name: &Reference) -> (String, String) {
    let familiar = name.familiar();
    if let Some(digest) = name.digest() {
        let repository = familiar.split('@').next().unwrap_or_default().to_owned();
        return (repository, format!("@{}", digest.short()));
    }
    match familiar.rsplit_once(':') {
        Some((repository, tag)) => (repository.to_owned(), tag.to_owned()),
        None => (familiar, String::new()),
    }
}

fn date(image: &ImageUse) -> String {
    let day = image.created.as_ref().and_then(|created| created.get(..10));
    day.map_or_else(|| "-".into(), str::to_owned)
}

fn listed(image: &ImageUse) -> serde_json::Value {
    serde_json::json!({
        "id": image.id,
        "manifest": image.manifest,
        "names": familiar(&image.names),
        "created": image.created,
        "bytes": image.bytes,
        "unique_bytes": image.unique_bytes(),
        "shared_bytes": image.shared_bytes,
        "used_by": image.holders,
    })
}

pub(super) fn inspect(options: &ImageInspect, printer: &Printer) -> Result<(), Failure> {
    let store = store(&options.data)?;
    let mut images = Vec::new();
    for name in &options.images {
        let image = store.find(name).map_err(|error| failed(error.into()))?;
        images.push(match options.docker || options.format.is_some() {
            true => docker_value(&store, &image)?,
            false => value(&store, &image)?,
        });
    }
    show(&images, options.format.as_deref(), printer)
}

/// An image in full.
pub(super) fn value(store: &Store, image: &Image) -> Result<serde_json::Value, Failure> {
    let names = store.names_of(&image.manifest).map_err(|error| failed(error.into()))?;
    let config: serde_json::Value = serde_json::from_str(&image.config_text)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    Ok(serde_json::json!({
        "id": image.id,
        "manifest": image.manifest,
        "names": familiar(&names),
        "bytes": image.bytes,
        "layers": image.layers,
        "config": config,
    }))
}

/// An image in docker's shape.
pub(crate) fn docker_value(store: &Store, image: &Image) -> Result<serde_json::Value, Failure> {
    let names = store.names_of(&image.manifest).map_err(|error| failed(error.into()))?;
    let config: serde_json::Value = serde_json::from_str(&image.config_text)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let (tags, digests): (Vec<_>, Vec<_>) = names.iter().partition(|it| it.digest().is_none());
    let familiar = |names: &[&Reference]| -> Vec<String> {
        names.iter().map(|name| name.familiar()).collect()
    };
    Ok(serde_json::json!({
        "Id": image.id,
        "RepoTags": familiar(&tags),
        "RepoDigests": familiar(&digests),
        "Created": config["created"],
        "Author": config["author"],
        "Architecture": config["architecture"],
        "Os": config["os"],
        "Size": image.bytes,
        "Config": config["config"],
        "RootFS": { "Type": "layers", "Layers": config["rootfs"]["diff_ids"] },
    }))
}

/// Bytes as people read them, in powers of a thousand.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes;
    let mut rest = 0;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000 || unit == "TB" {
            return if value < 10 && unit != "B" {
                format!("{value}.{} {unit}", rest / 100)
            } else {
                format!("{value} {unit}")
            };
        }
        rest = value % 1000;
        value /= 1000;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (4_459_000, "4.4 MB"),
            (204_800_000, "204 MB"),
            (7_990_000_000, "7.9 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
