//! Tests of how ports become rules; what the rules do is for the integration tests.

use super::*;

fn port(address: [u8; 4], port: u16, container_port: u16, protocol: Protocol) -> PublishedPort {
    PublishedPort { address: address.into(), port, container_port, protocol }
}

#[test]
fn ports_in_a_row_are_one_rule() {
    let mut ports: Vec<_> = (8000..8100).map(|it| port([0; 4], it, it, Protocol::Tcp)).collect();
    ports.push(port([0; 4], 8100, 8100, Protocol::Udp));
    ports.push(port([127, 0, 0, 1], 8101, 8101, Protocol::Udp));
    ports.push(port([192, 0, 2, 1], 8101, 8101, Protocol::Udp));
    ports.push(port([0; 4], 9000, 80, Protocol::Tcp));
    ports.push(port([0; 4], 9001, 81, Protocol::Tcp));
    ports.push(PublishedPort { address: "::".parse().unwrap(), ..ports[0] });
    let all =
        |first, last, port| Mapping { address: None, protocol: Protocol::Tcp, first, last, port };
    let udp = Mapping { protocol: Protocol::Udp, ..all(8100, 8100, None) };
    let one = Mapping {
        address: Some([192, 0, 2, 1].into()),
        protocol: Protocol::Udp,
        ..all(8101, 8101, None)
    };
    let wanted =
        [all(8000, 8099, None), udp, one, all(9000, 9000, Some(80)), all(9001, 9001, Some(81))];
    assert_eq!(mappings(&ports), wanted);
}

#[test]
fn the_last_port_ends_a_row() {
    let ports = [port([0; 4], 65535, 65535, Protocol::Tcp), port([0; 4], 1, 1, Protocol::Tcp)];
    assert_eq!(mappings(&ports).len(), 2);
}
