//! A machine, its containers' namespaces, and another machine beside it.
#![expect(unsafe_code, reason = "a thread of a test moves into a namespace of its own")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use argosy_netlink::{End, Namespace, NfTables, RouteSocket};
use argosy_network::{
    Attach, CompanionRequest, Endpoint, NetworkSpec, Networks, Published, ReserveRequest,
    StorePort, published,
};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use tempfile::TempDir;

/// The longest that anything is waited for, on a busy computer.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The machine, seen from the other one, and the other one.
pub(crate) const MACHINE: [u8; 4] = [192, 0, 2, 1];
pub(crate) const CLIENT: [u8; 4] = [192, 0, 2, 2];

/// A network namespace.
pub(crate) struct Net(OwnedFd);

impl Net {
    pub(crate) fn new() -> Net {
        let made = thread::spawn(|| {
            enter_new();
            Net::open("/proc/thread-self/ns/net")
        });
        made.join().unwrap()
    }

    pub(crate) fn open(path: &str) -> Net {
        Net(File::open(path).unwrap().into())
    }

    /// The same namespace once more.
    pub(crate) fn copy(&self) -> Net {
        Net(self.0.try_clone().unwrap())
    }

    /// Moves the calling thread inside.
    pub(crate) fn enter(&self) {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(self.0.as_fd(), kind).unwrap();
    }

    /// Does something inside. Sockets that are made there stay there.
    pub(crate) fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                act()
            });
            inside.join().unwrap()
        })
    }
}

/// Moves the calling thread into a new network namespace.
fn enter_new() {
    // SAFETY: no descriptor table is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
    let socket = RouteSocket::open().unwrap();
    socket.set_up(socket.index("lo").unwrap(), true).unwrap();
}

/// The machine on which a test runs: from now on this thread's namespace.
pub(crate) struct Machine {
    directory: TempDir,
    pub(crate) networks: Networks,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        enter_new();
        let directory = TempDir::new().unwrap();
        let networks = Networks {
            data_dir: directory.path().join("networks"),
            run_dir: directory.path().join("run"),
        };
        let machine = Machine { directory, networks };
        machine.set_servers(&["127.0.0.1"]);
        machine
    }

    /// The servers of names that the machine asks.
    pub(crate) fn set_servers(&self, servers: &[&str]) {
        let lines: String = servers.iter().map(|it| format!("nameserver {it}\n")).collect();
        std::fs::write(self.directory.path().join("resolv.conf"), lines).unwrap();
    }

    /// A file for a program that a test runs.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The namespace of the calling thread.
    pub(crate) fn namespace(&self) -> Net {
        Net::open("/proc/thread-self/ns/net")
    }

    /// Another machine, on a cable, that takes this one for its router.
    pub(crate) fn neighbour(&self) -> Net {
        let net = Net::new();
        let socket = RouteSocket::open().unwrap();
        let theirs = End { namespace: Namespace::Open(net.0.as_fd()), ..End::new("eth0", mac(2)) };
        socket.make_cable(End::new("up0", mac(1)), theirs).unwrap();
        let index = socket.index("up0").unwrap();
        socket.add_address(index, MACHINE.into(), 24).unwrap();
        socket.set_up(index, true).unwrap();
        net.run(|| {
            let socket = RouteSocket::open().unwrap();
            let index = socket.index("eth0").unwrap();
            socket.add_address(index, CLIENT.into(), 24).unwrap();
            socket.set_up(index, true).unwrap();
            // It knows the way to the containers: what keeps it out is not its ignorance.
            socket.add_default_route(MACHINE.into(), index).unwrap();
        });
        net
    }

    pub(crate) fn network(&self, name: &str, internal: bool) {
        let (name, dns) = (name.to_owned(), true);
        let spec = NetworkSpec { name, internal, dns, ..NetworkSpec::default() };
        self.networks.create(&spec, false).unwrap();
    }

    /// Starts a companion, and waits for nothing.
    pub(crate) fn launch(&self, wanted: Wanted<'_>) -> Container {
        let attach = |network: &&str| Attach {
            network: (*network).to_owned(),
            aliases: wanted.aliases.iter().map(|it| (*it).to_owned()).collect(),
            ..Attach::default()
        };
        let id = format!("{}-{}", wanted.name, "0123456789abcdef".repeat(2));
        let reserve = ReserveRequest {
            id: id.clone(),
            name: wanted.name.to_owned(),
            aliases: Vec::new(),
            networks: wanted.networks.iter().map(attach).collect(),
        };
        let endpoints = self.networks.reserve(&reserve).unwrap();
        let request = CompanionRequest {
            container_id: id.clone(),
            run_dir: self.networks.run_dir.clone(),
            endpoints: endpoints.clone(),
            publish: wanted.publish.iter().map(|it| it.parse().unwrap()).collect(),
            dns_servers: Vec::new(),
            resolv_conf: self.directory.path().join("resolv.conf"),
            store_ports: wanted.store.to_vec(),
        };
        let path = self.directory.path().join(format!("{}.json", wanted.name));
        std::fs::write(&path, serde_json::to_vec(&request).unwrap()).unwrap();
        let net = wanted.inside.unwrap_or_else(Net::new);
        let companion = Command::new("sh")
            .args(["-c", "exec \"$0\" network-companion \"$1\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(env!("CARGO_BIN_EXE_network-stand"))
            .arg(&path)
            .stdin(Stdio::from(net.0.try_clone().unwrap()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Container { id, path, net, endpoints, companion, published: Published::default() }
    }

    /// Starts a container; or the reason why its companion did not.
    pub(crate) fn start(&self, wanted: Wanted<'_>) -> Result<Container, String> {
        let mut container = self.launch(wanted);
        let mut report = BufReader::new(container.companion.stdout.take().unwrap());
        let mut line = String::new();
        report.read_line(&mut line).unwrap();
        if line != "ready\n" {
            let mut rest = String::new();
            report.read_to_string(&mut rest).unwrap();
            assert!(!container.companion.wait().unwrap().success(), "{line}");
            return Err(line.trim_end().to_owned() + &rest);
        }
        container.published = published(&container.path).unwrap().unwrap();
        Ok(container)
    }
}

fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

/// A container to be started.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) networks: &'a [&'a str],
    pub(crate) aliases: &'a [&'a str],
    pub(crate) publish: &'a [&'a str],
    pub(crate) store: &'a [StorePort],
    /// Its namespace, if there is one already.
    pub(crate) inside: Option<Net>,
}

/// A container: its namespace, and the companion that serves it.
pub(crate) struct Container {
    pub(crate) id: String,
    path: PathBuf,
    pub(crate) net: Net,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) published: Published,
    companion: Child,
}

impl Container {
    pub(crate) fn address(&self) -> [u8; 4] {
        self.endpoints[0].address.octets()
    }

    pub(crate) fn gateway(&self) -> [u8; 4] {
        self.endpoints[0].gateway.octets()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.companion.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.companion), signal).unwrap();
    }

    /// Ends the companion by a signal, and returns its exit code.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        let status = self.companion.wait().unwrap();
        status.code()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.companion.kill());
        drop(self.companion.wait());
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The tables of the calling thread's namespace.
pub(crate) fn tables() -> Vec<String> {
    NfTables::open().unwrap().tables().unwrap().into_keys().collect()
}

/// The interfaces of the calling thread's namespace.
pub(crate) fn interfaces() -> Vec<String> {
    let links = RouteSocket::open().unwrap().links().unwrap();
    links.into_iter().map(|link| link.name).collect()
}
