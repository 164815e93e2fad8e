//! Images are brought before a unit is started, and kept where it would go: in a network namespace
//! of their own, from a registry behind a gate that can be shut.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::containers::{OwnNetwork, with_busybox};
use crate::image::Registry;
use crate::machine::{Machine, start_ticks};
use crate::three_machines::{join, of_started, three};

/// So much of an answer comes through a gate that is shut: manifests do, layers do not.
const SHUT_AFTER: usize = 16 << 10;

/// Passes connections on to a registry.
struct Gate {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    is_shut: bool,
    is_over: bool,
    connections: usize,
}

impl Gate {
    fn before(registry: &str) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, registry) = (listener.local_addr().unwrap(), registry.to_owned());
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        let accepting = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let mut state = shared.0.lock().unwrap();
                if state.is_over {
                    return;
                }
                state.connections += 1;
                drop(state);
                let Ok(server) = TcpStream::connect(&registry) else { continue };
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || copy(ends.0, ends.1, |_| {}));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    copy(server, client, |sent| {
                        let is_held = |state: &mut State| state.is_shut && sent > SHUT_AFTER;
                        drop(shared.1.wait_while(shared.0.lock().unwrap(), is_held).unwrap());
                    });
                });
            }
        });
        Gate { address, state, accepting: Some(accepting) }
    }

    fn shut(&self, is_shut: bool) {
        self.state.0.lock().unwrap().is_shut = is_shut;
        self.state.1.notify_all();
    }

    fn connections(&self) -> usize {
        self.state.0.lock().unwrap().connections
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.state.0.lock().unwrap().is_over = true;
        self.shut(false);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        self.accepting.take().unwrap().join().unwrap();
    }
}

/// Copies until either end is closed, asking before each piece, with what was copied so far.
fn copy(mut from: TcpStream, mut to: TcpStream, may_go: impl Fn(usize)) {
    let (mut buffer, mut sent) = ([0; 8 << 10], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        sent += count;
        may_go(sent);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
}

/// A registry with images of busybox, each a different one.
fn registry(tags: &[&str]) -> (Registry, Gate) {
    let registry = Registry::start();
    let gate = Gate::before(&registry.address);
    let maker = Machine::new();
    with_busybox(&maker);
    for tag in tags {
        let root = maker.path("rootfs");
        fs::write(root.join("tag"), tag).unwrap();
        let archive = maker.path("tagged.tar");
        let mut tar = std::process::Command::new("tar");
        assert!(
            tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status().unwrap().success()
        );
        maker.run(&["image", "import", archive.to_str().unwrap(), tag]).ok();
        maker.run(&["image", "push", tag, &format!("{}/app:{tag}", gate.address)]).ok();
    }
    (registry, gate)
}

fn unit(image: &str) -> String {
    format!(
        "[Service]\nExecStart=/usr/bin/argosy container run --rm --network=none {image} sleep 100000\n"
    )
}

fn status(machine: &Machine, unit: &str) -> Value {
    let ran = machine.run(&["status", unit, "-o", "json"]);
    serde_json::from_str::<Value>(&ran.stdout)
        .map(|shown| shown["unit"].clone())
        .unwrap_or_default()
}

fn is_active(machine: &Machine, unit: &str) -> bool {
    machine.run(&["is-active", unit]).code == 0
}

#[test]
fn a_unit_is_prepared_then_started_and_starts_at_once_where_its_image_is_kept() {
    let _network = OwnNetwork::enter();
    let (registry, gate) = registry(&["one", "two"]);
    let mut machines = three();
    let image = |tag: &str| format!("{}/app:{tag}", gate.address);
    machines[0].file("web.service", &unit(&image("one")));
    gate.shut(true);
    machines[0].run(&["apply", "--no-block", "web.service"]).ok();
    machines[0].wait("that it is prepared", |m| {
        let why = m.run(&["why", "web"]).ok().stdout;
        let says = |words: &str| why.contains(words);
        says("NO prepared") && says(&format!("brings image {}: ", image("one"))) && says(" of 2 MB")
    });
    let shown = status(&machines[0], "web");
    assert_eq!(shown["status"]["active"], "activating", "{shown}");
    assert_eq!(shown["status"]["sub"], "preparing", "{shown}");
    let listed = machines[1].run(&["list-units"]).ok().stdout;
    assert!(listed.contains("preparing") && listed.contains("brings image"), "{listed}");
    let ran = machines[2].run(&["is-active", "web"]);
    assert_eq!((ran.code, ran.stdout.trim()), (3, "activating"));

    gate.shut(false);
    machines[0].wait("that it runs", |m| is_active(m, "web"));
    let shown = status(&machines[0], "web");
    assert_eq!((&shown["status"]["restarts"], &shown["reason"]), (&0.into(), &Value::Null));
    let standby = |m: &Machine| -> Option<String> {
        let shown = status(m, "web");
        let [standby] = &shown["standby"].as_array()?[..] else { return None };
        (standby["images"] == "here").then(|| standby["machine"].as_str().unwrap().to_owned())
    };
    let by = machines[0].wait_for("a machine that stands by", standby);
    assert_ne!(shown["machine"], by.as_str());
    let why = machines[0].run(&["why", "web"]).ok().stdout;
    assert!(why.contains(&format!("; {by} stands by")), "{why}");
    let told = machines[0].run(&["status", "web"]).ok().stdout;
    assert!(told.contains(&format!("Standby: {by} (has its images)")), "{told}");

    // A new text: the unit runs on until its image is there.
    gate.shut(true);
    let pid = shown["status"]["main_pid"].as_u64().unwrap();
    let ticks = start_ticks(u32::try_from(pid).unwrap());
    machines[0].file("web.service", &unit(&image("two")));
    machines[0].run(&["apply", "--no-block", "web.service"]).ok();
    machines[0].wait("that the next image is brought", |m| {
        m.run(&["why", "web"]).ok().stdout.contains(&format!("brings image {}", image("two")))
    });
    let running = status(&machines[0], "web");
    assert_eq!(running["status"]["main_pid"], pid, "{running}");
    assert_eq!(start_ticks(u32::try_from(pid).unwrap()), ticks);
    gate.shut(false);
    machines[0].wait("the new text", |m| {
        let shown = status(m, "web");
        shown["status"]["revision"] == 2 && shown["status"]["active"] == "active"
    });
    let by = machines[0].wait_for("a machine that stands by", standby);

    // Its machine dies, and there is no registry any more.
    let connections = gate.connections();
    drop((registry, gate));
    let own = status(&machines[0], "web")["machine"].as_str().unwrap().to_owned();
    let place = |name: &str| name[1..].parse::<usize>().unwrap() - 1;
    machines[place(&own)].lose();
    let other = &machines[place(&by)];
    other.wait("that it runs there", |m| {
        let shown = status(m, "web");
        shown["machine"] == by.as_str() && shown["status"]["active"] == "active"
    });
    assert_eq!(status(other, "web")["status"]["restarts"], 0);
    assert!(connections > 0);
    let lines = other.run(&["journal", "web", "--cat"]).ok().stdout;
    assert!(!lines.contains("pulling"), "no registry was asked: {lines}");
}

#[test]
fn a_worker_that_joins_prepares_for_what_only_it_could_take_over() {
    let _network = OwnNetwork::enter();
    let (registry, gate) = registry(&["one"]);
    let image = format!("{}/app:one", gate.address);
    let mut machines = Machine::at_addresses(4);
    machines.iter_mut().for_each(|machine| machine.start(&[]));
    let worker = machines.pop().unwrap();
    let mut machines = of_started(machines);
    let places = "[X-Fleet]\nMachineMetadata=zone=a zone=w\n";
    machines[0].file("web.service", &format!("{}{places}", unit(&image)));
    machines[0].run(&["apply", "web.service"]).ok();
    let shown = status(&machines[0], "web");
    assert_eq!((&shown["machine"], &shown["standby"]), (&"m1".into(), &Value::Null), "{shown}");
    join(&machines[1], &worker, "w1", "zone=w");
    worker.wait("that it stands by", |m| {
        status(m, "web")["standby"] == serde_json::json!([{"machine": "w1", "images": "here"}])
    });
    drop((registry, gate));
    machines[0].lose();
    worker.wait("that it runs there", |m| {
        let shown = status(m, "web");
        shown["machine"] == "w1" && shown["status"]["active"] == "active"
    });
    let lines = worker.run(&["journal", "web", "--cat"]).ok().stdout;
    assert!(!lines.contains("pulling"), "no registry was asked: {lines}");
}

#[test]
fn an_image_that_cannot_be_brought_leaves_the_unit_to_its_own_rules() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    let nobody = "127.0.0.1:1/app:1";
    machine.file("web.service", &unit(nobody));
    machine.run(&["apply", "--no-block", "web.service"]).ok();
    machine.wait("its end", |m| status(m, "web")["status"]["active"] == "failed");
    let why = machine.run(&["why", "web"]).ok().stdout;
    let cannot = format!("m1 cannot bring image {nobody}, and starts it all the same: ");
    assert!(why.contains(&cannot) && why.contains("NO started"), "{why}");
    let lines = machine.run(&["journal", "web", "--cat"]).ok().stdout;
    assert!(lines.contains("cannot connect to 127.0.0.1:1"), "its own words: {lines}");
    // One that is imported by hand asks nobody.
    with_busybox(&machine);
    machine.file("own.service", &unit("busybox"));
    machine.run(&["apply", "own.service"]).ok();
    let why = machine.run(&["why", "own"]).ok().stdout;
    assert!(why.contains("m1 has image busybox"), "{why}");
}
