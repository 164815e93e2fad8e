//! Where each record lies in the registry space.

use argosy_model::{MachineId, UnitName, UnitRevision};

/// Prefix of unit records, `units/NAME`.
const UNITS: &str = "units/";
/// Prefix of stored texts, `revisions/NAME/N`.
const REVISIONS: &str = "revisions/";
/// Prefix of machine records, `machines/ID`.
const MACHINES: &str = "machines/";
/// Prefix of assignments, `assignments/MACHINE`.
const ASSIGNMENTS: &str = "assignments/";
/// Prefix of stored reasons, `reasons/UNIT`.
const REASONS: &str = "reasons/";
/// Prefix of announced endpoints, `endpoints/SERVICE/INSTANCE`.
const ENDPOINTS: &str = "endpoints/";
/// The leader's mark: its term and member.
const LEADER: &str = "leader";

/// A registry key, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `units/NAME`
    Unit(UnitName),
    /// `revisions/NAME/N`
    Revision(UnitName, UnitRevision),
    /// `machines/ID`
    Machine(MachineId),
    /// `assignments/MACHINE`
    Assignment(MachineId),
    /// `reasons/UNIT`
    Reason(UnitName),
    /// `endpoints/SERVICE/INSTANCE`: the unit, and the machine for a global unit.
    Endpoint(UnitName, Option<MachineId>),
    /// `leader`
    Leader,
}

impl Key {
    /// Takes a key apart; `None` for keys of other subsystems and of later versions.
    pub fn parse(key: &[u8]) -> Option<Key> {
        let text = std::str::from_utf8(key).ok()?;
        if text == LEADER {
            return Some(Key::Leader);
        }
        let (head, rest) = text.split_once('/')?;
        match head {
            "units" => Some(Key::Unit(UnitName::new(rest).ok()?)),
            "revisions" => {
                let (name, number) = rest.rsplit_once('/')?;
                let number = number.parse().ok()?;
                Some(Key::Revision(UnitName::new(name).ok()?, UnitRevision(number)))
            }
            "machines" => Some(Key::Machine(rest.parse().ok()?)),
            "assignments" => Some(Key::Assignment(rest.parse().ok()?)),
            "reasons" => Some(Key::Reason(UnitName::new(rest).ok()?)),
            "endpoints" => {
                let (service, instance) = rest.split_once('/')?;
                let (unit, machine) = match instance.split_once("/") {
                    Some((unit, machine)) => (unit, Some(machine.parse().ok()?)),
                    None => (instance, None),
                };
                let unit = UnitName::new(unit).ok()?;
                (unit.prefix() == service).then_some(Key::Endpoint(unit, machine))
            }
            _ => None,
        }
    }

    /// Writes the key.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Key::Unit(name) => [UNITS, name.as_str()].concat(),
            // Twenty digits: the revisions of a unit list in order.
            Key::Revision(name, number) => format!("{REVISIONS}{name}/{:020}", number.0),
            Key::Machine(id) => format!("{MACHINES}{id}"),
            Key::Assignment(id) => format!("{ASSIGNMENTS}{id}"),
            Key::Reason(name) => [REASONS, name.as_str()].concat(),
            Key::Endpoint(unit, None) => [ENDPOINTS, unit.prefix(), "/", unit.as_str()].concat(),
            Key::Endpoint(unit, Some(machine)) => {
                format!("{ENDPOINTS}{}/{unit}/{machine}", unit.prefix())
            }
            Key::Leader => LEADER.to_owned(),
        }
        .into_bytes()
    }
}

#[cfg(test)]
mod tests;
