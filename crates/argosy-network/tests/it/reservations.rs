//! Definitions and reservations, and what a crash leaves of them.

use std::fs;

use argosy_network::{Attach, NetworkError, NetworkSpec, ReserveRequest, Subnet};

use crate::machine::{Machine, Wanted, interfaces, until};

fn request(name: &str, attach: Attach) -> ReserveRequest {
    let networks = vec![attach];
    ReserveRequest {
        id: format!("id-{name}"),
        name: name.to_owned(),
        networks,
        ..ReserveRequest::default()
    }
}

fn on(network: &str) -> Attach {
    Attach { network: network.to_owned(), ..Attach::default() }
}

#[test]
fn networks_are_made_found_and_removed() {
    let machine = Machine::new();
    let _neighbour = machine.neighbour();
    let networks = &machine.networks;
    let spec = |name: &str, net: Option<&str>| NetworkSpec {
        name: name.to_owned(),
        subnets: net
            .map(|net| Subnet { net: net.parse().unwrap(), gateway: None, range: None })
            .into_iter()
            .collect(),
        ..NetworkSpec::default()
    };
    let front = networks.create(&spec("front", None), false).unwrap();
    assert!(matches!(
        networks.create(&spec("front", None), false),
        Err(NetworkError::Exists { .. })
    ));
    assert_eq!(networks.create(&spec("front", None), true).unwrap(), front);
    assert_eq!(networks.find(&front.id[..12]).unwrap(), front);
    assert_eq!(networks.find("back").unwrap_err().to_string(), "there is no network back");
    let overlap = networks.create(&spec("up", Some("192.0.2.0/25")), false).unwrap_err();
    assert_eq!(
        overlap.to_string(),
        "the subnet 192.0.2.0/25 overlaps with the route to 192.0.2.0/24 of this machine"
    );
    let overlap = networks.create(&spec("in", Some("10.89.0.0/16")), false).unwrap_err();
    assert_eq!(
        overlap.to_string(),
        "the subnet 10.89.0.0/16 overlaps with 10.89.0.0/24 of the network front"
    );

    let web =
        machine.start(Wanted { name: "web", networks: &["front"], ..Wanted::default() }).unwrap();
    assert_eq!(
        networks.remove("front").unwrap_err().to_string(),
        "the network front is used by web"
    );
    // The route of its own bridge is no reason to refuse anything.
    networks.create(&spec("second", None), false).unwrap();
    let id = web.id.clone();
    drop(web);
    networks.release(&id).unwrap();
    networks.reserve(&request("x", on("bridge"))).unwrap();
    assert_eq!(
        networks.remove("bridge").unwrap_err().to_string(),
        "the network bridge is made by itself and cannot be removed"
    );
    networks.remove("second").unwrap();
    assert_eq!(networks.prune().unwrap(), ["front"]);
    assert_eq!(networks.list().unwrap().len(), 1);
    until("the cable is gone", || interfaces() == ["lo", "up0"]);
}

#[test]
fn addresses_are_kept_given_back_and_never_given_twice() {
    let machine = Machine::new();
    let networks = &machine.networks;
    let reserve = |name: &str, attach| {
        networks.reserve(&request(name, attach)).map(|it| it[0].address.octets()[3])
    };
    assert_eq!(reserve("a", on("bridge")).unwrap(), 2);
    assert_eq!(reserve("b", on("bridge")).unwrap(), 3);
    assert_eq!(reserve("a", on("default")).unwrap(), 2, "the same as before");
    let with = |ip: [u8; 4]| Attach { ip: Some(ip.into()), ..on("bridge") };
    let taken = reserve("c", with([10, 88, 0, 3])).unwrap_err();
    assert_eq!(taken.to_string(), "10.88.0.3 of the network bridge is given to container b");
    for wrong in [[10, 88, 0, 0], [10, 88, 0, 1], [10, 88, 255, 255], [10, 89, 0, 2]] {
        assert!(matches!(reserve("c", with(wrong)), Err(NetworkError::BadAddress { .. })));
    }
    assert_eq!(reserve("c", with([10, 88, 0, 9])).unwrap(), 9);
    networks.release("id-a").unwrap();
    networks.release("id-a").unwrap();
    assert_eq!(reserve("d", on("bridge")).unwrap(), 4, "not one that was just given back");
    assert!(matches!(reserve("../x", on("bridge")), Err(NetworkError::BadId { .. })));
    let twice = ReserveRequest {
        networks: vec![on("bridge"), on("default")],
        ..request("e", on("bridge"))
    };
    assert!(matches!(networks.reserve(&twice), Err(NetworkError::AttachedTwice { .. })));
    let on = networks.containers("bridge").unwrap();
    let on: Vec<_> =
        on.iter().map(|it| (it.name.as_str(), it.endpoint.address.octets()[3])).collect();
    assert_eq!(on, [("b", 3), ("c", 9), ("d", 4)]);
    assert_eq!(networks.endpoints("id-d").unwrap()[0].mac.to_string(), "02:61:0a:58:00:04");
}

#[test]
fn whoever_is_killed_at_any_moment_leaves_what_is_collected() {
    let machine = Machine::new();
    let networks = &machine.networks;
    networks.reserve(&request("alive", on("bridge"))).unwrap();
    networks.reserve(&request("dead", on("bridge"))).unwrap();
    let directory = networks.run_dir.join("reservations");
    // Killed while a record was written: it counts for nothing.
    fs::write(directory.join(".new-7-id-half.json"), "{\"id\":\"ha").unwrap();
    assert_eq!(networks.reserve(&request("next", on("bridge"))).unwrap()[0].address.octets()[3], 4);
    let collected = networks.collect(|id| id != "id-dead").unwrap();
    assert_eq!(collected, ["id-dead"]);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2, "the half one is gone");
    // A lost record of what was given last costs nothing but the order.
    fs::write(networks.run_dir.join("last/bridge.json"), "").unwrap();
    assert_eq!(networks.reserve(&request("more", on("bridge"))).unwrap()[0].address.octets()[3], 3);
}

#[test]
fn a_process_that_was_stopped_with_the_lock_does_not_stop_others_for_ever() {
    let machine = Machine::new();
    machine.networks.reserve(&request("a", on("bridge"))).unwrap();
    let lock = fs::File::open(machine.networks.run_dir.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = machine.networks.reserve(&request("b", on("bridge"))).unwrap_err();
    assert!(matches!(refused, NetworkError::Locked { .. }), "{refused}");
    drop(lock);
    machine.networks.reserve(&request("b", on("bridge"))).unwrap();
}

#[test]
fn a_bridge_without_containers_is_collected() {
    let machine = Machine::new();
    let web = machine.start(Wanted { name: "web", networks: &["bridge"], ..Wanted::default() });
    drop(web.unwrap());
    assert!(interfaces().contains(&"argosy0".to_owned()));
    machine.networks.collect(|_| true).unwrap();
    assert!(interfaces().contains(&"argosy0".to_owned()), "the container may start again");
    machine.networks.collect(|_| false).unwrap();
    assert!(!interfaces().contains(&"argosy0".to_owned()));
}
