//! Debian's etcd programs: found, started on loopback, ended by their own handle.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use argosy_etcd::proto::etcdserverpb::StatusRequest;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::clients::{Clients, PATIENCE};

/// Returns a program of a Debian package. Without it the test has not shown anything, so it
/// fails and names the package.
fn program(path: &str, package: &str) -> PathBuf {
    let path = Path::new(path);
    assert!(path.exists(), "{} is missing: install the Debian package {package}", path.display());
    path.to_owned()
}

/// A command that runs `etcdctl` with the v3 API on `endpoint`.
pub(crate) fn etcdctl(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("/usr/bin/etcdctl", "etcd-client"));
    command
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoint])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs `etcdctl` to its end and returns what it printed; a failure is the other variant.
pub(crate) async fn run(endpoint: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child =
        etcdctl(endpoint, arguments).stdin(Stdio::piped()).spawn().expect("etcdctl starts");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("etcdctl ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A real etcd of one member.
pub(crate) struct Etcd {
    pub(crate) endpoint: String,
    child: Child,
    _dir: TempDir,
}

impl Etcd {
    /// Starts etcd on free ports and waits until it serves.
    pub(crate) async fn start() -> Etcd {
        let etcd = program("/usr/bin/etcd", "etcd-server");
        // A free port may be taken before etcd binds it; then etcd ends at once.
        for _attempt in 0..5 {
            let mut started = Etcd::spawn(&etcd);
            if started.ready().await {
                return started;
            }
        }
        panic!("etcd did not start in five attempts");
    }

    fn spawn(etcd: &Path) -> Etcd {
        let dir = TempDir::new().unwrap();
        let (client, peer) = (free_url(), free_url());
        let child = Command::new(etcd)
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--enable-v2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("etcd starts");
        Etcd { endpoint: client, child, _dir: dir }
    }

    /// Waits until it serves; false if it ended instead.
    async fn ready(&mut self) -> bool {
        let mut maintenance = Clients::new(&self.endpoint).maintenance;
        for _ in 0..300 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let status = maintenance.status(StatusRequest::default());
            if status.await.is_ok_and(|status| status.into_inner().leader != 0) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("etcd did not become ready");
    }

    /// Ends it.
    pub(crate) async fn end(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn free_url() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
