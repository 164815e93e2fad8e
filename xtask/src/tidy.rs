//! Style as a test: what a reader may rely on in every file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::layers;
use crate::run::root;

/// Longer files need a wall somewhere.
const LINES_MAX: usize = 600;
/// The share of files that must stay within [`LINES_AIM`], in percent.
const SHORT_PERCENT_MIN: usize = 80;
const LINES_AIM: usize = 300;
/// Names that say nothing about what is inside.
const BANNED_NAMES: [&str; 5] = ["mod.rs", "util.rs", "utils.rs", "common.rs", "helpers.rs"];
/// Words that mark unfinished work. Split so that this file does not contain them.
const BANNED_WORDS: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
];
/// What a deciding crate must not name: clocks, I/O, threads, chance, unordered maps.
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "thread_rng",
    "HashMap",
    "HashSet",
];
const PURE_CRATES: [&str; 9] = [
    "argosy-model",
    "argosy-unit",
    "argosy-kv",
    "argosy-consensus",
    "argosy-registry",
    "argosy-scheduler",
    "argosy-supervisor",
    "argosy-reconcile",
    "argosy-sim",
];

pub(crate) fn check() -> Result<()> {
    let root = root()?;
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        rust_files(&root.join(folder), &mut files)?;
    }
    let mut found = layers::violations()?;
    let mut short = 0;
    for path in &files {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(&root).unwrap_or(path).display().to_string();
        short += usize::from(text.lines().count() <= LINES_AIM);
        file_findings(path, &name, &text, &mut found);
    }
    if short * 100 < files.len() * SHORT_PERCENT_MIN {
        found.push(format!("only {short} of {} files have at most {LINES_AIM} lines", files.len()));
    }
    if found.is_empty() {
        println!("tidy: {} files, {short} of at most {LINES_AIM} lines", files.len());
        return Ok(());
    }
    for line in &found {
        eprintln!("tidy: {line}");
    }
    bail!("{} findings", found.len())
}

fn file_findings(path: &Path, name: &str, text: &str, found: &mut Vec<String>) {
    if !text.starts_with("//! ") {
        found.push(format!("{name} does not begin with //! and its duty"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{name} has {lines} lines, at most {LINES_MAX} are allowed"));
    }
    if path.file_name().is_some_and(|file| BANNED_NAMES.iter().any(|banned| *banned == file)) {
        found.push(format!("{name} has a name that says nothing"));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(word) = BANNED_WORDS.iter().find(|word| line.contains(**word)) {
            found.push(format!("{name}:{} says {word}", number + 1));
        }
    }
    let product = |krate: &str| name.starts_with(&format!("crates/{krate}/src/"));
    let is_test = name.contains("/tests") || name.contains("/bin/") || name.ends_with("/main.rs");
    if PURE_CRATES.iter().any(|krate| product(krate)) && !is_test {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                found
                    .push(format!("{name}:{} is in a deciding crate and names {word}", number + 1));
            }
        }
    }
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut items: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .map(|item| item.map(|item| item.path()))
        .collect::<Result<_, _>>()?;
    items.sort();
    for path in items {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
