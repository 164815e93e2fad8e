//! Runs cargo with the right packages: the simulator's features must not reach what ships.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::suite::{self, Job, SHIPPED, SIMULATOR};
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
    suite::run(filter, Vec::new())
}

pub(crate) fn lint() -> Result<()> {
    command("cargo", &["fmt", "--all", "--check"])?;
    for scope in [&SHIPPED[..], &SIMULATOR[..]] {
        command("cargo", &clippy(scope))?;
    }
    tidy::check()
}

fn clippy<'w>(scope: &[&'w str]) -> Vec<&'w str> {
    [&["clippy", "--locked", "--all-targets", "--quiet"], scope, &["--", "--deny", "warnings"]]
        .concat()
}

/// All of [`lint`] and [`test`], and the release build. What takes no time comes first, so that it
/// fails at once; what only computes is done while tests wait.
pub(crate) fn ci() -> Result<()> {
    needs::check()?;
    command("cargo", &["fmt", "--all", "--check"])?;
    tidy::check()?;
    let beside = vec![
        Job::cargo("release build", &["build", "--locked", "--release"])?,
        Job::cargo("clippy", &clippy(&SHIPPED))?,
        Job::cargo("clippy, simulator", &clippy(&SIMULATOR))?,
    ];
    suite::run(None, beside)
}

pub(crate) fn sim(arguments: &[String]) -> Result<()> {
    let mut words =
        vec!["run", "--locked", "--release", "--quiet", "--package", "argosy-sim", "--"];
    words.extend(arguments.iter().map(String::as_str));
    command("cargo", &words)
}
