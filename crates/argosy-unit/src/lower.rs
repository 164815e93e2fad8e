//! From a parsed file to the model, for one unit name.

use argosy_model::{UnitName, UnitSpec};

use crate::{Diagnostic, Specifiers, UnitFile};

/// Turns a parsed file into what it asks for.
pub fn lower(
    _file: &UnitFile,
    _name: &UnitName,
    _specifiers: &Specifiers,
) -> (Option<UnitSpec>, Vec<Diagnostic>) {
    todo!()
}
