//! What a translation makes of a Quadlet file, beside what its systemd sections say.

use std::collections::BTreeSet;
use std::ops::Range;

use argosy_model::UnitName;

use super::command::{Arg, Command};
use super::names::Sibling;
use super::service::MadeService;
use crate::diagnostic::Problem;
use crate::lower::context::{Context, Reported};

/// What is added to the systemd sections.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Command lines, in order.
    pub(super) commands: Vec<Command>,
    /// Relations of `[Unit]`.
    pub(super) relations: Vec<(&'static str, UnitName)>,
    /// `RequiresMountsFor=`, specifiers included.
    pub(super) mounts: Vec<String>,
    /// Defaults and overrides of `[Service]`.
    pub(super) service: MadeService,
    /// The Quadlet files that must be on the same machine.
    pub(super) companions: BTreeSet<UnitName>,
    /// Where the file says that the unit keeps data, and what that is.
    pub(super) data: Option<(Range<usize>, String)>,
}

impl Made {
    /// Adds a relation once.
    pub(super) fn relate(&mut self, key: &'static str, unit: UnitName) {
        if !self.relations.iter().any(|(known, other)| *known == key && *other == unit) {
            self.relations.push((key, unit));
        }
    }

    /// Finds the Quadlet file that a key names, and makes the unit depend on it by `needs`.
    pub(super) fn need(
        &mut self,
        context: &mut Context<'_>,
        needs: &'static str,
        written: &str,
        span: &Range<usize>,
    ) -> Result<(UnitName, Sibling), Reported> {
        let (name, sibling) = sibling(context, written, span)?;
        if sibling.service == *context.name {
            let problem = Problem::new(format!("`{name}` is this file itself"));
            context.sink.error(span.clone(), problem);
            return Err(Reported);
        }
        self.relate(needs, sibling.service.clone());
        self.relate("After", sibling.service.clone());
        self.companions.insert(name.clone());
        Ok((name, sibling))
    }
}

impl Sibling {
    /// Returns the resource's name as a word.
    pub(super) fn arg(&self, context: &Context<'_>) -> Arg {
        Arg::specified(&self.resource, context.name, context.specifiers)
    }
}

/// Finds the Quadlet file that is named at `span`.
pub(crate) fn sibling(
    context: &mut Context<'_>,
    written: &str,
    span: &Range<usize>,
) -> Result<(UnitName, Sibling), Reported> {
    let name = match UnitName::new(written) {
        Ok(name) if name.is_template() => {
            let instance = name.with_instance("1").map_or(String::new(), |name| name.to_string());
            let problem = Problem::new(format!("`{name}` is a template, which never runs itself"))
                .help(format!("name an instance, such as `{instance}`"));
            context.sink.error(span.clone(), problem);
            return Err(Reported);
        }
        Ok(name) => name,
        Err(error) => {
            context.sink.error(span.clone(), Problem::new(error.to_string()));
            return Err(Reported);
        }
    };
    match context.siblings.and_then(|siblings| siblings.find(&name)) {
        Some(found) => Ok((name, found)),
        None => {
            let problem = Problem::new(format!("there is no Quadlet file `{name}`"))
                .label("not handed in together with this one")
                .help(format!("give both files at once, or name what `{name}` would make"));
            context.sink.error(span.clone(), problem);
            Err(Reported)
        }
    }
}
