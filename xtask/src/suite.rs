//! Runs tests and builds side by side: what mostly waits beside what computes.
//!
//! Cargo runs one test binary after the other. Those with machines, elections and timeouts leave
//! the processors idle most of the time; here the rest fills it, with less priority.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::run::root;

/// Crates whose integration tests mostly wait, the longest first.
const WAITING: [&str; 8] = [
    "argosy",
    "argosy-native",
    "argosy-store",
    "argosy-keeper",
    "argosy-container",
    "argosy-testbed",
    "argosy-etcd",
    "argosy-proxy",
];

/// Everything but the simulator, which turns on `planted-bugs` in the crates below it.
pub(crate) const SHIPPED: [&str; 3] = ["--workspace", "--exclude", "argosy-sim"];
pub(crate) const SIMULATOR: [&str; 2] = ["--package", "argosy-sim"];

/// How much the jobs that compute give way to those that wait (nice(1)): tests of the latter have
/// deadlines.
const NICE: &str = "10";

/// A command with a name.
pub(crate) struct Job {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
}

impl Job {
    pub(crate) fn cargo(name: &str, arguments: &[&str]) -> Result<Self> {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Ok(Self { name: name.to_owned(), program: "cargo".into(), arguments, folder: root()? })
    }
}

/// What cargo says it has built, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A test binary, and whether it mostly waits.
struct Binary {
    job: Job,
    waits: Option<usize>,
}

/// Builds the tests of these packages.
fn build(packages: &[&str], filter: Option<&str>) -> Result<Vec<Binary>> {
    let words = [&["test", "--no-run", "--locked"], packages].concat();
    println!("$ cargo {}", words.join(" "));
    let mut cargo = Command::new("cargo")
        .args(words)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root()?)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let mut binaries = Vec::new();
    if let Some(output) = cargo.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("cannot read what cargo says")?;
            let message: Message =
                serde_json::from_str(&line).context("cannot understand what cargo says")?;
            binaries.extend(binary(message, filter));
        }
    }
    if !cargo.wait().context("cannot wait for cargo")?.success() {
        bail!("the tests cannot be built");
    }
    Ok(binaries)
}

fn binary(message: Message, filter: Option<&str>) -> Option<Binary> {
    let is_test = message.reason == "compiler-artifact" && message.profile?.test;
    let (program, target) = (message.executable.filter(|_| is_test)?, message.target?);
    let folder = message.manifest_path.parent()?.to_owned();
    let package = folder.file_name()?.to_string_lossy().into_owned();
    let integration = target.kind.iter().any(|kind| kind == "test");
    let place = WAITING.iter().position(|waiting| *waiting == package);
    let name = match integration {
        true => format!("{package} ({})", target.name),
        false => format!("{package} (unit tests)"),
    };
    let arguments = filter.map(str::to_owned).into_iter().collect();
    let waits = place.filter(|_| integration);
    Some(Binary { job: Job { name, program, arguments, folder }, waits })
}

/// Builds and runs all tests whose names contain `filter`. What is given beside them is done with
/// what the tests leave of the processors.
pub(crate) fn run(filter: Option<&str>, beside: Vec<Job>) -> Result<()> {
    let mut binaries = build(&SHIPPED, filter)?;
    binaries.sort_by_key(|binary| binary.waits);
    let (waiting, computing): (Vec<_>, Vec<_>) =
        binaries.into_iter().partition(|binary| binary.waits.is_some());
    let stage = Stage::new()?;
    std::thread::scope(|scope| {
        scope.spawn(|| stage.play(waiting.into_iter().map(|binary| binary.job), &[]));
        scope.spawn(|| {
            let niced = ["nice", "-n", NICE];
            stage.play(computing.into_iter().map(|binary| binary.job), &niced);
            match build(&SIMULATOR, filter) {
                Ok(simulator) => stage.play(simulator.into_iter().map(|it| it.job), &niced),
                Err(error) => stage.failed("argosy-sim", &error),
            }
        });
        scope.spawn(|| stage.play(beside, &["nice", "-n", NICE]));
    });
    stage.end()
}

/// Where the jobs of all lanes tell how they went, one at a time.
struct Stage {
    logs: PathBuf,
    failed: Mutex<Vec<String>>,
}

impl Stage {
    fn new() -> Result<Self> {
        let logs = root()?.join("target/tests");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        Ok(Self { logs, failed: Mutex::default() })
    }

    /// Runs jobs one after the other. One that fails does not keep the next from running.
    fn play(&self, jobs: impl IntoIterator<Item = Job>, before: &[&str]) {
        for job in jobs {
            if let Err(error) = self.play_one(&job, before) {
                self.failed(&job.name, &error);
            }
        }
    }

    fn play_one(&self, job: &Job, before: &[&str]) -> Result<()> {
        let path = self.logs.join(format!("{}.log", job.name.replace(' ', "-")));
        let log = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let errors = log.try_clone().context("cannot share a log")?;
        let mut command = match before {
            [] => Command::new(&job.program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&job.program);
                command
            }
        };
        // As cargo does it.
        command.args(&job.arguments).current_dir(&job.folder);
        command.env("CARGO_MANIFEST_DIR", &job.folder);
        let begun = Instant::now();
        let status = command.stdout(log).stderr(errors).status();
        let status = status.with_context(|| format!("cannot run {}", job.program.display()))?;
        self.tell(job, &path, begun.elapsed(), status.success())?;
        if !status.success() {
            bail!("{status}");
        }
        Ok(())
    }

    /// Shows what a job has said, whole and undisturbed by the others.
    fn tell(&self, job: &Job, path: &Path, took: Duration, passed: bool) -> Result<()> {
        let said = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let guard = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let how = if passed { "ok" } else { "FAILED" };
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n== {}: {how}, {:.1} s", job.name, took.as_secs_f64())?;
        // With a filter most binaries have nothing to do.
        let idle = passed && said.windows(15).any(|text| text == b"running 0 tests");
        if !idle {
            out.write_all(&said)?;
        }
        drop(guard);
        Ok(())
    }

    fn failed(&self, name: &str, error: &anyhow::Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.push(format!("{name}: {error:#}"));
    }

    fn end(self) -> Result<()> {
        let failed = self.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        if failed.is_empty() {
            return Ok(());
        }
        bail!("{}", failed.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Option<(&str, bool)>) {
        let message: Message = serde_json::from_str(json).expect("what cargo says");
        let found = binary(message, Some("word"));
        let found = found.map(|found| {
            assert_eq!(found.job.arguments, ["word"]);
            (found.job.name, found.waits.is_some())
        });
        let expected = expected.map(|(name, waits)| (name.to_owned(), waits));
        assert_eq!(found, expected, "{json}");
    }

    fn artifact(package: &str, name: &str, kind: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/{package}/Cargo.toml",
            "target":{{"name":"{name}","kind":["{kind}"]}},"profile":{{"test":{test}}},
            "executable":"/w/target/debug/deps/{name}-0"}}"#
        )
    }

    #[test]
    fn only_test_binaries_are_run_and_those_that_wait_apart() {
        check(&artifact("argosy", "it", "test", true), Some(("argosy (it)", true)));
        check(&artifact("argosy", "argosy", "bin", true), Some(("argosy (unit tests)", false)));
        check(&artifact("argosy-kv", "it", "test", true), Some(("argosy-kv (it)", false)));
        check(&artifact("argosy", "argosy", "bin", false), None);
        check(r#"{"reason":"build-finished","success":true}"#, None);
        let library = artifact("argosy-kv", "argosy_kv", "lib", true);
        check(&library.replace(r#""/w/target/debug/deps/argosy_kv-0""#, "null"), None);
    }
}
