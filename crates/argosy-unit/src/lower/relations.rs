//! `[Unit]` and `[Install]`: description and relations to other units.

use std::ops::Range;

use argosy_model::{Dependencies, InvalidUnitName, UnitName};

use super::Mention;
use super::context::{Context, Reported};
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::quadlet::refer;
use crate::specifier::{Scope, SpecifierProblem, expand, names_instance};
use crate::words::Escapes;

/// What `[Unit]` and `[Install]` asked for so far.
#[derive(Default)]
pub(super) struct RelationsDraft {
    pub(super) description: Option<String>,
    pub(super) dependencies: Dependencies,
    pub(super) wanted_by: Vec<UnitName>,
    pub(super) mentions: Vec<Mention>,
}

/// Unit types of systemd that exist on no machine here.
const ABSENT_TYPES: [&str; 6] = ["automount", "busname", "device", "scope", "snapshot", "swap"];

/// The starts of addresses that `Documentation=` takes.
const ADDRESSES: [&str; 5] = ["http://", "https://", "file:/", "info:", "man:"];

impl RelationsDraft {
    /// Takes a directive; tells whether it is one of these.
    pub(super) fn apply(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        match directive.key.as_str() {
            "Description" => {
                if let Ok(text) = context.text(directive, Scope::Machine) {
                    self.description = Some(text).filter(|text| !text.is_empty());
                }
            }
            "Documentation" => documentation(context, directive),
            "Requires" | "Requisite" | "Wants" | "BindsTo" | "BindTo" | "PartOf" | "Conflicts"
            | "Before" | "After" => self.relate(context, directive),
            "WantedBy" | "RequiredBy" => {
                for mention in mentions(context, directive) {
                    insert(&mut self.wanted_by, mention.unit);
                }
            }
            _ => return false,
        }
        true
    }

    fn relate(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let dependencies = &mut self.dependencies;
        let list = match directive.key.as_str() {
            "Requires" => &mut dependencies.requires,
            "Requisite" => &mut dependencies.requisite,
            "Wants" => &mut dependencies.wants,
            "BindsTo" | "BindTo" => &mut dependencies.binds_to,
            "PartOf" => &mut dependencies.part_of,
            "Conflicts" => &mut dependencies.conflicts,
            "Before" => &mut dependencies.before,
            _ => &mut dependencies.after,
        };
        for mention in mentions(context, directive) {
            insert(list, mention.unit.clone());
            self.mentions.push(mention);
        }
    }
}

fn insert(list: &mut Vec<UnitName>, unit: UnitName) {
    if !list.contains(&unit) {
        list.push(unit);
    }
}

/// Tells whether a unit cannot do without what `key` names.
pub(crate) fn needs(key: &str) -> bool {
    matches!(key, "Requires" | "Requisite" | "BindsTo" | "BindTo")
}

/// Most names in one value. A file of names alone must not make the check of it quadratic.
const NAMES_MAX: usize = 1000;

/// Reads a list of unit names.
fn mentions(context: &mut Context<'_>, directive: &Directive) -> Vec<Mention> {
    let value = &directive.value;
    let Ok(words) = context.words(value, Escapes::Keep) else { return Vec::new() };
    if words.len() > NAMES_MAX {
        context.bad_value(directive, &format!("at most {NAMES_MAX} names may stand here"));
        return Vec::new();
    }
    let mut out = Vec::new();
    for word in words {
        let Ok(text) = context.expand_word(value, &word, Scope::Machine) else { continue };
        let by_machine = expand(&word.text, context.name, context.specifiers, Scope::Name);
        let by_machine =
            by_machine.1.iter().any(|problem| matches!(problem, SpecifierProblem::NotHere(_)));
        let by_instance = context.name.is_template() && names_instance(&word.text);
        let sampled = by_machine || by_instance;
        let span = value.span(word.span);
        if let Ok(Some(unit)) = unit_name(context, directive, &text, &span) {
            out.push(Mention { key: directive.key.clone(), unit, span, sampled });
        }
    }
    out
}

/// Reads one unit name; `None` if it names what does not matter here.
fn unit_name(
    context: &mut Context<'_>,
    directive: &Directive,
    text: &str,
    span: &Range<usize>,
) -> Result<Option<UnitName>, Reported> {
    let key = &directive.key;
    let absent = text.rsplit_once('.').is_some_and(|(_, suffix)| ABSENT_TYPES.contains(&suffix));
    let problem = match UnitName::new(text) {
        Err(InvalidUnitName::Suffix { .. }) if absent && !needs(key) => {
            let problem =
                Problem::new(format!("`{text}` is ignored: there are no such units here"));
            context.sink.note(span.clone(), problem);
            return Ok(None);
        }
        Err(InvalidUnitName::Suffix { .. }) if absent => {
            Problem::new(format!("`{text}` cannot be required: there are no such units here"))
        }
        Err(InvalidUnitName::Suffix { .. }) => {
            let plain = !text.is_empty() && !text.contains(['.', '/', ',']);
            let problem = Problem::new(format!("`{text}` is not a unit name"))
                .label("expected a name that ends in .service, .target or the like");
            match plain {
                true => problem.help(format!("did you mean `{text}.service`?")),
                false => problem,
            }
        }
        Err(error) => Problem::new(error.to_string()).help("names are separated by spaces"),
        Ok(unit) if unit.kind().is_quadlet() && context.siblings.is_some() => {
            let service = refer(context, text, text, span)?.sibling.service;
            if service != *context.name {
                return Ok(Some(service));
            }
            return Ok(ignore_itself(context, key, span));
        }
        Ok(unit) if unit.kind().is_quadlet() => {
            Problem::new(format!("`{unit}` is a Quadlet file, which becomes a service"))
                .help("name the service: `web.container` becomes `web.service`")
        }
        Ok(unit) if unit.is_template() => {
            let example = unit.with_instance("1").map_or(String::new(), |unit| unit.to_string());
            Problem::new(format!("`{unit}` is a template, which never runs itself"))
                .help(format!("name an instance, such as `{example}`"))
        }
        Ok(unit) if unit == *context.name => return Ok(ignore_itself(context, key, span)),
        Ok(unit) => return Ok(Some(unit)),
    };
    context.sink.error(span.clone(), problem);
    Err(Reported)
}

fn ignore_itself(context: &mut Context<'_>, key: &str, span: &Range<usize>) -> Option<UnitName> {
    let problem = Problem::new(format!("`{key}=` names the unit itself and is ignored"));
    context.sink.warning(span.clone(), problem);
    None
}

fn documentation(context: &mut Context<'_>, directive: &Directive) {
    let value = &directive.value;
    let Ok(words) = context.words(value, Escapes::Undo) else { return };
    for word in words {
        if !ADDRESSES.iter().any(|start| word.text.starts_with(start)) {
            context.sink.warning(
                value.span(word.span),
                Problem::new("this is no address systemd would take")
                    .label(format!("expected one that begins with {}", ADDRESSES.join(", "))),
            );
        }
    }
}
