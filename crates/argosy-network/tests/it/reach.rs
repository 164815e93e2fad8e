//! Who reaches whom.

use std::net::UdpSocket;

use argosy_network::NetworkSpec;

use crate::machine::{CLIENT, MACHINE, Machine, Wanted};
use crate::talk::{SILENCE, address, ask, ask_within, serve};

fn text(address: [u8; 4]) -> String {
    std::net::Ipv4Addr::from(address).to_string()
}

#[test]
fn two_containers_reach_each_other_the_machine_and_the_world() {
    let machine = Machine::new();
    // A new namespace begins with what the machine has.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    let outside = machine.neighbour();
    outside.run(|| serve((CLIENT, 7000)));
    let web = machine.start(Wanted { name: "web", networks: &["bridge"], ..Wanted::default() });
    let db = machine.start(Wanted { name: "db", networks: &["bridge"], ..Wanted::default() });
    let (web, db) = (web.unwrap(), db.unwrap());
    assert_eq!((web.address(), db.address()), ([10, 88, 0, 2], [10, 88, 0, 3]));
    db.net.run(|| serve(([0; 4], 5432)));
    let seen = web.net.run(|| ask((db.address(), 5432)));
    assert_eq!(seen.unwrap(), text(web.address()), "neighbours are not translated");
    let seen = ask((db.address(), 5432));
    assert_eq!(seen.unwrap(), text(db.gateway()), "the machine reaches it by its address");
    let seen = web.net.run(|| ask((CLIENT, 7000)));
    assert_eq!(seen.unwrap(), text(MACHINE), "outside it has the machine's address");
    assert_eq!(web.published.changed, ["net.ipv4.ip_forward=1"]);
    assert_eq!(db.published.changed, [""; 0], "it is so already");
    let without = std::fs::read_to_string("/proc/sys/net/ipv6/conf/argosy0/disable_ipv6");
    assert_eq!(without.unwrap(), "1\n", "no way around the walls");
}

#[test]
fn a_firewall_that_drops_is_told() {
    let machine = Machine::new();
    let chain = |name, hook, drops| {
        let kind = argosy_netlink::ChainKind::Filter;
        argosy_netlink::Chain { name, kind, hook, priority: 0, drops, rules: Vec::new() }
    };
    let firewall = argosy_netlink::Table {
        family: argosy_netlink::Family::V4,
        name: "filter".to_owned(),
        chains: vec![
            chain("FORWARD", argosy_netlink::Hook::Forward, true),
            chain("INPUT", argosy_netlink::Hook::Input, true),
            chain("other", argosy_netlink::Hook::Forward, false),
        ],
    };
    let socket = argosy_netlink::NfTables::open().unwrap();
    socket.add_owned(&firewall).unwrap();
    let wanted = || Wanted { name: "web", networks: &["bridge"], ..Wanted::default() };
    let web = machine.start(wanted()).unwrap();
    let told = "the chain FORWARD of the packet filter's table filter drops what it does not accept: \
                it needs rules for packets in and out by argosy0";
    assert_eq!(web.published.warnings, [told]);
    drop(web);
    drop(socket);
    assert_eq!(machine.start(wanted()).unwrap().published.warnings, [""; 0]);
}

#[test]
fn networks_are_apart_unless_they_are_told_not_to() {
    let machine = Machine::new();
    let outside = machine.neighbour();
    outside.run(|| serve((CLIENT, 7000)));
    machine.network("front", false);
    machine.network("back", false);
    for name in ["open-a", "open-b"] {
        let options = [("isolate".to_owned(), "false".to_owned())].into();
        let spec = NetworkSpec { name: name.to_owned(), options, ..NetworkSpec::default() };
        machine.networks.create(&spec, false).unwrap();
    }
    let start = |name, networks: &[&str]| {
        let container = machine.start(Wanted { name, networks, ..Wanted::default() }).unwrap();
        container.net.run(|| serve(([0; 4], 80)));
        container
    };
    let (front, back) = (start("front", &["front"]), start("back", &["back"]));
    let (open_a, open_b) = (start("open-a", &["open-a"]), start("open-b", &["open-b"]));
    let both = start("both", &["front", "back"]);
    let refused = |from: &crate::machine::Container, to: &crate::machine::Container| {
        from.net.run(|| ask_within((to.address(), 80).into(), SILENCE)).unwrap_err();
    };
    refused(&front, &back);
    refused(&back, &front);
    refused(&open_a, &front);
    refused(&front, &open_a);
    assert_eq!(open_a.net.run(|| ask((open_b.address(), 80))).unwrap(), text(open_b.gateway()));
    assert_eq!(both.net.run(|| ask((front.address(), 80))).unwrap(), text(both.address()));
    let by_back = text(both.endpoints[1].address.octets());
    assert_eq!(both.net.run(|| ask((back.address(), 80))).unwrap(), by_back);
    assert_eq!(front.net.run(|| ask((CLIENT, 7000))).unwrap(), text(MACHINE));
    // The walls are as strong as long as one container of the network stands.
    drop(both);
    drop(back);
    refused(&front, &open_b);
}

#[test]
fn an_internal_network_lets_nothing_out_or_in() {
    let machine = Machine::new();
    let outside = machine.neighbour();
    outside.run(|| serve((CLIENT, 7000)));
    serve(([0; 4], 7001));
    machine.network("inner", true);
    machine.network("front", false);
    let start = |name, networks: &[&str]| {
        let container = machine.start(Wanted { name, networks, ..Wanted::default() }).unwrap();
        container.net.run(|| serve(([0; 4], 80)));
        container
    };
    let (a, b) = (start("a", &["inner"]), start("b", &["inner"]));
    let front = start("front", &["front"]);
    assert_eq!(a.net.run(|| ask((b.address(), 80))).unwrap(), text(a.address()));
    let no_route = a.net.run(|| ask((CLIENT, 7000))).unwrap_err();
    assert_eq!(no_route.raw_os_error(), Some(libc_enetunreach()), "{no_route}");
    // A container that makes itself a way out finds it closed.
    a.net.run(|| {
        let socket = argosy_netlink::RouteSocket::open().unwrap();
        socket.add_default_route(a.gateway().into(), socket.index("eth0").unwrap()).unwrap();
        ask_within((CLIENT, 7000).into(), SILENCE).unwrap_err();
        ask_within((front.address(), 80).into(), SILENCE).unwrap_err();
        ask_within((a.gateway(), 7001).into(), SILENCE).unwrap_err();
    });
    front.net.run(|| ask_within((a.address(), 80).into(), SILENCE).unwrap_err());
    // Not even one way.
    for (from, to, at) in [(&a.net, &outside, CLIENT), (&outside, &a.net, a.address())] {
        let socket = to.run(|| UdpSocket::bind(address(at, 9000))).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        let sender = from.run(|| UdpSocket::bind(address([0; 4], 0))).unwrap();
        sender.send_to(b"anybody?", address(at, 9000)).unwrap();
        socket.recv(&mut [0; 16]).unwrap_err();
    }
    assert_eq!(ask((a.address(), 80)).unwrap(), text(a.gateway()), "the machine reaches it");
    let publishes =
        Wanted { name: "p", networks: &["inner"], publish: &["80"], ..Wanted::default() };
    let refused = machine.start(publishes).err().unwrap();
    assert_eq!(
        refused,
        "failed a container that is on internal networks only cannot publish ports"
    );
}

/// ENETUNREACH, which the standard library has a kind for, but an unnamed one in `connect_timeout`.
fn libc_enetunreach() -> i32 {
    rustix::io::Errno::NETUNREACH.raw_os_error()
}
