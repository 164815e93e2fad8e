//! Why a unit has no machine, in one sentence and one line for every machine.

use argosy_model::{MachineState, Reason, ReasonKind, UnitSpec};

use super::fit::{Alternatives, Purpose, Refusal};
use super::work::{UnitIndex, Work};

/// Most candidate lines of one reason: a screen or two; a stored reason stays a few KiB.
pub const CANDIDATES_MAX: usize = 100;

impl<'i> Work<'i> {
    /// Says why no machine can take the unit. Its kind is that of the machine that came
    /// nearest.
    pub(super) fn explain(&self, unit: UnitIndex, spec: &'i UnitSpec) -> Reason {
        let mut candidates = Vec::new();
        let mut nearest: Option<Refusal> = None;
        for (machine, slot) in self.machines.iter().enumerate() {
            let Some(refusal) = self.refusal(unit, spec, machine, Purpose::Come) else {
                continue;
            };
            if candidates.len() < CANDIDATES_MAX {
                candidates.push(format!("{}: {refusal}", slot.facts.machine.name));
            }
            if nearest.as_ref().is_none_or(|nearest| refusal.stage() > nearest.stage()) {
                nearest = Some(refusal);
            }
        }
        if self.machines.len() > CANDIDATES_MAX {
            candidates.push(format!("and {} more", self.machines.len() - CANDIDATES_MAX));
        }
        let (kind, sentence) = match &nearest {
            None => (ReasonKind::NoMachine, "the cluster has no machine".to_owned()),
            Some(nearest) => (nearest.kind(), self.sentence_of(nearest, spec)),
        };
        let has_no_room = matches!(nearest, Some(Refusal::Disk | Refusal::Full));
        // No machine got past its state, yet the unit names one: that is what to say.
        match (&spec.placement.machine_id, kind) {
            (Some(wanted), ReasonKind::NoMachine | ReasonKind::MachineNamed) if !has_no_room => {
                Reason {
                    kind: ReasonKind::MachineNamed,
                    sentence: self.sentence_of_machine_id(wanted, spec),
                    candidates,
                }
            }
            _ => Reason { kind, sentence, candidates },
        }
    }

    fn sentence_of(&self, nearest: &Refusal, spec: &UnitSpec) -> String {
        match nearest {
            Refusal::State(_) => self.sentence_of_states(),
            Refusal::MachineId(wanted) => self.sentence_of_machine_id(wanted, spec),
            Refusal::Data(home) => match self.machine_of.get(home) {
                Some(index) => {
                    let machine = &self.machines[*index].facts.machine;
                    format!("its data is on {}, which is {}", machine.name, machine.state)
                }
                None => format!("its data is on machine {home}, which is not there"),
            },
            Refusal::MachineOf(target) => {
                format!("no machine that takes units runs {target}, which MachineOf= names")
            }
            Refusal::Metadata(..) => {
                let wanted: Vec<String> = spec
                    .placement
                    .metadata
                    .iter()
                    .map(|requirement| Alternatives(requirement).to_string())
                    .collect();
                format!("no machine that takes units has {}", wanted.join(" and "))
            }
            Refusal::Conflict { .. } => {
                "every machine it fits runs something it conflicts with".to_owned()
            }
            Refusal::Disk => "every machine it fits has a full disk".to_owned(),
            Refusal::Full => "every machine it fits is full".to_owned(),
        }
    }

    fn sentence_of_states(&self) -> String {
        let count = |state| self.machines.iter().filter(|m| m.facts.machine.state == state).count();
        let (lost, cordoned) = (count(MachineState::Lost), count(MachineState::Cordoned));
        format!("no machine takes units: {lost} lost, {cordoned} cordoned")
    }

    fn sentence_of_machine_id(&self, wanted: &str, spec: &UnitSpec) -> String {
        let mut machines = self.machines.iter().map(|slot| &slot.facts.machine);
        match machines.find(|machine| spec.placement.accepts_machine_id(machine.id)) {
            Some(machine) => {
                format!("MachineID={wanted} names {}, which is {}", machine.name, machine.state)
            }
            None => format!("MachineID={wanted} names no machine of the cluster"),
        }
    }
}
