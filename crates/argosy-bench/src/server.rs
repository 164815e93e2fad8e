//! The measured processes: started in a directory of their own, ended by their pid.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Long enough for any server to be ready on a loaded machine.
const READY_MAX: Duration = Duration::from_secs(30);

/// A running server with one member.
pub(crate) struct Server {
    child: Child,
    pub(crate) endpoint: String,
    /// Kept for its removal at the end.
    _dir: TempDir,
}

/// CPU and memory of a process at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub(crate) resident_bytes: u64,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let log = fs::File::create(log).context("cannot create the log")?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))
}

impl Server {
    /// Starts the daemon and makes a cluster of one.
    pub(crate) fn argosy(program: &Path) -> Result<Server> {
        let dir = tempfile::Builder::new().prefix("argosy-bench-").tempdir_in(".")?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let run = dir.path().join("run");
        let mut command = Command::new(program);
        command.arg("daemon").arg("--runtime-dir").arg(&run);
        command.arg("--data-dir").arg(dir.path().join("data"));
        command.args(["--client-listen", &address]);
        let child = spawn(&mut command, &dir.path().join("log"))?;
        let server = Server { child, endpoint: format!("http://{address}"), _dir: dir };
        let begun = Instant::now();
        loop {
            let made = Command::new(program)
                .args([
                    "cluster",
                    "init",
                    "--name",
                    "m1",
                    "--address",
                    "127.0.0.1",
                    "--runtime-dir",
                ])
                .arg(&run)
                .output()
                .context("cannot run argosy cluster init")?;
            if made.status.success() {
                return Ok(server);
            }
            if begun.elapsed() > READY_MAX {
                bail!("no cluster: {}", String::from_utf8_lossy(&made.stderr));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts etcd with its own defaults.
    pub(crate) fn etcd(program: &Path) -> Result<Server> {
        let dir = tempfile::Builder::new().prefix("argosy-bench-").tempdir_in(".")?;
        let (client, peer) = (free_port()?, free_port()?);
        let (client, peer) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(dir.path().join("data"));
        command.args(["--name", "m1", "--logger", "zap"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.arg("--initial-cluster").arg(format!("m1={peer}"));
        let child = spawn(&mut command, &dir.path().join("log"))?;
        Ok(Server { child, endpoint: client, _dir: dir })
    }

    /// Returns what the server has used so far (proc_pid_stat(5)).
    pub(crate) fn usage(&self) -> Result<Usage> {
        let pid = self.child.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .context("/proc/PID/stat has no name")?
            .1
            .split_whitespace()
            .collect();
        let number = |at: usize| -> Result<u64> {
            Ok(fields.get(at).context("/proc/PID/stat is short")?.parse()?)
        };
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Ok(Usage {
            cpu_seconds: (number(11)? + number(12)?) as f64 / ticks,
            resident_bytes: number(21)? * rustix::param::page_size() as u64,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is collected.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
