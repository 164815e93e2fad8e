//! Tests of who is called what.

use super::*;
use crate::Mac;
use crate::dns::message::answers;

const TYPE_AAAA: u16 = 28;

fn endpoint(network: &str, last: u8, aliases: &[&str]) -> Endpoint {
    let third = u8::from(network == "back");
    Endpoint {
        network: network.to_owned(),
        bridge: format!("br-{network}"),
        address: [10, 89, third, last].into(),
        prefix: 24,
        gateway: [10, 89, third, 1].into(),
        mac: Mac([2, 0, 0, 0, 0, last]),
        interface: "eth0".to_owned(),
        aliases: aliases.iter().map(|it| (*it).to_owned()).collect(),
        internal: network == "back",
        isolate: true,
        dns: true,
        dns_servers: Vec::new(),
        mtu: None,
    }
}

fn reservation(name: &str, endpoints: Vec<Endpoint>) -> Reservation {
    let id = format!("{name}-0123456789abcdef");
    Reservation { id, name: name.to_owned(), aliases: vec![format!("host-{name}")], endpoints }
}

fn ask(names: &Names, name: &str, kind: u16) -> Known {
    let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    let query = Query::read(&bytes).unwrap();
    assert!(query.is_answered_by(&answers(&query, None, true)));
    names.look_up(&query, 0)
}

fn addresses(known: Known) -> Vec<u8> {
    let Known::Records(records) = known else { panic!("{known:?}") };
    let last = |record| match record {
        Record::Address(address) => Ipv4Addr::octets(&address)[3],
        Record::Name(name) => panic!("{name}"),
    };
    records.into_iter().map(last).collect()
}

#[test]
fn names_are_those_of_the_same_networks() {
    let all = [
        reservation("Web", vec![endpoint("front", 2, &["www"]), endpoint("back", 2, &[])]),
        reservation("api", vec![endpoint("front", 3, &["www"])]),
        reservation("db", vec![endpoint("back", 4, &["sql"])]),
    ];
    let api = Names::of(&all[1].endpoints, &all);
    for name in ["web", "WEB", "host-web", "web-01234567", "web.front", "Web-0123456789abcdef"] {
        assert_eq!(addresses(ask(&api, name, TYPE_A)), [2], "{name}");
    }
    assert_eq!(addresses(ask(&api, "www", TYPE_A)), [2, 3]);
    assert_eq!(addresses(ask(&api, "web", TYPE_AAAA)), [0; 0], "nobody else is asked");
    for name in ["db", "sql", "web.back", "example.com", "w", ""] {
        assert_eq!(ask(&api, name, TYPE_A), Known::Nothing, "{name}");
    }
    let web = Names::of(&all[0].endpoints, &all);
    assert_eq!(addresses(ask(&web, "sql", TYPE_A)), [4]);
    assert_eq!(addresses(ask(&web, "host.docker.internal", TYPE_A)), [1]);
    let db = Names::of(&all[2].endpoints, &all);
    let machine = ask(&db, "host.containers.internal", TYPE_A);
    assert_eq!(machine, Known::Nothing, "an internal network does not reach the machine");
}

#[test]
fn addresses_have_names() {
    let all = [reservation("web", vec![endpoint("front", 2, &[])])];
    let names = Names::of(&all[0].endpoints, &all);
    let web = ask(&names, "2.0.89.10.in-addr.arpa", TYPE_PTR);
    assert_eq!(web, Known::Records(vec![Record::Name("web".to_owned())]));
    let machine = ask(&names, "1.0.89.10.in-addr.arpa", TYPE_PTR);
    assert_eq!(machine, Known::Records(vec![Record::Name("host.containers.internal".to_owned())]));
    assert_eq!(ask(&names, "9.0.89.10.in-addr.arpa", TYPE_PTR), Known::NoName);
    assert_eq!(ask(&names, "9.9.9.9.in-addr.arpa", TYPE_PTR), Known::Nothing);
    assert_eq!(ask(&names, "x.0.89.10.in-addr.arpa", TYPE_PTR), Known::Nothing);
}

#[test]
fn several_addresses_take_turns() {
    let all = [
        reservation("a", vec![endpoint("front", 2, &["www"])]),
        reservation("b", vec![endpoint("front", 3, &["www"])]),
    ];
    let names = Names::of(&all[0].endpoints, &all);
    let query = {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(b"\x03www\0\0\x01\0\x01");
        Query::read(&bytes).unwrap()
    };
    assert_eq!(addresses(names.look_up(&query, 1)), [3, 2]);
    assert_eq!(addresses(names.look_up(&query, 2)), [2, 3]);
}

#[test]
fn a_network_without_names_shows_none() {
    let mut plain = endpoint("front", 2, &[]);
    plain.dns = false;
    let all = [reservation("a", vec![plain.clone()])];
    assert_eq!(ask(&Names::of(&[plain], &all), "a", TYPE_A), Known::Nothing);
}
