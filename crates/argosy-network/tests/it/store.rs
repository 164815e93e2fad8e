//! The machine's store on the container's own loopback.

use argosy_network::StorePort;

use crate::machine::{Container, Machine, Wanted};
use crate::talk::{ask, serve};

const LOCALHOST: [u8; 4] = [127, 0, 0, 1];
const ETCD: u16 = 2379;

fn start(machine: &Machine, name: &str, networks: &[&str]) -> Container {
    let store = [4001, ETCD].map(|port| StorePort { port, to: (LOCALHOST, ETCD).into() });
    machine.start(Wanted { name, networks, store: &store, ..Wanted::default() }).unwrap()
}

#[test]
fn a_container_reaches_the_store_on_its_own_loopback() {
    let machine = Machine::new();
    machine.network("inner", true);
    let web = start(&machine, "web", &["bridge"]);
    let inner = start(&machine, "inner", &["inner"]);
    web.net.run(|| ask((LOCALHOST, ETCD)).unwrap_err());
    serve((LOCALHOST, ETCD));
    for container in [&web, &inner] {
        for port in [4001, ETCD] {
            let seen = container.net.run(|| ask((LOCALHOST, port)));
            assert_eq!(seen.unwrap(), "127.0.0.1", "{port}");
        }
    }
    web.net.run(|| ask((web.address(), ETCD)).unwrap_err());
}

#[test]
fn a_container_with_a_store_of_its_own_gets_that() {
    let machine = Machine::new();
    serve((LOCALHOST, ETCD));
    let etcd = start(&machine, "etcd", &["bridge"]);
    let web = start(&machine, "web", &["bridge"]);
    // Many in a row: what is left of ended connections must not send one to the wrong place.
    let many = |container: &Container| {
        container.net.run(|| (0..200).for_each(|_| drop(ask((LOCALHOST, ETCD)).unwrap())));
    };
    many(&etcd);
    etcd.net.run(|| {
        let own = std::net::TcpListener::bind(crate::talk::address([0; 4], ETCD)).unwrap();
        let port = crate::talk::address(LOCALHOST, ETCD);
        let client = std::net::TcpStream::connect(port).unwrap();
        let (_, from) = own.accept().unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        // The other port, where it does not listen, is the machine's as before.
        assert_eq!(ask((LOCALHOST, 4001)).unwrap(), "127.0.0.1");
    });
    many(&etcd);
    let neighbour =
        etcd.net.run(|| std::net::TcpListener::bind(crate::talk::address([0; 4], ETCD)));
    let neighbour = neighbour.unwrap();
    let address = crate::talk::address(etcd.address(), ETCD);
    web.net.run(|| std::net::TcpStream::connect(address).unwrap());
    drop(neighbour.accept().unwrap());
}
