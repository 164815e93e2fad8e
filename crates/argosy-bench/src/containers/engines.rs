//! The engines that are compared, each as its users run it, on the same root file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Argosy,
    Crun,
    Runc,
    Podman,
}

/// Everything that the engines need, in one directory that goes at the end.
#[derive(Debug)]
pub(super) struct Stage {
    directory: tempfile::TempDir,
    argosy: PathBuf,
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) pss: u64,
    pub(super) private: u64,
}

const APPLETS: [&str; 3] = ["sh", "true", "sleep"];

impl Stage {
    /// Makes a root file system of busybox, and gives it to each engine.
    pub(super) fn prepare(argosy: &Path) -> Result<Stage> {
        let argosy = fs::canonicalize(argosy)
            .with_context(|| format!("there is no {}; build it", argosy.display()))?;
        let stage = Stage { directory: tempfile::tempdir()?, argosy };
        let root = stage.path("rootfs");
        for directory in ["bin", "dev", "proc", "sys", "tmp", "etc"] {
            fs::create_dir_all(root.join(directory))?;
        }
        let busybox =
            ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|it| Path::new(it).exists());
        let busybox = busybox.context("there is no busybox; install busybox-static")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        let archive = stage.path("rootfs.tar");
        succeed(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
        succeed(stage.argosy().args(["image", "import"]).arg(&archive).arg("busybox"))?;
        stage.bundle(&root)?;
        if is_installed("podman") {
            succeed(stage.podman().arg("import").arg(&archive).arg("busybox"))?;
        }
        Ok(stage)
    }

    pub(super) fn engines(&self) -> Vec<Engine> {
        let mut engines = vec![Engine::Argosy];
        for (engine, program) in
            [(Engine::Crun, "crun"), (Engine::Runc, "runc"), (Engine::Podman, "podman")]
        {
            match is_installed(program) {
                true => engines.push(engine),
                false => println!("{program} is not installed, and left out"),
            }
        }
        engines
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn argosy(&self) -> Command {
        let mut command = Command::new(&self.argosy);
        command.env("ARGOSY_DATA_DIR", self.path("data"));
        command.env("ARGOSY_RUNTIME_DIR", self.path("run"));
        command
    }

    fn podman(&self) -> Command {
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(self.path("podman"))
            .arg("--runroot")
            .arg(self.path("podman-run"));
        command.args(["--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=runc"]);
        command
    }

    /// What runc and crun run: `runc spec`, without a terminal, of `true`.
    fn bundle(&self, root: &Path) -> Result<()> {
        let bundle = self.path("bundle");
        fs::create_dir_all(&bundle)?;
        symlink(root, bundle.join("rootfs"))?;
        let Some(maker) = ["runc", "crun"].into_iter().find(|it| is_installed(it)) else {
            return Ok(());
        };
        succeed(Command::new(maker).arg("spec").current_dir(&bundle))?;
        let path = bundle.join("config.json");
        let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["true"]);
        // This machine may have lower ones.
        spec["process"]["rlimits"] = serde_json::json!([]);
        spec["root"]["path"] = root.display().to_string().into();
        Ok(fs::write(path, serde_json::to_vec(&spec)?)?)
    }
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Engine::Argosy => "argosy",
            Engine::Crun => "crun",
            Engine::Runc => "runc",
            Engine::Podman => "podman",
        }
    }

    /// Whether it starts containers and leaves them.
    pub(super) fn has_background(self) -> bool {
        matches!(self, Engine::Argosy | Engine::Podman)
    }

    /// Runs `true` in a container of its own; returns how long it took.
    pub(super) fn run_true(self, stage: &Stage) -> Result<Duration> {
        let mut command = match self {
            Engine::Argosy | Engine::Podman => {
                let mut command = self.commands(stage);
                command.args(["run", "--rm", "--network=none"]).args(self.limits());
                command.args(["busybox", "true"]);
                command
            }
            Engine::Runc => {
                let mut command = Command::new("runc");
                command.arg("--root").arg(stage.path("runc")).arg("run").arg("--bundle");
                command.arg(stage.path("bundle")).arg("bench-runc");
                command
            }
            Engine::Crun => {
                // It refuses hosts with both versions of cgroups unless it sees one of them only.
                let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh", "crun"]);
                command.arg("--root").arg(stage.path("crun")).arg("run").arg("--bundle");
                command.arg(stage.path("bundle")).arg("bench-crun");
                command
            }
        };
        command.stdin(Stdio::null());
        let begin = Instant::now();
        succeed(&mut command)?;
        Ok(begin.elapsed())
    }

    /// Starts a container that sleeps, in the background.
    pub(super) fn start_sleep(self, stage: &Stage, name: &str) -> Result<Child> {
        let mut command = self.commands(stage);
        command.arg("run").args(self.limits());
        command.args(["--detach", "--network=none", "--name", name, "busybox", "sleep", "100000"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.spawn()?)
    }

    /// Returns how many of its containers run.
    pub(super) fn count(self, stage: &Stage) -> Result<usize> {
        let output = succeed(self.commands(stage).args(["ps", "--quiet"]))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().count())
    }

    /// Ends and removes containers.
    pub(super) fn remove(self, stage: &Stage, names: &[String]) -> Result<()> {
        let mut command = self.commands(stage);
        command.args(["rm", "--force"]);
        if self == Engine::Podman {
            command.arg("--time=0");
        }
        succeed(command.args(names)).map(drop)
    }

    /// The command that takes docker's words about containers.
    fn commands(self, stage: &Stage) -> Command {
        if self == Engine::Podman {
            return stage.podman();
        }
        let mut command = stage.argosy();
        command.arg("container");
        command
    }

    fn limits(self) -> &'static [&'static str] {
        if self == Engine::Podman { &PODMAN_LIMITS } else { &[] }
    }
}

/// Without these podman asks for more than this machine may grant.
const PODMAN_LIMITS: [&str; 2] = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];

/// Returns the memory of every monitor of our containers.
pub(super) fn monitors(stage: &Stage) -> Result<Vec<Memory>> {
    let place = stage.directory.path().display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if !line.contains("container-helper") || !line.contains(&place) {
            continue;
        }
        let text = fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        let kib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let private = kib("Private_Clean:") + kib("Private_Dirty:");
        found.push(Memory { pss: kib("Pss:"), private });
    }
    if found.is_empty() {
        bail!("no monitor of a container was found");
    }
    Ok(found)
}

pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

pub(super) fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("{command:?} failed: {}: {said}", output.status);
    }
    Ok(output)
}
