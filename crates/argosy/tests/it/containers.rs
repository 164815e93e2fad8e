//! Containers on a machine without docker: the unit of a user who has one, as it stands; Quadlet files;
//! networks. Each machine is in a network namespace of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::machine::Machine;

/// From the mission: as somebody wrote it for docker.
const HELLO: &str = "[Unit]\nRequires=docker.service\nAfter=docker.service\n\n[Service]\n\
    ExecStart=/usr/bin/docker run busybox /bin/sh -c \"while true; do echo Hello World; sleep 1; done\"\n\n\
    [Install]\nWantedBy=multi-user.target\n";

/// A network namespace in which this thread is, and all that it starts.
pub(crate) struct OwnNetwork(Child);

impl OwnNetwork {
    /// Enters a new one, with its loopback up. To be made before the machine, and dropped after it.
    pub(crate) fn enter() -> OwnNetwork {
        let script = "busybox ip link set lo up && echo up && exec sleep 100000";
        let mut holder = Command::new("unshare");
        holder.args(["-n", "sh", "-c", script]).stdout(Stdio::piped());
        let mut holder = holder.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        let namespace = File::open(format!("/proc/{}/ns/net", holder.id())).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        OwnNetwork(holder)
    }
}

impl Drop for OwnNetwork {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Makes an image of Debian's static busybox, and gives it a name.
pub(crate) fn with_busybox(machine: &Machine) {
    let root = machine.path("rootfs");
    fs::create_dir_all(root.join("bin")).unwrap();
    for directory in ["tmp", "etc", "dev", "proc", "sys"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "true", "sleep", "echo", "id", "cat", "ls", "kill", "httpd", "touch", "wget"]
    {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let archive = machine.path("rootfs.tar");
    let tar = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
    assert!(tar.unwrap().success());
    machine.run(&["image", "import", archive.to_str().unwrap(), "busybox"]).ok();
}

/// Returns the ids of all containers.
fn containers(machine: &Machine) -> Vec<serde_json::Value> {
    machine.json(&["container", "ps", "--all"]).as_array().unwrap().clone()
}

#[test]
fn a_unit_written_for_docker_runs_as_it_stands() {
    if Path::new("/usr/bin/docker").exists() {
        return;
    }
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    machine.file("hello.service", HELLO);
    machine.run(&["apply", "hello.service"]).ok();
    machine.wait("what it says", |m| {
        m.run(&["journal", "hello", "--cat"]).stdout.lines().any(|line| line == "Hello World")
    });
    let [container] = &containers(&machine)[..] else { panic!("not one container") };
    assert_eq!(container["state"], "Running");
    assert_eq!(container["unit"], "hello.service");
    let lines = machine.run(&["journal", "hello", "-o", "json"]).ok().stdout;
    let said = lines.lines().find(|line| line.contains("Hello World")).unwrap();
    let said: serde_json::Value = serde_json::from_str(said).unwrap();
    assert_eq!(said["CONTAINER_ID_FULL"], container["id"]);
    assert_eq!(said["IMAGE_NAME"], "busybox");
    // Its life is the unit's: the daemon's and the supervisor's are not.
    machine.kill_child("daemon");
    machine.kill_child("supervisor-process");
    machine.wait("it still runs", |m| m.run(&["is-active", "hello"]).code == 0);
    assert_eq!(containers(&machine)[0]["id"], container["id"]);
    // The next run is another container, and the one before is gone.
    machine.run(&["restart", "hello"]).ok();
    machine.wait("one container", |m| {
        let [now] = &containers(m)[..] else { return false };
        now["id"] != container["id"] && now["state"] == "Running"
    });
    machine.run(&["stop", "hello"]).ok();
    let [last] = &containers(&machine)[..] else { panic!("the last one is kept") };
    assert!(last["state"]["Exited"].is_object(), "{last}");
    machine.run(&["container", "rm", last["id"].as_str().unwrap()]).ok();
    assert!(containers(&machine).is_empty());
}

#[test]
fn a_container_ends_with_dockers_exit_codes_and_leaves_nothing() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = |arguments: &[&str]| {
        machine.run(&[&["container", "run", "--rm", "--network", "none"], arguments].concat())
    };
    assert_eq!(run(&["busybox", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(run(&["--init", "busybox", "sh", "-c", "kill -9 $$"]).code, 137);
    assert_eq!(run(&["busybox", "/no/such/program"]).code, 127);
    assert_eq!(run(&["busybox", "/etc"]).code, 126);
    let unknown = run(&["--pull", "never", "nobody/nothing", "true"]);
    assert_eq!(unknown.code, 125, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("argosy image pull nobody/nothing"), "{}", unknown.stderr);
    let shown = run(&[
        "-e",
        "COLOR=blue",
        "-w",
        "/tmp",
        "--hostname",
        "box",
        "busybox",
        "sh",
        "-c",
        "echo $COLOR $PWD $HOSTNAME; id -u",
    ]);
    assert_eq!(shown.stdout, "blue /tmp box\n0\n", "{}", shown.stderr);
    assert!(containers(&machine).is_empty());
}

#[test]
fn a_nameless_volume_goes_with_a_container_that_its_end_takes_away() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = |words: &[&str]| {
        let line = ["container", "run", "--network=none", "--volume=/data"];
        machine.run(&[&line[..], words].concat()).ok();
    };
    let volumes = || machine.json(&["volume", "ls"]).as_array().unwrap().len();
    run(&["--rm", "busybox", "true"]);
    run(&["--name=kept", "busybox", "true"]);
    // The first one's goes at the latest when the next container is made.
    assert_eq!(volumes(), 1);
    // A name is one container's, however many ask for it at once.
    let command = ["container", "run", "--network=none", "--name=one", "busybox", "true"];
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..8).map(|_| scope.spawn(|| machine.run(&command).code)).collect();
        started.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    machine.run(&["container", "rm", "--volumes", "kept"]).ok();
    assert_eq!(volumes(), 0);
}

#[test]
fn quadlet_files_run_with_what_they_need() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    machine.file("data.volume", "[Volume]\n");
    machine.file(
        "web.container",
        "[Container]\nImage=busybox\nPull=never\nNetwork=host\nVolume=data.volume:/data\n\
         Environment=NAME=web\nHealthCmd=cat /data/ready\nHealthInterval=100ms\nNotify=healthy\n\
         Exec=sh -c \"echo started $${NAME} $$(cat /data/count); echo more >> /data/count; \
         touch /data/ready; trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done\"\n\
         [Service]\nRestart=always\nRestartSec=0\n",
    );
    // What it needs has to come along.
    let alone = machine.run(&["apply", "web.container"]);
    assert_eq!(alone.code, 1);
    assert!(alone.stderr.contains("there is no Quadlet file `data.volume`"), "{}", alone.stderr);
    let idle = machine.run(&["apply", "data.volume"]);
    assert_eq!(idle.code, 1);
    assert!(idle.stderr.contains("runs nothing by itself"), "{}", idle.stderr);
    machine.run(&["apply", "web.container", "data.volume"]).ok();
    let [container] = &containers(&machine)[..] else { panic!("not one container") };
    assert_eq!(
        (&container["name"], &container["unit"]),
        (&"systemd-web".into(), &"web.service".into())
    );
    let volumes = machine.json(&["volume", "ls"]);
    assert_eq!(volumes[0]["name"], "systemd-data");
    let shown = machine.run(&["cat", "web"]).ok().stdout;
    assert!(shown.contains("#   Volume=data.volume:/data"), "{shown}");
    // A crash of the container is the unit's: it runs again, with the same data.
    machine.run(&["container", "kill", "systemd-web"]).ok();
    let lines = |m: &Machine| m.run(&["journal", "web", "--cat"]).stdout;
    machine.wait("the second run", |m| lines(m).lines().any(|line| line == "started web more"));
    machine.wait("it is well", |m| m.run(&["is-active", "web"]).code == 0);
    // It is stopped by its own signal, and nothing is left but the volume.
    machine.run(&["stop", "web"]).ok();
    assert!(lines(&machine).contains("bye"), "{}", lines(&machine));
    assert!(containers(&machine).is_empty());
    assert_eq!(machine.json(&["volume", "ls"]).as_array().unwrap().len(), 1);
    machine.run(&["destroy", "web"]).ok();
}

/// Asks a web server; `None` if it does not answer.
fn get(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.rsplit("\r\n").next().unwrap().to_owned())
}

#[test]
fn a_quadlet_web_server_has_a_volume_a_network_and_a_port() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    machine.file("html.volume", "[Volume]\n");
    machine.file("front.network", "[Network]\nSubnet=10.91.7.0/24\n");
    machine.file(
        "web.container",
        "[Container]\nImage=busybox\nPull=never\nVolume=html.volume:/www\n\
         Network=front.network\nPublishPort=127.0.0.1:8080:80\n\
         Exec=sh -c \"echo hello > /www/index.html; exec httpd -f -p 80 -h /www\"\n\
         [Service]\nRestart=always\nRestartSec=0\n",
    );
    machine.run(&["apply", "web.container", "html.volume", "front.network"]).ok();
    let answers = |m: &Machine, text: &str| {
        m.wait("an answer", |_| get("127.0.0.1:8080").as_deref() == Some(text));
    };
    answers(&machine, "hello\n");
    let network = &machine.json(&["network", "ls"])[0];
    assert_eq!(
        (&network["name"], &network["net"]),
        (&"systemd-front".into(), &"10.91.7.0/24".into())
    );
    // Another container finds it by its name, and the unit's name is its own.
    let line = ["container", "run", "--rm", "--network=systemd-front", "busybox"];
    let asked = machine.run(&[&line[..], &["wget", "-qO-", "http://systemd-web/"]].concat());
    assert_eq!(asked.ok().stdout, "hello\n");
    // As every program of the machine, it reaches the store.
    let line = ["container", "run", "--rm", "busybox", "wget", "-qO-"];
    let version = machine.run(&[&line[..], &["http://127.0.0.1:2379/version"]].concat()).ok();
    assert!(version.stdout.contains("etcdserver"), "{}", version.stdout);
    let old = machine.run(&[&line[..], &["http://127.0.0.1:4001/version"]].concat()).ok();
    assert!(old.stdout.contains("etcd"), "{}", old.stdout);
    let port = machine.run(&["container", "port", "systemd-web"]).ok();
    assert_eq!(port.stdout, "80/tcp -> 127.0.0.1:8080\n");
    // Whoever wants the same port is told before anything runs.
    let second = machine.run(&["container", "run", "--rm", "-p", "8080:80", "busybox", "true"]);
    assert_eq!(second.code, 125);
    assert!(second.stderr.contains("port 8080/tcp is in use"), "{}", second.stderr);
    machine.kill_child("daemon");
    machine.kill_child("supervisor-process");
    answers(&machine, "hello\n");
    machine.run(&["container", "kill", "systemd-web"]).ok();
    answers(&machine, "hello\n");
    machine.run(&["stop", "web"]).ok();
    assert_eq!(get("127.0.0.1:8080"), None);
    machine.run(&["network", "rm", "systemd-front"]).ok();
    let links = Command::new("busybox").args(["ip", "-o", "link"]).output().unwrap();
    let links = String::from_utf8(links.stdout).unwrap();
    assert_eq!(links.lines().count(), 1, "only the loopback is left: {links}");
}
