//! Why a change that a user asked for is refused before it is proposed.

use argosy_model::{MachineId, UnitName, UnitRevision};

/// Why a change was not even proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The unit has never been submitted.
    #[error("{unit} is not known to the cluster")]
    UnknownUnit {
        /// Its name.
        unit: UnitName,
    },
    /// A template cannot do what was asked.
    #[error("{unit} is a template; {hint}")]
    Template {
        /// Its name.
        unit: UnitName,
        /// What to do instead.
        hint: &'static str,
    },
    /// Only a template has replicas.
    #[error("{unit} is no template, so it cannot be scaled")]
    NotATemplate {
        /// Its name.
        unit: UnitName,
    },
    /// More replicas than [`crate::REPLICAS_MAX`].
    #[error("{wanted} replicas of {unit} are more than the {most} allowed")]
    TooManyReplicas {
        /// The template.
        unit: UnitName,
        /// What was asked for.
        wanted: u32,
        /// The limit.
        most: u32,
    },
    /// Another unit announces the same key: each would overwrite what the other says.
    #[error("{unit} would announce {key}, which {holder} announces already")]
    KeyTaken {
        /// The unit.
        unit: UnitName,
        /// The key.
        key: String,
        /// Who announces it.
        holder: UnitName,
    },
    /// Another unit says something else of a service or of a port.
    #[error("in {unit} {what} {ours}, but in {holder} it {theirs}")]
    Contradicts {
        /// The unit.
        unit: UnitName,
        /// Of what.
        what: String,
        /// What the unit says.
        ours: String,
        /// Who says something else.
        holder: UnitName,
        /// What that is.
        theirs: String,
    },
    /// Its destruction is not finished: machines have not confirmed its stop.
    #[error("{unit} is still being destroyed; try again when its machines have stopped it")]
    BeingDestroyed {
        /// Its name.
        unit: UnitName,
    },
    /// The change was based on another revision of the unit than the current one.
    #[error("{unit} is at revision {current}, not at {expected}; look at it again and retry")]
    RevisionChanged {
        /// Its name.
        unit: UnitName,
        /// The revision the change was based on.
        expected: UnitRevision,
        /// The current one.
        current: UnitRevision,
    },
    /// Its text is larger than a record may be.
    #[error("the text of {unit} has {length} bytes, at most {most} are allowed")]
    TextTooLong {
        /// Its name.
        unit: UnitName,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        most: usize,
    },
    /// No machine has this id.
    #[error("machine {machine} is not known to the cluster")]
    UnknownMachine {
        /// Its id.
        machine: MachineId,
    },
    /// Another machine has the name.
    #[error("the machine name {name} belongs to {holder} already")]
    MachineNameTaken {
        /// The name.
        name: String,
        /// Who has it.
        holder: MachineId,
    },
    /// The stored record cannot be read, so it is not overwritten.
    #[error("the stored record {key} cannot be read: {problem}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}
