//! Tests of the choice of subnets and addresses.

use proptest::prelude::*;

use super::*;

fn birth() -> Birth {
    Birth { id: "f".repeat(64), created_s: 7 }
}

fn spec(name: &str) -> NetworkSpec {
    NetworkSpec { name: name.to_owned(), dns: true, ..NetworkSpec::default() }
}

fn with_subnet(net: &str, gateway: Option<&str>, range: Option<&str>) -> NetworkSpec {
    let subnet = Subnet {
        net: net.parse().unwrap(),
        gateway: gateway.map(|it| it.parse().unwrap()),
        range: range.map(|it| it.parse().unwrap()),
    };
    NetworkSpec { subnets: vec![subnet], ..spec("n") }
}

fn make(spec: &NetworkSpec, others: &[Network], routes: &[&str]) -> Result<Network, NetworkError> {
    let routes = routes.iter().map(|it| it.parse().unwrap()).collect();
    let machine = Machine { routes, interfaces: BTreeSet::from(["argosy2".to_owned()]) };
    network(spec, others, &machine, birth())
}

#[test]
fn networks_get_what_is_free() {
    let first = make(&spec("a"), &[], &[]).unwrap();
    assert_eq!(
        (first.net.to_string().as_str(), first.interface.as_str()),
        ("10.89.0.0/24", "argosy1")
    );
    assert_eq!(first.gateway, Ipv4Addr::new(10, 89, 0, 1));
    let second =
        make(&spec("b"), std::slice::from_ref(&first), &["10.89.1.128/25", "fd00::/8"]).unwrap();
    assert_eq!(second.net.to_string(), "10.89.2.0/24", "one is another's, one has a route");
    assert_eq!(second.interface, "argosy3", "an interface of the machine has the name before");
    let default = make(&spec("bridge"), std::slice::from_ref(&first), &[]).unwrap();
    assert_eq!(
        (default.net.to_string().as_str(), default.interface.as_str()),
        ("10.88.0.0/16", "argosy0")
    );
    let beside_podman = make(&spec("bridge"), &[], &["10.88.0.0/16"]).unwrap();
    assert_eq!(beside_podman.net.to_string(), "10.87.0.0/16");
    assert!(matches!(make(&spec("c"), &[], &["10.0.0.0/8"]), Err(NetworkError::NoSubnet)));
}

#[test]
fn a_given_subnet_is_checked() {
    let made = make(
        &with_subnet("192.168.7.9/24", Some("192.168.7.254"), Some("192.168.7.64/26")),
        &[],
        &[],
    );
    let made = made.unwrap();
    assert_eq!(made.net.to_string(), "192.168.7.0/24");
    assert_eq!(next_address(&made, &BTreeMap::new(), None), Some(Ipv4Addr::new(192, 168, 7, 64)));
    let refused = |net, gateway, range, routes: &[&str]| {
        make(&with_subnet(net, gateway, range), std::slice::from_ref(&made), routes)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("10.0.0.0/31", None, None, &[]),
        "the subnet 10.0.0.0/31 has no room for containers: at most /30"
    );
    assert_eq!(
        refused("192.168.0.0/16", None, None, &[]),
        "the subnet 192.168.0.0/16 overlaps with 192.168.7.0/24 of the network n"
    );
    assert_eq!(
        refused("10.1.2.0/24", None, None, &["10.1.0.0/16"]),
        "the subnet 10.1.2.0/24 overlaps with the route to 10.1.0.0/16 of this machine"
    );
    assert_eq!(
        refused("10.1.2.0/24", Some("10.1.2.255"), None, &[]),
        "the gateway 10.1.2.255 is no address for a machine in 10.1.2.0/24"
    );
    assert_eq!(
        refused("10.1.2.0/24", None, Some("10.1.3.0/25"), &[]),
        "the range 10.1.3.0/25 is not within 10.1.2.0/24"
    );
    assert_eq!(refused("fd00::/64", None, None, &[]), "networks have IPv4 addresses only so far");
}

#[test]
fn addresses_go_round() {
    let small = make(&with_subnet("10.1.2.0/29", None, None), &[], &[]).unwrap();
    let mut taken = BTreeMap::new();
    let mut last = None;
    let mut given = Vec::new();
    while let Some(address) = next_address(&small, &taken, last) {
        given.push(address.octets()[3]);
        taken.insert(address, String::new());
        last = Some(address);
    }
    assert_eq!(given, [2, 3, 4, 5, 6]);
    taken.remove(&Ipv4Addr::new(10, 1, 2, 3));
    taken.remove(&Ipv4Addr::new(10, 1, 2, 6));
    let next = next_address(&small, &taken, Some(Ipv4Addr::new(10, 1, 2, 3)));
    assert_eq!(next, Some(Ipv4Addr::new(10, 1, 2, 6)), "not the one that was just given back");
}

proptest! {
    #[test]
    fn an_address_is_free_and_in_range(
        start: u32, prefix in 20_u8..=30, range in 0_u8..4, last: Option<u32>,
        taken in proptest::collection::vec(0_u32..5000, 0..200),
    ) {
        let net = Ipv4Net::new_assert(Ipv4Addr::from(start), prefix).trunc();
        let range_prefix = (prefix + range).min(32);
        let range = Ipv4Net::new_assert(net.network(), range_prefix);
        let subnet = Subnet { net: net.into(), gateway: None, range: Some(range.into()) };
        let spec = NetworkSpec { subnets: vec![subnet], ..spec("n") };
        let made = network(&spec, &[], &Machine::default(), birth()).unwrap();
        let base = u32::from(net.network());
        let taken: BTreeMap<Ipv4Addr, String> = taken
            .into_iter()
            .map(|it| (Ipv4Addr::from(base.saturating_add(it)), String::new()))
            .collect();
        match next_address(&made, &taken, last.map(Ipv4Addr::from)) {
            Some(address) => {
                prop_assert!(range.contains(&address) && !taken.contains_key(&address));
                prop_assert!(address != net.network() && address != net.broadcast());
                prop_assert!(address != made.gateway);
            }
            None => prop_assert!(range.hosts().chain([range.network(), range.broadcast()]).all(
                |it| taken.contains_key(&it) || !is_for_containers(&made, it)
            )),
        }
    }

    #[test]
    fn a_free_subnet_overlaps_with_nothing(routes in proptest::collection::vec((any::<u32>(), 9_u8..=32), 0..60)) {
        let routes: Vec<IpNet> = routes
            .into_iter()
            .map(|(start, prefix)| {
                // Within 10.64.0.0/10, where networks are looked for.
                let start = Ipv4Addr::from(0x0a40_0000 | start & 0x003f_ffff);
                IpNet::from(Ipv4Net::new_assert(start, prefix).trunc())
            })
            .collect();
        let machine = Machine { routes, ..Machine::default() };
        for name in ["bridge", "other"] {
            if let Ok(made) = network(&spec(name), &[], &machine, birth()) {
                prop_assert!(machine.routes.iter().all(|route| !overlap(made.net, *route)));
            }
        }
    }
}
