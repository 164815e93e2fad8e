//! Tests of the switch's decisions.

use super::delay_line::{QUEUED_BYTES_MAX, QUEUED_FRAMES_MAX};
use super::*;

const NOBODY: [Port; 0] = [];
const MS: Duration = Duration::from_millis(1);

fn network() -> Network {
    let mut network = Network::new(7);
    (1..=3).for_each(|port| network.add(port));
    network
}

fn unicast(from: Port, to: Port) -> Vec<u8> {
    let mut frame = [mac(to), mac(from)].concat();
    frame.extend([0x08, 0x00]);
    frame.resize(60, 0);
    frame
}

fn arp_request(from: Port, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = [[0xff; 6], mac(from)].concat();
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac(from));
    frame.extend(sender);
    frame.extend([0; 6]);
    frame.extend(target);
    frame
}

/// The ports that a frame from one port to another reaches.
fn reached(network: &mut Network, from: Port, to: Port) -> Vec<Port> {
    match network.route(from, &unicast(from, to)) {
        Route::Carry(to) => to.into_iter().map(|(port, _)| port).collect(),
        Route::Answer(_) => panic!("an answer to a plain frame"),
    }
}

#[test]
fn frames_go_to_the_port_of_their_address() {
    let mut network = network();
    assert_eq!(reached(&mut network, 1, 2), [2]);
    assert_eq!(reached(&mut network, 1, HOST_PORT), [HOST_PORT]);
    assert_eq!(reached(&mut network, 1, 9), NOBODY, "a port that is not there");
    assert_eq!(reached(&mut network, 1, 1), NOBODY, "not back to its sender");
    assert_eq!(network.route(1, &[0; 13]), Route::Carry(Vec::new()), "no whole header");
    let mut broadcast = unicast(2, 1);
    broadcast[..6].fill(0xff);
    let all = [1, 3, HOST_PORT].map(|port| (port, Duration::ZERO)).to_vec();
    assert_eq!(network.route(2, &broadcast), Route::Carry(all));
}

#[test]
fn the_switch_answers_for_every_port_even_when_cut() {
    let mut network = network();
    network.cut(1, 2);
    let Route::Answer(reply) = network.route(1, &arp_request(1, [10, 77, 0, 1], [10, 77, 0, 2]))
    else {
        panic!("no answer");
    };
    assert_eq!(reply[..12], [mac(1), mac(2)].concat());
    assert_eq!(reply[12..22], [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2]);
    assert_eq!(reply[22..28], mac(2));
    assert_eq!(reply[28..32], [10, 77, 0, 2]);
    assert_eq!(reply[32..38], mac(1));
    assert_eq!(reply[38..42], [10, 77, 0, 1]);
    for (sender, target) in [
        ([10, 77, 0, 1], [10, 77, 0, 1]),
        ([0, 0, 0, 0], [10, 77, 0, 2]),
        ([10, 77, 0, 1], [10, 77, 0, 9]),
        ([10, 77, 0, 1], [192, 168, 0, 2]),
    ] {
        let route = network.route(1, &arp_request(1, sender, target));
        assert!(matches!(route, Route::Carry(_)), "{sender:?} asks for {target:?}");
    }
}

#[test]
fn a_cut_is_one_way_and_a_partition_is_by_groups() {
    let mut network = network();
    network.cut(1, 2);
    assert_eq!(reached(&mut network, 1, 2), NOBODY);
    assert_eq!(reached(&mut network, 2, 1), [1]);
    assert_eq!(network.counters(1).cut, 1);

    network.partition(&[BTreeSet::from([1, 2]), BTreeSet::from([2, 3])]);
    assert_eq!(reached(&mut network, 1, 2), [2], "the cut before is replaced");
    assert_eq!(reached(&mut network, 2, 3), [3], "a bridge");
    assert_eq!(reached(&mut network, 1, 3), NOBODY);
    assert_eq!(reached(&mut network, 3, 1), NOBODY);
    assert_eq!(reached(&mut network, 1, HOST_PORT), [HOST_PORT]);

    network.partition(&[BTreeSet::from([1, 2])]);
    assert_eq!(reached(&mut network, 3, 2), NOBODY, "alone without a group");
    network.heal();
    assert_eq!(reached(&mut network, 3, 2), [2]);
}

#[test]
fn an_unplugged_port_neither_sends_nor_receives() {
    let mut network = network();
    network.plug(2, false);
    assert_eq!(reached(&mut network, 1, 2), NOBODY);
    assert_eq!(reached(&mut network, 2, 1), NOBODY);
    let ask = arp_request(2, [10, 77, 0, 2], [10, 77, 0, 1]);
    assert_eq!(network.route(2, &ask), Route::Carry(Vec::new()));
    network.plug(2, true);
    assert_eq!(reached(&mut network, 1, 2), [2]);
}

#[test]
fn delays_add_up_and_jitter_stays_in_its_bounds() {
    let mut network = network();
    network.set_port_delay(1, Delay { base: 5 * MS, jitter: Duration::ZERO });
    network.set_port_delay(2, Delay { base: 7 * MS, jitter: Duration::ZERO });
    network.set_pair_delay(2, 1, Delay { base: 10 * MS, jitter: 4 * MS });
    let delays: Vec<Duration> = (0..1000)
        .map(|_| match network.route(1, &unicast(1, 2)) {
            Route::Carry(to) => to[0].1,
            Route::Answer(_) => panic!("an answer to a plain frame"),
        })
        .collect();
    let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!((22 * MS..23 * MS).contains(least), "{least:?}");
    assert!((25 * MS..26 * MS).contains(most), "{most:?}");
}

#[test]
fn a_share_of_frames_is_lost_and_counted() {
    let mut network = network();
    network.set_loss(1, 2, 30.0);
    let arrived = (0..10_000).filter(|_| reached(&mut network, 2, 1) == [1]).count();
    assert!((6_700..7_300).contains(&arrived), "{arrived}");
    assert_eq!(network.counters(2).lost, 10_000 - arrived as u64);
    network.set_loss(1, 2, 100.0);
    assert!((0..1000).all(|_| reached(&mut network, 2, 1).is_empty()));
    network.set_loss(1, 2, 0.0);
    assert!((0..1000).all(|_| reached(&mut network, 2, 1) == [1]));
}

#[test]
fn frames_of_a_pair_keep_their_order_when_a_delay_shrinks() {
    let mut line = DelayLine::default();
    let now = 100 * MS;
    assert_eq!(line.offer((1, 2), now, Duration::ZERO, b"now"), Offer::SendNow);
    assert_eq!(line.offer((1, 2), now, 50 * MS, b"first"), Offer::Kept);
    assert_eq!(line.offer((1, 2), now + MS, Duration::ZERO, b"second"), Offer::Kept);
    assert_eq!(line.offer((3, 2), now + MS, Duration::ZERO, b"another pair"), Offer::SendNow);
    assert_eq!(line.next_due(), Some(now + 50 * MS));
    assert_eq!(line.pop(now + 49 * MS), None);
    let later = now + 50 * MS;
    assert_eq!(line.pop(later), Some((1, 2, b"first".to_vec())));
    assert_eq!(line.pop(later), Some((1, 2, b"second".to_vec())));
    assert_eq!(line.pop(later), None);
    assert_eq!(line.offer((1, 2), later, Duration::ZERO, b"free again"), Offer::SendNow);
}

#[test]
fn a_queue_is_bounded_for_each_port_and_empties() {
    let mut line = DelayLine::default();
    let kept = (0..).take_while(|_| line.offer((1, 2), MS, MS, b"x") == Offer::Kept).count();
    assert_eq!(kept, QUEUED_FRAMES_MAX);
    assert_eq!(line.offer((1, 3), MS, MS, b"x"), Offer::Kept, "another port has its own queue");
    line.forget(2);
    let large = vec![0; 64 * 1024];
    let kept = (0..).take_while(|_| line.offer((1, 2), MS, MS, &large) == Offer::Kept).count();
    assert_eq!(kept, QUEUED_BYTES_MAX / large.len());
    assert!(line.pop(2 * MS).is_some_and(|(_, to, _)| to == 3));
    assert!(line.pop(2 * MS).is_some_and(|(_, to, _)| to == 2));
    assert_eq!(line.offer((1, 2), MS, MS, &large), Offer::Kept, "room again");
}
