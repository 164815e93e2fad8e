//! Runs cargo with the right packages: the simulator's features must not reach what ships.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{needs, tidy};

/// Returns the workspace's root folder.
pub(crate) fn root() -> Result<PathBuf> {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(PathBuf::from)
        .context("the folder of xtask has no parent")
}

/// Runs a command in the workspace's root, and fails with its name if it fails.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Result<()> {
    println!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root()?)
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} {} failed: {status}", arguments.join(" "));
    }
    Ok(())
}

pub(crate) fn test(filter: Option<&str>) -> Result<()> {
    needs::check()?;
    tidy::check()?;
    let with_filter = |arguments: &[&str]| {
        let mut all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        all.extend(filter.map(str::to_owned));
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        command("cargo", &words)
    };
    with_filter(&["test", "--locked", "--workspace", "--exclude", "argosy-sim"])?;
    // By itself: it turns on `planted-bugs` in the crates below it.
    with_filter(&["test", "--locked", "--package", "argosy-sim"])
}

pub(crate) fn lint() -> Result<()> {
    command("cargo", &["fmt", "--all", "--check"])?;
    let clippy = ["clippy", "--locked", "--all-targets", "--quiet"];
    let strict = ["--", "--deny", "warnings"];
    let words = |scope: &[&'static str]| [&clippy[..], scope, &strict[..]].concat();
    command("cargo", &words(&["--workspace", "--exclude", "argosy-sim"]))?;
    command("cargo", &words(&["--package", "argosy-sim"]))?;
    tidy::check()
}

pub(crate) fn sim(arguments: &[String]) -> Result<()> {
    let mut words =
        vec!["run", "--locked", "--release", "--quiet", "--package", "argosy-sim", "--"];
    words.extend(arguments.iter().map(String::as_str));
    command("cargo", &words)
}
