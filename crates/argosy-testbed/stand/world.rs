//! A testbed's life in a world of its own, compared before and after. The test starts this as
//! PID 1 of new namespaces, where no process, mount or socket of anybody else disturbs the lists.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use argosy_testbed::{Control, ForwardTarget, MachineCommand, Status};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::say;

/// How long traces may stay, on a busy computer: namespaces go when the kernel finds the time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs one scenario; prints `same`, or what differs.
pub(crate) fn run(scenario: &str, wanted: &str, user: &str, base: &str) -> ExitCode {
    let name: String = base.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = name[name.len().saturating_sub(12)..].to_lowercase();
    let user = user.parse().unwrap();
    let world = World { user, wanted: wanted.to_owned(), base: PathBuf::from(base), name };
    let before = world.snapshot();
    world.live(scenario);
    let end = Instant::now() + PATIENCE;
    loop {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let after = world.snapshot();
        if after == before {
            say("same");
            return ExitCode::SUCCESS;
        }
        if Instant::now() > end {
            before.difference(&after).for_each(|it| say(&format!("gone: {it}")));
            after.difference(&before).for_each(|it| say(&format!("left: {it}")));
            return ExitCode::FAILURE;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct World {
    user: u32,
    wanted: String,
    base: PathBuf,
    name: String,
}

impl World {
    fn live(&self, scenario: &str) {
        let mut owner = self.part(&["own", self.beds(), &self.name, &self.wanted]);
        let status = self.use_it(&mut owner);
        let whole = self.snapshot().len();
        match scenario {
            "destroy" => self.control().destroy().unwrap(),
            "end" => drop(owner.stdin.take()),
            "SIGTERM" => owner_signal(&owner, Signal::TERM),
            "SIGHUP" => owner_signal(&owner, Signal::HUP),
            "SIGINT" => owner_signal(&owner, Signal::INT),
            "SIGKILL" => owner_signal(&owner, Signal::KILL),
            "switch-SIGTERM" => switch_signal(&status, Signal::TERM),
            "all-SIGKILL-start" | "all-SIGKILL-clean" => {
                // First the owner would let the switch clear up, so it is stopped before.
                switch_signal(&status, Signal::STOP);
                owner_signal(&owner, Signal::KILL);
                switch_signal(&status, Signal::KILL);
            }
            _ => panic!("no such scenario: {scenario}"),
        }
        if ["switch-SIGTERM", "destroy"].contains(&scenario) {
            // The owner has nothing left, and finds so when it ends.
            until_gone(status.switch_pid);
            owner_signal(&owner, Signal::KILL);
        }
        owner.wait().unwrap();
        until_gone(status.switch_pid);
        assert!(self.snapshot().len() < whole);
        if let Some(next) = scenario.strip_prefix("all-SIGKILL-") {
            assert!(self.directory().exists(), "nothing was left for the next start");
            match next {
                "clean" => {
                    let cleaned = self.part(&["clean", self.beds()]).wait().unwrap();
                    assert!(cleaned.success());
                }
                _ => {
                    let mut owner = self.part(&["own", self.beds(), &self.name, &self.wanted]);
                    self.use_it(&mut owner);
                    drop(owner.stdin.take());
                    assert!(owner.wait().unwrap().success());
                }
            }
        }
    }

    /// Leaves traces of every kind.
    fn use_it(&self, owner: &mut Child) -> Status {
        let mut line = String::new();
        BufReader::new(owner.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("mode "), "{line}");
        let control = self.control();
        for machine in ["m1", "m2"] {
            let made = control.add_machine(machine).unwrap();
            fs::write(made.data_directory.join("kept"), "data").unwrap();
            let (mut reader, writer) = std::io::pipe().unwrap();
            let script = "sleep 1000 & setsid sleep 1000 & mkdir -p /sys/fs/cgroup/unified/x/y; \
                          echo ready; wait";
            let argv = ["/bin/sh", "-c", script];
            let command =
                MachineCommand { stdout: Some(writer.into()), ..MachineCommand::new(argv) };
            control.spawn(machine, command).unwrap();
            reader.read_exact(&mut [0; 6]).unwrap();
        }
        control.forward(0, "m1", 7, ForwardTarget::Network).unwrap();
        if self.wanted != "loopback" {
            control.link("m2", false).unwrap();
        }
        control.status().unwrap()
    }

    fn part(&self, arguments: &[&str]) -> Child {
        Command::new("/proc/self/exe")
            .args(arguments)
            .uid(self.user)
            .gid(self.user)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn beds(&self) -> &str {
        self.base.to_str().unwrap()
    }

    fn directory(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    fn control(&self) -> Control {
        Control::open(&self.name, Some(&self.base)).unwrap()
    }

    /// Everything there is: processes, namespaces, mounts, cgroups, sockets and files.
    fn snapshot(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for item in fs::read_dir("/proc").unwrap() {
            let path = item.unwrap().path();
            let number = path.file_name().unwrap().to_str().unwrap().parse::<i32>();
            let (Ok(number), Ok(name)) = (number, fs::read_to_string(path.join("comm"))) else {
                continue;
            };
            all.insert(format!("process {number} {name}"));
            for namespace in fs::read_dir(path.join("ns")).into_iter().flatten() {
                let link = fs::read_link(namespace.unwrap().path()).unwrap_or_default();
                all.insert(format!("namespace {}", link.display()));
            }
        }
        for list in ["/proc/self/mountinfo", "/proc/net/unix", "/proc/net/packet", "/proc/net/tcp"]
        {
            let text = fs::read_to_string(list).unwrap();
            // Slots and addresses in the kernel's memory say nothing.
            let line = |line: &str| match list {
                "/proc/net/tcp" => line.split_whitespace().nth(1).unwrap_or_default().to_owned(),
                "/proc/net/unix" | "/proc/net/packet" => {
                    line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")
                }
                _ => line.to_owned(),
            };
            all.extend(text.lines().map(|it| format!("{list} {}", line(it))));
        }
        let prefix = format!("argosy-testbed-{}-", self.name);
        let is_ours = |path: &String| path.contains(&prefix);
        let mut cgroups = BTreeSet::new();
        tree(Path::new("/sys/fs/cgroup"), &mut cgroups);
        all.extend(cgroups.into_iter().filter(is_ours));
        tree(&self.base, &mut all);
        tree(Path::new("/dev/shm"), &mut all);
        all
    }
}

/// Every path below a directory. What disappears meanwhile is not there.
fn tree(directory: &Path, found: &mut BTreeSet<String>) {
    for item in fs::read_dir(directory).into_iter().flatten().flatten() {
        found.insert(format!("file {}", item.path().display()));
        if item.file_type().is_ok_and(|kind| kind.is_dir()) {
            tree(&item.path(), found);
        }
    }
}

fn owner_signal(owner: &Child, signal: Signal) {
    kill_process(Pid::from_child(owner), signal).unwrap();
}

fn switch_signal(status: &Status, signal: Signal) {
    kill_process(Pid::from_raw(status.switch_pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Waits until a process has ended, whoever collects it.
fn until_gone(pid: u32) {
    let end = Instant::now() + PATIENCE;
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(Instant::now() < end, "process {pid} stays: {stat}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
