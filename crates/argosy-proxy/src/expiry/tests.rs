//! The half rule, for every table.

use proptest::prelude::*;

use super::*;
use crate::difference::tests::endpoint;

fn table(instances: impl IntoIterator<Item = u8>) -> Table {
    let endpoints = instances.into_iter().map(|number| endpoint(number, 1)).collect();
    Table { generation: 1, services: [("web".to_owned(), endpoints)].into(), ..Table::default() }
}

fn used(table: &Table) -> Vec<String> {
    usable(&table.services["web"]).iter().map(|one| one.instance.clone()).collect()
}

#[test]
fn expiry_one_by_one_stops_at_half() {
    let mut now = table(0..8);
    for left in (0..8).rev() {
        now = after_loss(&now, &table(0..left), Reason::Expired);
        assert_eq!(now.services["web"].len(), 8);
        assert_eq!(used(&now).len(), usize::from(left.max(4)), "with {left} held");
    }
    let now = after_loss(&now, &table(0..8), Reason::Expired);
    assert_eq!(used(&now).len(), 8, "registered again");
}

#[test]
fn what_is_withdrawn_is_gone_to_the_last() {
    let now = after_loss(&table(0..8), &table([]), Reason::Withdrawn);
    assert!(used(&now).is_empty());
}

#[test]
fn a_service_that_vanishes_by_expiry_keeps_half() {
    let now = after_loss(&table(0..5), &Table::default(), Reason::Expired);
    assert_eq!(used(&now), ["web@0", "web@1", "web@2"]);
}

proptest! {
    #[test]
    fn no_sequence_of_expiries_leaves_less_than_half(
        size in 1_u8..12,
        losses in prop::collection::vec(prop::collection::btree_set(0_u8..12, 0..12), 1..6),
    ) {
        let mut now = table(0..size);
        for lost in losses {
            let left = (0..size).filter(|one| !lost.contains(one));
            now = after_loss(&now, &table(left), Reason::Expired);
            prop_assert!(used(&now).len() * 2 >= usize::from(size));
            let held = now.services["web"].iter().filter(|one| one.standing == Standing::Held);
            let used = used(&now);
            for one in held {
                prop_assert!(used.contains(&one.instance));
            }
        }
    }
}
