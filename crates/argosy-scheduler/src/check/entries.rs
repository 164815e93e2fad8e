//! What machines are told while a plan is carried out.

use std::collections::BTreeMap;

use argosy_model::{MachineId, UnitName};

use crate::input::PlacedState;

/// What machines are told, found by machine and by unit.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) by_machine: BTreeMap<MachineId, BTreeMap<UnitName, PlacedState>>,
    by_unit: BTreeMap<UnitName, BTreeMap<MachineId, PlacedState>>,
}

impl Entries {
    pub(super) fn get(&self, machine: MachineId, unit: &UnitName) -> Option<PlacedState> {
        self.by_unit.get(unit)?.get(&machine).copied()
    }

    /// Returns the state before.
    pub(super) fn set(
        &mut self,
        machine: MachineId,
        unit: &UnitName,
        state: PlacedState,
    ) -> Option<PlacedState> {
        self.by_machine.entry(machine).or_default().insert(unit.clone(), state);
        self.by_unit.entry(unit.clone()).or_default().insert(machine, state)
    }

    pub(super) fn remove(&mut self, machine: MachineId, unit: &UnitName) {
        self.by_machine.entry(machine).or_default().remove(unit);
        self.by_unit.entry(unit.clone()).or_default().remove(&machine);
    }

    pub(super) fn of_unit(&self, unit: &UnitName) -> Vec<(MachineId, PlacedState)> {
        let entries = self.by_unit.get(unit).into_iter().flatten();
        entries.map(|(machine, state)| (*machine, *state)).collect()
    }
}
