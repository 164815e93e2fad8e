//! Every endpoint of both sets is kept, added or withdrawn, and nothing else.

use argosy_model::{Epoch, HealthCheck, MachineId};
use proptest::prelude::*;

use super::*;
use crate::Standing;

/// An endpoint for tests: `web@number` with this epoch.
pub(crate) fn endpoint(number: u8, epoch: u64) -> Endpoint {
    Endpoint {
        instance: format!("web@{number}"),
        machine: MachineId(1),
        epoch: Epoch { incarnation: 1, counter: epoch },
        address: ([127, 0, 0, 1], 8000 + u16::from(number)).into(),
        zone: String::new(),
        check: None,
        standing: Standing::Held,
    }
}

#[test]
fn another_epoch_is_another_endpoint() {
    let (old, new) = (endpoint(1, 1), endpoint(1, 2));
    let difference = between(&[old], &[&new]);
    assert_eq!(difference, Difference { kept: vec![], added: vec![0], withdrawn: vec![0] });
}

#[test]
fn one_that_is_checked_otherwise_is_another_endpoint() {
    let check = Some(HealthCheck::Http("/up".to_owned()));
    let new = Endpoint { check, ..endpoint(1, 1) };
    let difference = between(&[endpoint(1, 1)], &[&new]);
    assert_eq!(difference, Difference { kept: vec![], added: vec![0], withdrawn: vec![0] });
}

#[test]
fn an_expired_registration_is_the_same_endpoint() {
    let new = Endpoint { standing: Standing::Expired, ..endpoint(1, 1) };
    assert_eq!(between(&[endpoint(1, 1)], &[&new]).kept, [(0, 0)]);
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled(
        old in prop::collection::btree_set((0_u8..6, 1_u64..3), 0..8),
        new in prop::collection::vec((0_u8..6, 1_u64..3), 0..8),
    ) {
        let old: Vec<Endpoint> = old.into_iter().map(|(n, e)| endpoint(n, e)).collect();
        let new: Vec<Endpoint> = new.into_iter().map(|(n, e)| endpoint(n, e)).collect();
        let difference = between(&old, &new.iter().collect::<Vec<_>>());
        prop_assert_eq!(difference.kept.len() + difference.withdrawn.len(), old.len());
        let mut result: Vec<&Endpoint> = difference.kept.iter().map(|&(o, _)| &old[o]).collect();
        result.extend(difference.added.iter().map(|&position| &new[position]));
        for endpoint in &new {
            prop_assert_eq!(result.iter().filter(|one| same(one, endpoint)).count(), 1);
        }
        for &position in &difference.withdrawn {
            prop_assert!(!new.iter().any(|one| same(one, &old[position])));
        }
    }
}
