//! The whole check of a unit before it is stored.

use argosy_model::{UnitName, UnitSpec};

use crate::diagnostic::{Problem, Sink};
use crate::lower::{Mention, lower_mentions, needs};
use crate::{Diagnostic, Severity, Specifiers, UnitFile, is_builtin};

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The unit, if it may be stored; `None` if any diagnostic is an error.
    pub spec: Option<UnitSpec>,
    /// Everything found, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses and lowers `text` for the unit `name`, and looks at the names it depends on.
///
/// `known_units` says which units are stored or submitted together with this one; templates
/// are asked for too, and an instance of a known template is known. Built-in names
/// ([`is_builtin`]) always are. A unit that needs an unknown one (`Requires=`, `Requisite=`,
/// `BindsTo=`) is refused; other relations to unknown names are noted. Machine specifiers
/// stand for samples ([`Specifiers::default`]).
pub fn check(
    file_name: &str,
    text: &str,
    name: &UnitName,
    known_units: &dyn Fn(&UnitName) -> bool,
) -> Checked {
    let (file, mut diagnostics) = UnitFile::parse(file_name, text);
    let lowered = lower_mentions(&file, name, &Specifiers::default());
    diagnostics.extend(lowered.diagnostics);
    let mut sink = Sink::new(file_name, text);
    for mention in &lowered.mentions {
        let unit = &mention.unit;
        let is_known = is_builtin(unit)
            || known_units(unit)
            || unit.template().is_some_and(|template| known_units(&template));
        if !is_known {
            report_unknown(&mut sink, mention);
        }
    }
    diagnostics.extend(sink.finish());
    diagnostics.sort_by_key(|found| (found.span.start, found.span.end));
    let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
    Checked { spec: lowered.spec.filter(|_| !refused), diagnostics }
}

fn report_unknown(sink: &mut Sink<'_>, mention: &Mention) {
    let Mention { key, unit, span, sampled } = mention;
    if !needs(key) {
        let problem = Problem::new(format!("no unit `{unit}` is known; `{key}=` accepts that"));
        sink.note(span.clone(), problem);
    } else if *sampled {
        sink.note(
            span.clone(),
            Problem::new(format!("`{key}=` names a unit that differs by instance or machine"))
                .label(format!("for example `{unit}`, which is not known")),
        );
    } else {
        sink.error(
            span.clone(),
            Problem::new(format!("`{key}={unit}` names a unit that does not exist"))
                .label("neither stored, nor submitted together with this one, nor built in")
                .help(format!(
                    "submit `{unit}` first or together, or use Wants= if it is optional"
                )),
        );
    }
}

#[cfg(test)]
mod tests;
