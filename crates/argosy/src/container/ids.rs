//! Ids of containers: random, and with the process in them that makes the container.

use argosy_container::{ContainerId, ProcessName};

use super::random_hex;
use crate::failure::{Exit, Failure};

/// Digits of an id, as docker has them.
const DIGITS: usize = 64;
/// Digits that people see and type: nothing but chance, so that few of them name one container.
const SHOWN: usize = 12;
/// Digits of a number in the id: 32 bits.
const NUMBER: usize = 8;

/// The process that makes a container, as far as its id tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Maker {
    pid: u32,
    /// The lower half of when it started, by the kernel's clock.
    start_ticks: u32,
}

impl Maker {
    fn of(id: &ContainerId) -> Option<Maker> {
        is_ours(id).then_some(())?;
        let (pid, start_ticks) = (number(id, SHOWN)?, number(id, SHOWN + NUMBER)?);
        Some(Maker { pid, start_ticks })
    }

    fn runs(self) -> bool {
        let found = i32::try_from(self.pid).ok().and_then(ProcessName::of);
        found.is_some_and(|it| it.is_alive() && low(it.start_ticks) == self.start_ticks)
    }
}

/// Returns the lower half of a number.
fn low(number: u64) -> u32 {
    (number & u64::from(u32::MAX)) as u32
}

fn number(id: &ContainerId, begin: usize) -> Option<u32> {
    u32::from_str_radix(id.as_str().get(begin..begin + NUMBER)?, 16).ok()
}

/// Tells whether an id is one that this program has made.
pub(super) fn is_ours(id: &ContainerId) -> bool {
    let id = id.as_str();
    id.len() == DIGITS && id.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Tells whether the process that makes a container runs; in the foreground it is also the one that
/// runs it.
pub(super) fn is_being_made(id: &ContainerId) -> bool {
    Maker::of(id).is_some_and(Maker::runs)
}

/// Makes an id.
pub(super) fn new_id() -> Result<ContainerId, Failure> {
    let own = argosy_container::own_number().and_then(ProcessName::of);
    let own =
        own.ok_or_else(|| Failure::new(Exit::BadInput, "/proc does not tell of this process"))?;
    let (shown, rest) = (random_hex::<{ SHOWN / 2 }>()?, random_hex::<18>()?);
    let text = format!("{shown}{:08x}{:08x}{rest}", own.pid, low(own.start_ticks));
    ContainerId::new(text).map_err(|error| Failure::from_error(Exit::BadInput, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_see_of_an_id_is_random_and_its_maker_is_known_all_the_same() {
        let ids = [(); 200].map(|()| new_id().unwrap());
        let begins: std::collections::BTreeSet<_> =
            ids.iter().map(|id| id.as_str()[..6].to_owned()).collect();
        assert!(begins.len() > 190, "{}", begins.len());
        for id in &ids {
            assert!(is_ours(id) && is_being_made(id));
            assert_eq!(Maker::of(id).unwrap().pid, std::process::id());
        }
        // Another process that has the number today is not the maker.
        let text = ids[0].as_str();
        let later = format!("{}00000001{}", &text[..20], &text[28..]);
        assert!(!is_being_made(&ContainerId::new(later).unwrap()));
        assert!(!is_being_made(&ContainerId::new("web").unwrap()));
    }

    #[test]
    fn ids_in_which_the_maker_came_first_are_of_nobody_at_work() {
        let pid = std::process::id();
        let id = ContainerId::new(format!("{pid:08x}{}", "f".repeat(56))).unwrap();
        assert!(is_ours(&id) && !is_being_made(&id));
    }
}
