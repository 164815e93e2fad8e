//! Unit-file text to model and back, with line-exact diagnostics.
//!
//! [`UnitFile::parse`] reads systemd.syntax(7) without losing a byte, [`lower`] turns it into
//! an [`argosy_model::UnitSpec`] for one unit name, and [`check`] does both and looks at the
//! names it depends on. What each directive means here stands in one table, [`DIRECTIVES`].

mod builtin;
mod check;
mod diagnostic;
mod directives;
mod exit_status;
mod file;
mod glob;
mod lower;
mod quadlet;
mod specifier;
mod values;
mod words;

pub use builtin::is_builtin;
pub use check::{Checked, check, check_with_siblings};
pub use diagnostic::{Diagnostic, Severity, Style, render};
pub use directives::{DIRECTIVES, DirectiveGroup, DirectiveRule, Harmless, Support};
pub use file::{Directive, Item, ItemKind, UnitFile, Value};
pub use lower::{ENGINE_FLAGS, lower};
pub use quadlet::{
    ENGINE, Form, HandedIn, JoinedService, MadeService, QUADLET_KEYS, QuadletGroup, QuadletKind,
    QuadletRule, Siblings, Translated, join, join_one, no_unit, service_of, translate,
};
pub use specifier::{OsRelease, Specifiers};
