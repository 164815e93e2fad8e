//! Which ports the endpoints with `auto` get.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use argosy_model::{Epoch, MachineId, UnitName};

use super::PlanCommit;

/// The ports that are given to endpoints with `auto`: below the range from which Linux takes the
/// ports of outgoing connections (32768 and up, ip(7)), and five for each of the most units that
/// a machine may have.
pub const PORTS: RangeInclusive<u16> = 20_000..=29_999;

impl PlanCommit<'_> {
    /// Chooses the ports of a unit's endpoints on a machine. A run that goes on keeps those of
    /// `kept`. A new one gets others than the run before it where that is possible, so that what
    /// was meant for the old run does not reach another unit. Of a text that cannot be read
    /// nothing is known; then `kept` stays.
    pub(super) fn ports(
        &self,
        unit: &UnitName,
        machine: MachineId,
        epoch: Epoch,
        kept: BTreeMap<String, u16>,
    ) -> BTreeMap<String, u16> {
        let Some(Ok(spec)) = self.view.spec(unit) else {
            return kept;
        };
        let entries =
            self.assignment(machine).into_iter().flat_map(|assignment| &assignment.entries);
        let mut taken: BTreeSet<u16> =
            entries.flat_map(|entry| entry.ports.values().copied()).collect();
        taken.extend(self.listening.get(&machine).into_iter().flatten());
        let mut chosen = BTreeMap::new();
        for endpoint in spec.traffic.endpoints.iter().filter(|endpoint| endpoint.port.is_none()) {
            let before = kept.get(&endpoint.service).copied();
            let port = before.or_else(|| {
                let first = start(unit, epoch, &endpoint.service);
                (first..=*PORTS.end()).chain(PORTS).find(|port| !taken.contains(port))
            });
            if let Some(port) = port {
                taken.insert(port);
                chosen.insert(endpoint.service.clone(), port);
            }
        }
        chosen
    }
}

/// Returns where the search begins: spread over the range by what the port is for (FNV-1a).
fn start(unit: &UnitName, epoch: Epoch, service: &str) -> u16 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let counter = epoch.counter.to_be_bytes();
    let bytes = unit.as_str().bytes().chain(service.bytes()).chain(counter);
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let count = u64::from(PORTS.end() - PORTS.start()) + 1;
    // Less than the range is long, which fits.
    PORTS.start() + u16::try_from(hash % count).unwrap_or_default()
}
