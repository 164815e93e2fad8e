//! Published ports.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::machine::{CLIENT, Container, MACHINE, Machine, Wanted, interfaces, tables, until};
use crate::talk::{address, ask, ask_by_datagram, serve, serve_datagrams};

const LOCALHOST: [u8; 4] = [127, 0, 0, 1];

fn text(address: [u8; 4]) -> String {
    std::net::Ipv4Addr::from(address).to_string()
}

fn start(machine: &Machine, name: &str, publish: &[&str]) -> Container {
    let wanted = Wanted { name, networks: &["bridge"], publish, ..Wanted::default() };
    machine.start(wanted).unwrap()
}

fn host_port(container: &Container, index: usize) -> u16 {
    container.published.ports[index].port
}

#[test]
fn everybody_reaches_a_published_port() {
    for filters_bridges in ["1", "0"] {
        let machine = Machine::new();
        // Whether the packet filter sees what a bridge carries depends on the machine.
        std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", filters_bridges).unwrap();
        let client = machine.neighbour();
        let web = start(&machine, "web", &["8080:80", "5300:53/udp"]);
        let other = start(&machine, "other", &[]);
        machine.network("front", false);
        let apart = Wanted { name: "apart", networks: &["front"], ..Wanted::default() };
        let apart = machine.start(apart).unwrap();
        web.net.run(|| serve(([0; 4], 80)));
        web.net.run(|| serve_datagrams(([0; 4], 53)));

        let seen = client.run(|| ask((MACHINE, 8080)));
        assert_eq!(seen.unwrap(), text(CLIENT), "the client's address is kept");
        assert_eq!(client.run(|| ask_by_datagram((MACHINE, 5300))).unwrap(), text(CLIENT));
        assert_eq!(ask((MACHINE, 8080)).unwrap(), text(MACHINE), "the machine by its address");
        assert_eq!(ask((web.gateway(), 8080)).unwrap(), text(web.gateway()));
        assert_eq!(ask((LOCALHOST, 8080)).unwrap(), text(web.gateway()), "by the relay");
        assert_eq!(ask((Ipv6Addr::LOCALHOST, 8080)).unwrap(), text(web.gateway()));
        assert_eq!(ask_by_datagram((MACHINE, 5300)).unwrap(), text(MACHINE));
        assert_eq!(ask_by_datagram((LOCALHOST, 5300)).unwrap(), text(web.gateway()));
        assert_eq!(ask_by_datagram((Ipv6Addr::LOCALHOST, 5300)).unwrap(), text(web.gateway()));
        for (name, container) in [("itself", &web), ("a neighbour", &other)] {
            let seen = container.net.run(|| ask((MACHINE, 8080)));
            assert_eq!(seen.unwrap(), text(web.gateway()), "{name}, {filters_bridges}");
            let seen = container.net.run(|| ask_by_datagram((MACHINE, 5300)));
            assert_eq!(seen.unwrap(), text(web.gateway()), "{name}, {filters_bridges}");
        }
        let seen = apart.net.run(|| ask((MACHINE, 8080)));
        assert_eq!(seen.unwrap(), text(web.gateway()), "from another network");
    }
}

#[test]
fn a_relayed_connection_has_two_ends_and_loses_nothing() {
    let machine = Machine::new();
    let web = start(&machine, "web", &["127.0.0.1:8080:80"]);
    let listener = web.net.run(|| TcpListener::bind(address([0; 4], 80))).unwrap();
    // Answers only after all is said, with as much as came.
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        client.write_all(&all).unwrap();
    });
    let data: Vec<u8> =
        (0..8_000_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = TcpStream::connect(address(LOCALHOST, 8080)).unwrap();
    stream.write_all(&data).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == data, "{} bytes came back", back.len());
    server.join().unwrap();
    // Nobody listens any more: the client's connection ends.
    let mut stream = TcpStream::connect(address(LOCALHOST, 8080)).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
}

#[test]
fn a_port_in_use_is_refused_and_nothing_is_left() {
    let machine = Machine::new();
    let client = machine.neighbour();
    let taken = TcpListener::bind(address([0; 4], 8080)).unwrap();
    let wanted = || Wanted {
        name: "web",
        networks: &["bridge"],
        publish: &["8081:81", "8080:80"],
        ..Wanted::default()
    };
    let refused = machine.start(wanted()).err().unwrap();
    assert_eq!(refused, "failed port 8080/tcp is in use on 0.0.0.0");
    assert_eq!(tables(), [""; 0]);
    assert!(interfaces().iter().all(|it| it == "lo" || it == "up0"), "{:?}", interfaces());
    TcpListener::bind(address([0; 4], 8081)).unwrap();
    drop(taken);
    let web = machine.start(wanted()).unwrap();
    web.net.run(|| serve(([0; 4], 80)));
    assert_eq!(client.run(|| ask((MACHINE, 8080))).unwrap(), text(CLIENT));
    let second = Wanted {
        name: "second",
        networks: &["bridge"],
        publish: &["8080:80"],
        ..Wanted::default()
    };
    let refused = machine.start(second).err().unwrap();
    assert_eq!(refused, "failed port 8080/tcp is in use on 0.0.0.0", "by another container");
    let elsewhere = Wanted {
        name: "third",
        networks: &["bridge"],
        publish: &["203.0.113.9:80:80"],
        ..Wanted::default()
    };
    let refused = machine.start(elsewhere).err().unwrap();
    assert_eq!(refused, "failed this machine has no address 203.0.113.9 to publish port 80 on");
}

#[test]
fn free_ports_ranges_and_addresses() {
    let machine = Machine::new();
    let client = machine.neighbour();
    let taken = TcpListener::bind(address([0; 4], 9000)).unwrap();
    let publish = [
        "80",
        "0:53/udp",
        "8000-8002:8000-8002",
        "9000-9009:90",
        "127.0.0.1:7070:70",
        "192.0.2.1:7171:71",
    ];
    let web = start(&machine, "web", &publish);
    web.net.run(|| {
        [80, 90, 70, 71, 8000, 8001, 8002].iter().for_each(|port| serve(([0; 4], *port)));
        serve_datagrams(([0; 4], 53));
    });
    let free = host_port(&web, 0);
    assert_eq!(client.run(|| ask((MACHINE, free))).unwrap(), text(CLIENT));
    assert_eq!(ask((Ipv6Addr::LOCALHOST, free)).unwrap(), text(web.gateway()), "one for both");
    let free = web.published.ports.iter().find(|it| it.container_port == 53).unwrap().port;
    assert_eq!(client.run(|| ask_by_datagram((MACHINE, free))).unwrap(), text(CLIENT));
    for port in [8000, 8001, 8002, 9001, 7171] {
        assert_eq!(client.run(|| ask((MACHINE, port))).unwrap(), text(CLIENT), "{port}");
    }
    assert_eq!(ask((LOCALHOST, 7070)).unwrap(), text(web.gateway()));
    client.run(|| ask((MACHINE, 7070)).unwrap_err());
    ask((LOCALHOST, 7171)).unwrap_err();
    assert_eq!(ask((MACHINE, 7171)).unwrap(), text(MACHINE));
    drop(taken);
}

#[test]
fn a_client_that_never_pauses_reaches_the_next_container() {
    let machine = Machine::new();
    let client = machine.neighbour();
    // Makes the kernel track what comes and goes.
    let other = start(&machine, "other", &[]);
    let socket = client.run(|| UdpSocket::bind(address(CLIENT, 4000))).unwrap();
    socket.connect(address(MACHINE, 5300)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let asked = || {
        // An error of a datagram before is told now.
        let _sent = socket.send(b"who am I?").and_then(|_| socket.send(b"who am I?"));
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    assert_eq!(asked(), None);
    let mut ports = Vec::new();
    for name in ["first", "second"] {
        let web = start(&machine, name, &["5300:53/udp"]);
        web.net.run(|| serve_datagrams(([0; 4], 53)));
        let wanted = format!("{}:4000", text(CLIENT));
        // From its own address: by the kernel, and not by the companion.
        until("it is answered", || asked().inspect(|it| assert_eq!(*it, wanted)).is_some());
        ports.push(web.address());
    }
    assert_ne!(ports[0], ports[1], "the second has another address");
    drop(other);
}

#[test]
fn many_ports_at_once() {
    let machine = Machine::new();
    let client = machine.neighbour();
    let web = start(&machine, "web", &["20000-20499:30000-30499", "40000-40399:40000-40399"]);
    for (port, inside) in [(20000, 30000), (20499, 30499), (40000, 40000), (40399, 40399)] {
        web.net.run(|| serve(([0; 4], inside)));
        assert_eq!(client.run(|| ask((MACHINE, port))).unwrap(), text(CLIENT));
        assert_eq!(ask((LOCALHOST, port)).unwrap(), text(web.gateway()));
    }
    let more = &["1-1025:1-1025"];
    let more = Wanted { name: "more", networks: &["bridge"], publish: more, ..Wanted::default() };
    let refused = machine.start(more).err().unwrap();
    assert_eq!(refused, "failed 1025 ports are to be published, at most 1024 can be");
}

#[test]
fn a_container_that_starts_again_gets_its_ports_at_once() {
    let machine = Machine::new();
    let client = machine.neighbour();
    for _ in 0..5 {
        let web = start(&machine, "web", &["8080:80"]);
        assert_eq!(web.address(), [10, 88, 0, 2], "and its address");
        web.net.run(|| serve(([0; 4], 80)));
        assert_eq!(client.run(|| ask((MACHINE, 8080))).unwrap(), text(CLIENT));
        assert_eq!(ask((LOCALHOST, 8080)).unwrap(), text(web.gateway()));
    }
    until("the ports are free", || TcpListener::bind(address([0; 4], 8080)).is_ok());
}
