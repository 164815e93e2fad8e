//! Tests of the two files.

use super::*;
use crate::Mac;

fn endpoint(internal: bool, dns: bool) -> Endpoint {
    Endpoint {
        network: "bridge".to_owned(),
        bridge: "argosy0".to_owned(),
        address: [10, 88, 0, 2].into(),
        prefix: 16,
        gateway: [10, 88, 0, 1].into(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        interface: "eth0".to_owned(),
        aliases: Vec::new(),
        internal,
        isolate: true,
        dns,
        dns_servers: Vec::new(),
        mtu: None,
    }
}

const MACHINE: &str = "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.9\nnameserver fe80::1%eth0\n\
                       search corp.example lan\noptions edns0\n";

#[test]
fn a_container_asks_its_companion() {
    let text = resolv_conf(&[endpoint(false, true)], &ResolverOptions::default(), MACHINE);
    assert_eq!(text, "search corp.example lan\nnameserver 127.0.0.11\noptions ndots:0\n");
    let wanted = ResolverOptions {
        servers: vec![[9, 9, 9, 9].into()],
        search: vec![".".to_owned()],
        options: vec!["ndots:2".to_owned()],
    };
    let text = resolv_conf(&[endpoint(false, true)], &wanted, MACHINE);
    assert_eq!(text, "nameserver 127.0.0.11\noptions ndots:2\n", "the companion asks the servers");
    let text = resolv_conf(&[endpoint(false, false)], &wanted, MACHINE);
    assert_eq!(text, "nameserver 9.9.9.9\noptions ndots:2\n");
    let text = resolv_conf(&[endpoint(false, false)], &ResolverOptions::default(), MACHINE);
    assert_eq!(text, "search corp.example lan\nnameserver 192.0.2.9\n");
}

#[test]
fn hosts_names_itself_and_the_machine() {
    let added = [("db".to_owned(), IpAddr::from([192, 0, 2, 1]))];
    assert_eq!(
        hosts(&[endpoint(false, true)], &["web", "f00d"], &added),
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.88.0.2\tweb f00d\n\
         10.88.0.1\thost.containers.internal host.docker.internal\n192.0.2.1\tdb\n"
    );
    assert!(!hosts(&[endpoint(true, true)], &["web"], &[]).contains("internal"), "nothing outside");
    let added = [("host.docker.internal".to_owned(), IpAddr::from([192, 0, 2, 1]))];
    let text = hosts(&[endpoint(false, true)], &[], &added);
    assert_eq!(text.matches("host.docker.internal").count(), 1, "the caller's own stands alone");
}
