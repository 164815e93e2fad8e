//! Every directive and what it means here: the one table.

/// What happens to a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does what systemd says.
    Supported,
    /// Only systemd cares: accepted with a note that says why it changes nothing here.
    SystemdOnly(&'static str),
    /// Ignoring it would change what the unit does: refused, with the reason.
    Refused(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectiveRule {
    /// The section, without brackets.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// What happens to it.
    pub support: Support,
    /// Where it is documented.
    pub page: &'static str,
}

/// The table.
pub const DIRECTIVES: &[DirectiveRule] = &[];
