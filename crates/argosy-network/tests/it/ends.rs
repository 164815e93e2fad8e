//! What is left when a companion ends, and many at once.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use argosy_netlink::{End, RouteSocket};
use rustix::process::Signal;

use crate::machine::{Machine, Net, Wanted, interfaces, tables, until};
use crate::talk::{A, address, ask, found, look_up, serve};

fn wanted(name: &str) -> Wanted<'_> {
    let publish = &["8080:80", "5353:53/udp"];
    Wanted { name, networks: &["bridge"], publish, ..Wanted::default() }
}

#[test]
fn nothing_is_left_however_a_companion_ends() {
    let machine = Machine::new();
    for signal in [Signal::KILL, Signal::TERM, Signal::ABORT] {
        let net = Net::new();
        let inside = net.copy();
        let web = machine.start(Wanted { inside: Some(inside), ..wanted("web") }).unwrap();
        let cable = interfaces().into_iter().find(|it| it.starts_with("agv")).unwrap();
        let [a, b, c, d] = web.address();
        assert_eq!(cable, format!("agv{a:02x}{b:02x}{c:02x}{d:02x}"));
        assert_eq!(tables(), ["argosy-web-01234567"]);
        assert_eq!(net.run(tables), ["argosy"]);
        TcpListener::bind(address([0; 4], 8080)).unwrap_err();
        UdpSocket::bind(address([0; 4], 5353)).unwrap_err();
        let id = web.id.clone();
        let code = web.end(signal);
        assert_eq!(code, (signal == Signal::TERM).then_some(0), "{signal:?}");
        // All of this is gone with the process, in this very moment.
        assert_eq!(tables(), [""; 0]);
        assert_eq!(net.run(tables), [""; 0]);
        TcpListener::bind(address([0; 4], 8080)).unwrap();
        UdpSocket::bind(address([0; 4], 5353)).unwrap();
        drop(net);
        until("the cable is gone", || interfaces().iter().all(|it| *it != cable));
        assert!(interfaces().contains(&"argosy0".to_owned()));
        machine.networks.release(&id).unwrap();
        assert!(!interfaces().contains(&"argosy0".to_owned()), "the last one takes the bridge");
    }
}

#[test]
fn nothing_is_left_of_a_companion_that_is_killed_while_it_starts() {
    let machine = Machine::new();
    let names: Vec<String> = (0..60).map(|it| format!("killed-{it}")).collect();
    for (number, name) in names.iter().enumerate() {
        let net = Net::new();
        let launched = machine.launch(Wanted { inside: Some(net.copy()), ..wanted(name) });
        // From before its first step until after its last one.
        std::thread::sleep(Duration::from_micros(500) * number as u32);
        let id = launched.id.clone();
        launched.end(Signal::KILL);
        assert_eq!((tables(), net.run(tables)), (Vec::new(), Vec::new()), "{name}");
        TcpListener::bind(address([0; 4], 8080)).unwrap();
        if number % 2 == 0 {
            machine.networks.release(&id).unwrap();
        }
    }
    // Half of them were forgotten by whoever started them.
    machine.networks.collect(|_| false).unwrap();
    until("nothing is left", || interfaces() == ["lo"]);
    let web = machine.start(wanted("web")).unwrap();
    web.net.run(|| serve(([0; 4], 80)));
    ask(([127, 0, 0, 1], 8080)).unwrap();
}

#[test]
fn a_companion_ends_with_whoever_started_it() {
    let machine = Machine::new();
    let own = machine.namespace();
    let net = Net::new();
    let inside = net.copy();
    // To the kernel a thread is a parent.
    let started = std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            own.enter();
            machine.start(Wanted { inside: Some(inside), ..wanted("web") }).unwrap()
        });
        starter.join().unwrap()
    });
    until("its tables are gone", || tables().is_empty() && net.run(tables).is_empty());
    until("its port is free", || TcpListener::bind(address([0; 4], 8080)).is_ok());
    drop(started);
}

#[test]
fn signals_of_a_terminal_are_not_for_a_companion() {
    let machine = Machine::new();
    let web = machine.start(wanted("web")).unwrap();
    for signal in [Signal::INT, Signal::HUP, Signal::QUIT] {
        web.signal(signal);
    }
    web.net.run(|| serve(([0; 4], 80)));
    ask(([127, 0, 0, 1], 8080)).unwrap();
}

#[test]
fn a_companion_that_fails_takes_its_cables_with_it() {
    let machine = Machine::new();
    machine.network("front", false);
    let cables = || interfaces().into_iter().filter(|it| it.starts_with("agv")).collect::<Vec<_>>();
    // The second of two networks cannot be plugged in: there is an interface of the name.
    let net = Net::new();
    net.run(|| {
        let socket = RouteSocket::open().unwrap();
        let (ours, theirs) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        socket.make_cable(End::new("eth1", ours), End::new("other", theirs)).unwrap();
    });
    let (networks, inside) = (&["front", "bridge"], Some(net.copy()));
    let failed = machine.start(Wanted { name: "a", networks, inside, ..Wanted::default() });
    let failed = failed.err().unwrap();
    assert_eq!(failed, "failed cannot make the cable agv0a580002: File exists (os error 17)");
    assert_eq!(cables(), [""; 0]);
    // What comes last is refused: two ids that begin alike want one table.
    let start = |name, inside| {
        machine.start(Wanted { name, networks: &["front"], inside, ..Wanted::default() })
    };
    let first = start("container-one", None).unwrap();
    let before = cables();
    let net = Net::new();
    let failed = start("container-on", Some(net.copy())).err().unwrap();
    assert!(failed.starts_with("failed cannot make the packet filter table argosy-container-on"));
    assert_eq!(cables(), before);
    drop(first);
}

#[test]
fn a_companion_can_take_over_where_another_was_killed() {
    let machine = Machine::new();
    let net = Net::new();
    let first = machine.start(Wanted { inside: Some(net.copy()), ..wanted("web") }).unwrap();
    net.run(|| serve(([0; 4], 80)));
    let address = first.address();
    first.end(Signal::KILL);
    ask(([127, 0, 0, 1], 8080)).unwrap_err();
    let second = machine.start(Wanted { inside: Some(net.copy()), ..wanted("web") }).unwrap();
    assert_eq!(second.address(), address);
    ask(([127, 0, 0, 1], 8080)).unwrap();
    ask((address, 80)).unwrap();
    assert_eq!(net.run(|| look_up("web", A)), found(0, &[address]));
}

#[test]
fn a_container_with_users_of_its_own_has_a_network_as_any() {
    let machine = Machine::new();
    let mut sleeper = std::process::Command::new("unshare")
        .args(["--user", "--net", "--map-root-user", "sleep", "1000"])
        .spawn()
        .unwrap();
    let path = format!("/proc/{}/ns/", sleeper.id());
    let is_own = |kind: &str| {
        let theirs = std::fs::read_link(format!("{path}{kind}"));
        theirs.unwrap() != std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap()
    };
    until("it has a network", || {
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", sleeper.id())).unwrap();
        comm == "sleep\n" && is_own("user") && is_own("net")
    });
    let net = Net::open(&format!("{path}net"));
    let web = machine.start(Wanted { inside: Some(net), ..wanted("web") });
    let seen = web.map(|web| (web.address(), web.net.run(|| look_up("web", A))));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let (address, seen) = seen.unwrap();
    assert_eq!(seen, found(0, &[address]));
}

#[test]
fn fifty_at_once_get_fifty_addresses_and_one_bridge() {
    const COUNT: usize = 50;
    let machine = Machine::new();
    let names: Vec<String> = (0..COUNT).map(|it| format!("c{it:02}")).collect();
    let containers: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = names
            .iter()
            .map(|name| {
                let machine = &machine;
                let own = machine.namespace();
                scope.spawn(move || {
                    own.enter();
                    let wanted = Wanted { name, networks: &["bridge"], ..Wanted::default() };
                    let container = machine.start(wanted).unwrap();
                    // A companion ends with the thread that started it.
                    (container.address(), container.published.clone(), container)
                })
            })
            .collect();
        started.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let mut addresses: Vec<_> = containers.iter().map(|(address, ..)| *address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), COUNT);
    assert_eq!(interfaces().iter().filter(|it| it.starts_with("argosy")).count(), 1);
}

#[test]
fn a_companion_is_small() {
    let machine = Machine::new();
    let web = machine.start(wanted("web")).unwrap();
    web.net.run(|| serve(([0; 4], 80)));
    // Not asleep from the start, but after it had something to do.
    ask(([127, 0, 0, 1], 8080)).unwrap();
    assert_eq!(web.net.run(|| look_up("web", A)), found(0, &[web.address()]));
    // What no file is behind: pages of the program are everybody's.
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", web.pid())).unwrap();
    let own = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    let own: u64 = own.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(own < 512, "{own} KiB");
    eprintln!("a companion keeps {own} KiB of its own");
}
