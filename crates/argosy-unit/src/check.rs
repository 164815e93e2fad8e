//! The whole check of a unit before it is stored.

use argosy_model::{UnitName, UnitSpec};

use crate::Diagnostic;

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The unit, if it may be stored; `None` if any diagnostic is an error.
    pub spec: Option<UnitSpec>,
    /// Everything found, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses, lowers and looks at the names the unit depends on.
pub fn check(
    _file_name: &str,
    _text: &str,
    _name: &UnitName,
    _known_units: &dyn Fn(&UnitName) -> bool,
) -> Checked {
    todo!()
}
