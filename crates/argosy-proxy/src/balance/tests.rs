//! The choice is fair, avoids the ill and the busy, and never gives up while there is one.

use proptest::prelude::*;

use super::*;

const WELL: Candidate = Candidate { outstanding: 0, available: true, tried: false, silent: false };

#[test]
fn no_endpoint_no_choice() {
    assert_eq!(pick(0, 7, |_| WELL), None);
}

#[test]
fn of_two_the_less_busy() {
    let mut chance = Chance::new(1);
    for _ in 0..100 {
        let busy = |position| Candidate { outstanding: [3, 2][position], ..WELL };
        assert_eq!(pick(2, chance.draw(), busy), Some(1));
    }
}

#[test]
fn equally_busy_ones_share_evenly() {
    let mut chance = Chance::new(2);
    let mut counts = [0_u32; 7];
    for _ in 0..70_000 {
        counts[pick(7, chance.draw(), |_| WELL).unwrap()] += 1;
    }
    for count in counts {
        assert!((9_500..10_500).contains(&count), "{counts:?}");
    }
}

#[test]
fn the_busiest_stays_near_the_average() {
    let mut chance = Chance::new(3);
    let mut load = [0_u64; 50];
    for _ in 0..5_000 {
        let chosen =
            pick(50, chance.draw(), |position| Candidate { outstanding: load[position], ..WELL });
        load[chosen.unwrap()] += 1;
    }
    assert!(load.iter().all(|&one| (94..=104).contains(&one)), "{load:?}");
}

#[test]
fn the_share_of_an_ill_one_is_spread() {
    let mut chance = Chance::new(4);
    let mut counts = [0_u32; 5];
    for _ in 0..50_000 {
        let ill = |position| Candidate { available: position != 2, ..WELL };
        counts[pick(5, chance.draw(), ill).unwrap()] += 1;
    }
    assert_eq!(counts[2], 0);
    assert!(counts.iter().enumerate().all(|(at, &n)| at == 2 || (12_000..13_000).contains(&n)));
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one =
        (0_u64..4, any::<[bool; 3]>()).prop_map(|(outstanding, [available, tried, silent])| {
            Candidate { outstanding, available, tried, silent }
        });
    prop::collection::vec(one, 1..9)
}

proptest! {
    #[test]
    fn the_best_kind_there_is(all in candidates(), random in any::<u64>()) {
        let chosen = all[pick(all.len(), random, |position| all[position]).unwrap()];
        prop_assert_eq!(rank(chosen), all.iter().map(|one| rank(*one)).min().unwrap());
    }
}

#[test]
fn a_silent_host_comes_after_ill_endpoints_elsewhere_and_before_what_was_tried() {
    let ill = Candidate { available: false, ..WELL };
    let silent = Candidate { silent: true, ..WELL };
    let tried = Candidate { tried: true, silent: true, ..WELL };
    let mut chance = Chance::new(6);
    for _ in 0..100 {
        let all = [tried, silent, ill];
        assert_eq!(pick(3, chance.draw(), |position| all[position]), Some(2));
        assert_eq!(pick(2, chance.draw(), |position| all[position]), Some(1));
    }
}
