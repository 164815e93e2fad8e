//! A place with an image, containers in it, and a look at what they leave behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use argosy_container::{
    ContainerId, ContainerSpec, Containers, ExecSpec, Inspection, Process, Root, RunOptions, State,
    Streams,
};

/// Nothing here takes longer, however busy the machine is.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

const APPLETS: [&str; 31] = [
    "sh", "true", "false", "sleep", "cat", "id", "ls", "mount", "umount", "ps", "echo", "kill",
    "stat", "grep", "dd", "mknod", "hostname", "env", "touch", "readlink", "tty", "stty", "head",
    "mkdir", "wc", "ping", "chmod", "rm", "nc", "su", "setsid",
];

/// A file system as an image unpacks to, made once for all tests.
fn image() -> &'static Path {
    static IMAGE: OnceLock<tempfile::TempDir> = OnceLock::new();
    IMAGE
        .get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            for name in ["bin", "etc", "tmp", "root", "home/web", "var"] {
                fs::create_dir_all(root.join(name)).unwrap();
            }
            chmod(&root.join("tmp"), 0o1777);
            chmod(root, 0o755);
            let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(Path::new);
            let busybox = busybox.into_iter().find(|it| it.exists()).expect("busybox-static");
            fs::copy(busybox, root.join("bin/busybox")).unwrap();
            for applet in APPLETS {
                symlink("busybox", root.join("bin").join(applet)).unwrap();
            }
            fs::write(
                root.join("etc/passwd"),
                "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/home/web:/bin/sh\n",
            )
            .unwrap();
            fs::write(root.join("etc/group"), "root:x:0:\nwww:x:44:\nlogs:x:55:web\n").unwrap();
            fs::write(root.join("etc/not-a-program"), "x").unwrap();
            directory
        })
        .path()
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What the machine has before a test and is to have after it.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    helpers: BTreeSet<String>,
}

impl Traces {
    /// Looks at what belongs to one place.
    fn of(place: &Path) -> Traces {
        let name = place.file_name().unwrap().to_str().unwrap().to_owned();
        let mentions = |text: &str| text.contains(&name);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut cgroups = BTreeSet::new();
        // Ids hold the place's name, so cgroups do.
        collect_directories(Path::new("/sys/fs/cgroup"), &mut cgroups);
        let helpers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let path = entry.ok()?.path();
            let line = fs::read(path.join("cmdline")).ok()?;
            let root = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            let text = String::from_utf8_lossy(&line).replace('\0', " ");
            (mentions(&text) || mentions(&root)).then_some(text)
        });
        Traces {
            mounts: mounts.lines().filter(|line| mentions(line)).map(str::to_owned).collect(),
            cgroups: cgroups.into_iter().filter(|path| mentions(path)).collect(),
            helpers: helpers.collect(),
        }
    }
}

fn collect_directories(path: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(path).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(entry.path().display().to_string());
            collect_directories(&entry.path(), found);
        }
    }
}

/// Containers of one test. Dropping it checks that nothing is left of them.
pub(crate) struct Stand {
    directory: tempfile::TempDir,
    pub(crate) containers: Containers,
    count: AtomicUsize,
}

impl Stand {
    pub(crate) fn new() -> Stand {
        let directory = tempfile::Builder::new().prefix("ctr").tempdir().unwrap();
        chmod(directory.path(), 0o755);
        let containers = Containers {
            run_dir: directory.path().join("run"),
            data_dir: directory.path().join("data"),
        };
        Stand { directory, containers, count: AtomicUsize::new(0) }
    }

    /// A directory of the machine for this test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What all that belongs to this test has in its name.
    pub(crate) fn name(&self) -> String {
        self.directory.path().file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// A container of the image that runs this.
    pub(crate) fn spec(&self, args: &[&str]) -> ContainerSpec {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let id = ContainerId::new(format!("{}.{number}", self.name().replace('.', ""))).unwrap();
        let process = Process {
            args: args.iter().map(|it| (*it).to_owned()).collect(),
            env: vec![format!("PATH={}", argosy_container::DEFAULT_PATH)],
            ..Process::default()
        };
        ContainerSpec::new(id, Root::Layers(vec![image().to_owned()]), process)
    }

    /// A container that runs a shell script.
    pub(crate) fn script(&self, script: &str) -> ContainerSpec {
        self.spec(&["sh", "-c", script])
    }

    pub(crate) fn image(&self) -> &'static Path {
        image()
    }

    /// The helper for a container, not started yet.
    pub(crate) fn command(&self, id: &ContainerId, streams: Streams) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_container-stand"));
        command.arg(
            self.containers
                .run_request(id, RunOptions { streams, ..RunOptions::default() })
                .argument()
                .unwrap(),
        );
        command.stdin(Stdio::null());
        command
    }

    /// The helper for a container within a shell script that changes something first.
    pub(crate) fn command_after(&self, id: &ContainerId, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-ec"]);
        command.arg(format!("{script}; exec \"$@\"")).arg("sh");
        command.arg(env!("CARGO_BIN_EXE_container-stand"));
        command.arg(self.containers.run_request(id, RunOptions::default()).argument().unwrap());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a container to its end, removes it, and returns its output.
    pub(crate) fn run(&self, spec: &ContainerSpec) -> Output {
        self.containers.create(spec).unwrap();
        let output = self.command(&spec.id, Streams::default()).output().unwrap();
        self.containers.delete(&spec.id, false).unwrap();
        output
    }

    /// Runs a stored container that cannot start; returns what is said about it.
    pub(crate) fn run_again(&self, spec: &ContainerSpec) -> String {
        let output = self.command(&spec.id, Streams::default()).output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs a script that has to succeed; returns what it printed.
    pub(crate) fn output(&self, spec: &ContainerSpec) -> String {
        let output = self.run(spec);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{}: {}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout).trim_end().to_owned()
    }

    /// Starts a container and waits until its program runs.
    pub(crate) fn start(&self, spec: &ContainerSpec) -> Child {
        self.start_with(spec, |command| command)
    }

    /// The same, with the helper's command changed before.
    pub(crate) fn start_with(
        &self,
        spec: &ContainerSpec,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Child {
        if self.containers.inspect(&spec.id).is_err() {
            self.containers.create(spec).unwrap();
        }
        let mut command = self.command(&spec.id, Streams::default());
        let mut child = change(&mut command).spawn().unwrap();
        // Its last run's end is known until it has begun.
        self.until(&spec.id, |it| {
            let ended = child.try_wait().unwrap().is_some();
            matches!(it.state, State::Running | State::Paused) || ended
        });
        child
    }

    /// Waits for a state.
    pub(crate) fn until(
        &self,
        id: &ContainerId,
        mut holds: impl FnMut(&Inspection) -> bool,
    ) -> Inspection {
        wait(|| {
            let inspection = self.containers.inspect(id).unwrap();
            holds(&inspection).then_some(inspection)
        })
    }

    /// Executes in a running container; returns exit code and output.
    pub(crate) fn exec(&self, id: &ContainerId, args: &[&str]) -> (i32, String) {
        let process = Process {
            args: args.iter().map(|it| (*it).to_owned()).collect(),
            ..Process::default()
        };
        self.exec_spec(id, &ExecSpec { process, privileged: false })
    }

    pub(crate) fn exec_spec(&self, id: &ContainerId, exec: &ExecSpec) -> (i32, String) {
        self.exec_with(id, exec, Streams::default())
    }

    pub(crate) fn exec_with(
        &self,
        id: &ContainerId,
        exec: &ExecSpec,
        streams: Streams,
    ) -> (i32, String) {
        let request = self.containers.exec_request(id, exec, streams).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_container-stand"))
            .arg(request.argument().unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&text).trim_end().to_owned())
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for id in self.containers.list().unwrap_or_default() {
                drop(self.containers.delete(&id, true));
            }
            return;
        }
        assert_eq!(self.containers.list().unwrap(), [], "containers are left");
        let left = fs::read_dir(&self.containers.run_dir).map_or(0, Iterator::count);
        assert_eq!(left, 0, "records of runs are left");
        let none =
            Traces { mounts: BTreeSet::new(), cgroups: BTreeSet::new(), helpers: BTreeSet::new() };
        // Who has just been killed needs a moment to be gone.
        let until = Instant::now() + LIMIT;
        while Traces::of(self.directory.path()) != none {
            assert!(Instant::now() < until, "left: {:?}", Traces::of(self.directory.path()));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A program of a few instructions of x86-64.
pub(crate) fn program(path: &Path, code: &[u8]) {
    const BASE: u64 = 0x40_0000;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let length = 64 + 56 + code.len() as u64;
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend((BASE + 120).to_le_bytes());
    elf.extend(64_u64.to_le_bytes());
    elf.extend(0_u64.to_le_bytes());
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for number in [0, BASE, BASE, length, length, 0x1000] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend(code);
    fs::write(path, elf).unwrap();
    chmod(path, 0o755);
}

/// Waits until something is there.
pub(crate) fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it takes too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}
