//! Images between machines: a real registry, real machines, and what the registry was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::image::Registry;
use crate::machine::{Machine, PATIENCE, Ran};
use crate::three_machines::cluster;

/// Debian's user without rights.
const NOBODY: &str = "65534";
/// Of each layer; it does not compress.
const LAYER_BYTES: usize = 3 << 20;
const LAYERS: usize = 3;

/// A registry with an image of several layers, `HOST/team/app:1`.
struct WithImage {
    registry: Registry,
}

impl WithImage {
    fn start() -> WithImage {
        let started = WithImage { registry: Registry::start() };
        started.push_image();
        started
    }

    fn push_image(&self) {
        let layout = self.registry.folder.path().join("layout");
        let image = format!("{}:app", layout.display());
        run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
        run("umoci", &["new", "--image", &image]);
        for number in 0..LAYERS {
            let file = self.registry.folder.path().join(format!("data-{number}"));
            let mut random = vec![0; LAYER_BYTES];
            rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())
                .unwrap();
            fs::write(&file, random).unwrap();
            let target = format!("/data-{number}");
            run("umoci", &["insert", "--image", &image, file.to_str().unwrap(), &target]);
        }
        let (from, to) = (format!("oci:{image}"), format!("docker://{}", self.name()));
        let options = ["copy", "-q", "--insecure-policy", "--dest-tls-verify=false"];
        run("skopeo", &[&options[..], &[&from, &to]].concat());
    }

    fn name(&self) -> String {
        format!("{}/team/app:1", self.registry.address)
    }

    /// How often each path was got.
    fn gets(&self) -> BTreeMap<String, usize> {
        let mut gets = BTreeMap::new();
        for line in self.registry.log.lock().unwrap().iter() {
            let value = |key: &str| {
                let rest = line.split_once(&format!("{key}="))?.1;
                Some(rest.trim_start_matches('"').split(['"', ' ']).next()?.to_owned())
            };
            if !line.contains("response completed")
                || value("http.request.method").as_deref() != Some("GET")
            {
                continue;
            }
            *gets.entry(value("http.request.uri").unwrap()).or_default() += 1;
        }
        gets
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// Pulls on several machines at the same time.
fn pull_at_once(machines: &[Machine], name: &str) -> Vec<Ran> {
    std::thread::scope(|scope| {
        let pulls: Vec<_> = machines
            .iter()
            .map(|machine| scope.spawn(|| machine.run(&["pull", "--missing", name])))
            .collect();
        pulls.into_iter().map(|pull| pull.join().unwrap().ok()).collect()
    })
}

/// What all of them have said.
fn all(ran: &[Ran]) -> String {
    ran.iter().map(|ran| ran.stderr.as_str()).collect()
}

/// The digests of all blobs that a machine has.
fn blobs(machine: &Machine) -> Vec<String> {
    let folder = fs::read_dir(machine.path("data/images/blobs/sha256")).unwrap();
    let mut names: Vec<String> =
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_registry_is_asked_once_and_not_needed_for_what_a_machine_has() {
    let mut published = WithImage::start();
    let name = published.name();
    let machines = cluster(4);
    let pushed = published.gets();
    let said = pull_at_once(&machines[..3], &name);
    let gets: BTreeMap<String, usize> =
        published.gets().into_iter().filter(|(path, _)| !pushed.contains_key(path)).collect();
    let asked = gets.iter().filter(|(path, _)| path.contains("/blobs/"));
    assert_eq!(asked.count(), LAYERS + 1, "layers and configuration: {gets:?}");
    assert!(gets.values().all(|count| *count == 1), "each once: {gets:?}");
    assert!(gets.keys().any(|path| path.contains("/manifests/")), "{gets:?}");
    let from_machines = all(&said).matches(": from m").count();
    assert_eq!(from_machines, 2 * LAYERS, "{}", all(&said));

    // Without the registry: a worker that has nothing, by a command and by a container.
    published.registry.end();
    let refused = machines[3].run(&["pull", &name]);
    assert_eq!(
        refused.code, 75,
        "what a tag means now only the registry knows: {}",
        refused.stderr
    );
    assert!(refused.stderr.contains("argosy pull --missing"), "{}", refused.stderr);
    let ran = machines[3].run(&["pull", "--missing", &name]).ok();
    assert_eq!(ran.stderr.matches(": from m").count(), LAYERS, "{}", ran.stderr);
    assert_eq!(blobs(&machines[3]), blobs(&machines[0]));
    // And a member that has removed it.
    machines[1].run(&["rmi", &name]).ok();
    let ran = machines[1].run(&["pull", "--missing", &name]).ok();
    assert_eq!(ran.stderr.matches(": from m").count(), LAYERS, "{}", ran.stderr);
    // What was named here is nobody else's.
    machines[1].run(&["image", "tag", &name, "127.0.0.1:9/mine:1"]).ok();
    let refused = machines[2].run(&["pull", "--missing", "127.0.0.1:9/mine:1"]);
    assert_eq!(refused.code, 75, "{}", refused.stderr);
    assert_private(&machines[1], &blobs(&machines[0])[0]);
}

/// Others than root get nothing of other machines, whatever they may read on the socket.
fn assert_private(machine: &Machine, digest: &str) {
    let socket = machine.path("run/api.sock");
    for path in [socket.parent().unwrap(), socket.parent().unwrap().parent().unwrap()] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let curl = |socket: &Path, target: &str, more: &[&str]| -> Ran {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), "--regid=0", "--clear-groups", "curl"]);
        command.args(["--silent", "--max-time", "10", "--write-out", "%{http_code}"]);
        command.arg("--unix-socket").arg(socket).arg(format!("http://argosy{target}")).args(more);
        command.current_dir("/").output().unwrap().into()
    };
    let status = curl(&socket, "/v1/status", &[]).ok();
    assert!(status.stdout.ends_with("200"), "it may read: {}", status.stdout);
    let machine_id = "0".repeat(32);
    for target in [
        format!("/v1/images/blobs/sha256:{digest}?machine={machine_id}"),
        "/v1/images/seek".to_owned(),
    ] {
        let method = if target.ends_with("seek") { "POST" } else { "GET" };
        let refused = curl(&socket, &target, &["--request", method]).ok();
        assert!(refused.stdout.ends_with("403"), "{target}: {}", refused.stdout);
    }
}

#[test]
fn whoever_is_killed_while_it_asks_the_registry_is_followed_by_another() {
    let machines = cluster(3);
    // A registry that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app:1", silent.local_addr().unwrap());
    let pull = |machine: &Machine| {
        let mut command = machine.command(&["pull", "--missing", &name]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut first = pull(&machines[0]);
    let (_asked_by_first, _) = silent.accept().unwrap();
    let mut second = pull(&machines[1]);
    first.kill().unwrap();
    first.wait().unwrap();
    silent.set_nonblocking(true).unwrap();
    let begun = std::time::Instant::now();
    machines[1].wait("the second to ask", |_| silent.accept().is_ok());
    assert!(begun.elapsed() < PATIENCE / 4, "it was not waited for the claim to run out");
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn a_new_leader_hears_what_there_is_and_a_lost_machine_is_not_asked() {
    let mut published = WithImage::start();
    let name = published.name();
    let mut machines = cluster(4);
    machines[0].run(&["pull", &name]).ok();
    machines[3].run(&["pull", &name]).ok();
    published.registry.end();
    // It leads, and has the image.
    let leader = machines[1].json(&["cluster", "status"])["cluster"]["leader"].clone();
    assert_eq!(leader, "m1");
    machines[0].lose();
    machines[1].wait("another leader", |m| {
        let leader = &m.json(&["cluster", "status"])["cluster"]["leader"];
        leader.is_string() && leader != "m1"
    });
    machines[1].wait("the image from the machine that is left", |m| {
        let ran = m.run(&["pull", "--missing", &name]);
        assert!(!ran.stderr.contains(": from m1"), "{}", ran.stderr);
        ran.code == 0 && ran.stderr.matches(": from m4").count() == LAYERS
    });
}
