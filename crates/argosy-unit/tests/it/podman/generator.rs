//! Podman's generator as a program.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cases::Case;
use super::{Outcome, facts};

/// The oldest version whose rules are followed.
const VERSION_MIN: (u32, u32) = (5, 8);

pub(super) struct Generator {
    program: PathBuf,
}

impl Generator {
    /// Finds an installed generator that is new enough.
    pub(super) fn find() -> Option<Generator> {
        let program = std::env::var_os("PODMAN_QUADLET")
            .map_or_else(|| PathBuf::from("/usr/libexec/podman/quadlet"), PathBuf::from);
        let output = Command::new(&program).arg("-version").output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?;
        let mut parts = version.trim().split('.').map(|part| part.parse::<u32>().ok());
        let version = (parts.next()??, parts.next()??);
        (version.0 == VERSION_MIN.0 && version >= VERSION_MIN).then_some(Generator { program })
    }

    /// Runs it over the files of a case.
    pub(super) fn outcome(&self, case: &Case, scratch: &Path) -> Outcome {
        drop(fs::remove_dir_all(scratch));
        fs::create_dir_all(scratch).expect("the scratch folder is ours");
        for (name, text) in &case.files {
            fs::write(scratch.join(name), text).expect("the scratch folder is ours");
        }
        let output = Command::new(&self.program)
            .arg("-dryrun")
            .env("QUADLET_UNIT_DIRS", scratch)
            .env_remove("PODMAN")
            .output()
            .expect("the generator runs");
        let here = scratch.display().to_string();
        let above = scratch.parent().expect("it is in a folder").display().to_string();
        let text = String::from_utf8(output.stdout).expect("unit files are text");
        let mut outcome: Outcome =
            case.files.iter().map(|(name, _)| (name.clone(), "refused\n".to_owned())).collect();
        let mut blocks = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("---").and_then(|rest| rest.strip_suffix("---")) {
                Some(name) => blocks.push((name.to_owned(), String::new())),
                None => {
                    let (_, block) = blocks.last_mut().expect("a name comes first");
                    block.push_str(line);
                    block.push('\n');
                }
            }
        }
        for (service, block) in blocks {
            let source = block.lines().find_map(|line| line.strip_prefix("SourcePath="));
            let name = source
                .and_then(|path| path.rsplit('/').next())
                .expect("a service names its source")
                .to_owned();
            let block = block.replace(&here, super::DIRECTORY).replace(&above, "/units");
            outcome.insert(name, facts::of(&service, &block));
        }
        outcome.retain(|name, _| {
            let translated = ["container", "pod", "volume", "network", "image"];
            translated.iter().any(|suffix| name.ends_with(&format!(".{suffix}")))
        });
        outcome
    }
}

/// Writes the record.
pub(super) fn record(cases: &[Case], outcomes: &[Outcome]) {
    let mut out =
        String::from("What the generator of Podman 5.8.6 makes of the cases in tests/it/podman.\n");
    for (case, outcome) in cases.iter().zip(outcomes) {
        writeln!(out, "\n=== {}", case.title).expect("a string takes all");
        for (name, facts) in outcome {
            write!(out, "--- {name}\n{facts}").expect("a string takes all");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/podman-5.8.6.txt");
    fs::write(path, out).expect("the record is ours to write");
}
