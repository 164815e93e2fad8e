//! What changes between two sets of endpoints of one service.

use crate::Endpoint;

/// The change from an older set to a newer one, by position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// In both: (position in the older, position in the newer).
    pub kept: Vec<(usize, usize)>,
    /// Only in the newer.
    pub added: Vec<usize>,
    /// Only in the older: no new request may go there.
    pub withdrawn: Vec<usize>,
}

/// Returns whether both are one endpoint, whose counters and health go on. Another epoch or
/// address is another process, which has failed nobody yet; by another check it is judged anew.
pub fn same(a: &Endpoint, b: &Endpoint) -> bool {
    a.instance == b.instance
        && a.machine == b.machine
        && a.epoch == b.epoch
        && a.address == b.address
        && a.check == b.check
}

/// Compares two sets of endpoints. Of endpoints that are the same in `new`, the first counts.
pub fn between(old: &[Endpoint], new: &[&Endpoint]) -> Difference {
    let mut difference = Difference::default();
    let mut kept = vec![false; old.len()];
    for (position, endpoint) in new.iter().enumerate() {
        if new[..position].iter().any(|earlier| same(earlier, endpoint)) {
            continue;
        }
        match old.iter().position(|older| same(older, endpoint)) {
            Some(older) => {
                kept[older] = true;
                difference.kept.push((older, position));
            }
            None => difference.added.push(position),
        }
    }
    difference.withdrawn = (0..old.len()).filter(|&older| !kept[older]).collect();
    difference
}

#[cfg(test)]
pub(crate) mod tests;
