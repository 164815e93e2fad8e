//! Compares the crates' real dependencies with `layers.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::run::root;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Layers {
    words: BTreeMap<String, Vec<String>>,
    decisions: BTreeMap<String, Vec<String>>,
    edges: BTreeMap<String, Vec<String>>,
    composition: BTreeMap<String, Vec<String>>,
    proof: BTreeMap<String, Vec<String>>,
    outside: Outside,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outside {
    words: Vec<String>,
    decisions: Vec<String>,
    only: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Returns one sentence for each edge that is not allowed.
pub(crate) fn violations() -> Result<Vec<String>> {
    let text =
        fs::read_to_string(root()?.join("layers.toml")).context("cannot read layers.toml")?;
    let layers: Layers = toml::from_str(&text).context("layers.toml is not understood")?;
    let mut found = Vec::new();
    for package in metadata()?.packages {
        let name = package.name.as_str();
        let rungs = [&layers.words, &layers.decisions, &layers.edges, &layers.composition];
        let rung = rungs.into_iter().chain([&layers.proof]).find(|rung| rung.contains_key(name));
        let Some(allowed) = rung.and_then(|rung| rung.get(name)) else {
            found.push(format!("{name} stands in no rung of layers.toml"));
            continue;
        };
        let outside = if layers.words.contains_key(name) {
            Some(&layers.outside.words)
        } else if layers.decisions.contains_key(name) {
            Some(&layers.outside.decisions)
        } else {
            None
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind.is_none()) {
            let on = dependency.name.as_str();
            if dependency.path.is_some() {
                if !allowed.iter().any(|allowed| allowed == on) {
                    found.push(format!("{name} names {on}, which layers.toml does not allow"));
                }
            } else if outside.is_some_and(|list| !list.iter().any(|allowed| allowed == on)) {
                found.push(format!("{name} is a deciding crate and names {on} from outside"));
            }
            if layers.outside.only.get(on).is_some_and(|owner| owner != name) {
                found.push(format!("{name} names {on}, which only one crate may name"));
            }
        }
    }
    Ok(found)
}

fn metadata() -> Result<Metadata> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--locked", "--format-version", "1"])
        .current_dir(root()?)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("the answer of cargo metadata is not understood")
}
