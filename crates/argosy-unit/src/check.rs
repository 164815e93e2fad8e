//! The whole check of a unit before it is stored.

use argosy_model::{UnitName, UnitSpec};

use crate::diagnostic::{Problem, Sink};
use crate::lower::{Mention, lower_mentions, needs};
use crate::quadlet::translate_mentions;
use crate::{Diagnostic, Severity, Siblings, Specifiers, UnitFile, is_builtin};

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
    check_with_siblings(file_name, text, name, known_units, &Siblings::new())
}

/// Does the same for a unit or a Quadlet file; `siblings` are the Quadlet files that are handed
/// in together with this one, itself included.
///
/// The spec of a Quadlet file is that of the service it becomes.
pub fn check_with_siblings(
    file_name: &str,
    text: &str,
    name: &UnitName,
    known_units: &dyn Fn(&UnitName) -> bool,
    siblings: &Siblings,
) -> Checked {
    let (file, mut diagnostics) = UnitFile::parse(file_name, text);
    let specifiers = Specifiers::default();
    let (spec, more, mentions) = if name.kind().is_quadlet() {
        let found = translate_mentions(&file, name, &specifiers, siblings);
        (found.translated.map(|made| made.spec), found.diagnostics, found.mentions)
    } else {
        let lowered = lower_mentions(&file, name, &specifiers);
        (lowered.spec, lowered.diagnostics, lowered.mentions)
    };
    diagnostics.extend(more);
    let mut sink = Sink::new(file_name, text);
    if let Some(spec) = &spec
        && spec.name != *name
        && known_units(&spec.name)
    {
        let problem = Problem::new(format!("there is a `{}` already", spec.name))
            .label("this file would become the same unit")
            .help("ServiceName= gives this one another name");
        sink.error(0..0, problem);
    }
    for mention in &mentions {
        let unit = &mention.unit;
        let is_known = is_builtin(unit)
            || known_units(unit)
            || siblings.makes(unit)
            || unit.template().is_some_and(|template| known_units(&template));
        if !is_known {
            report_unknown(&mut sink, mention);
        }
    }
    diagnostics.extend(sink.finish());
    diagnostics.sort_by_key(|found| (found.span.start, found.span.end));
    let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
    Checked { spec: spec.filter(|_| !refused), diagnostics }
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
