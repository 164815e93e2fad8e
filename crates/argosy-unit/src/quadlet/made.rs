//! What a translation makes of a Quadlet file, beside what its systemd sections say.

use std::collections::BTreeSet;
use std::ops::Range;

use argosy_model::UnitName;

use super::command::{Arg, Command};
use super::joined;
use super::names::{QuadletKind, Sibling};
use super::service::MadeService;
use crate::diagnostic::Problem;
use crate::lower::context::{Context, Reported};

/// A relation to another unit.
#[derive(Debug)]
pub(super) struct Relation {
    /// The key of `[Unit]`.
    pub(super) key: &'static str,
    /// The unit.
    pub(super) unit: UnitName,
    /// The unit as it stands in a unit file.
    pub(super) raw: String,
}

/// What is added to the systemd sections.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Command lines, in order.
    pub(super) commands: Vec<Command>,
    /// Relations of `[Unit]`.
    pub(super) relations: Vec<Relation>,
    /// `RequiresMountsFor=`, specifiers included.
    pub(super) mounts: Vec<String>,
    /// Defaults and overrides of `[Service]`.
    pub(super) service: MadeService,
    /// The Quadlet files that must be on the same machine.
    pub(super) companions: BTreeSet<UnitName>,
    /// Where the file says that the unit keeps data, and what that is.
    pub(super) data: Option<(Range<usize>, String)>,
    /// Services whose machine is the unit's, as they stand in a unit file too.
    pub(super) beside: Vec<(UnitName, String)>,
    /// Whether it stops on partition because its pod does.
    pub(super) stops_on_partition: bool,
}

/// A Quadlet file that another one names.
pub(crate) struct Referred {
    /// Its name.
    name: UnitName,
    /// What it becomes.
    pub(crate) sibling: Sibling,
    /// Its service as it stands in a unit file: with `%i` if it is another for each instance.
    pub(super) service: String,
    /// The name of the instance, or what stands for it, where that is left open.
    instance: Option<String>,
    /// What its resource is called.
    pub(super) resource: Arg,
}

impl Referred {
    pub(super) fn name(&self) -> &UnitName {
        &self.name
    }

    pub(super) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }
}

impl Made {
    /// Adds a relation once.
    pub(super) fn relate(&mut self, key: &'static str, unit: UnitName) {
        let raw = unit.to_string();
        self.relate_as(key, unit, raw);
    }

    /// The same for a unit that stands otherwise in a unit file.
    pub(super) fn relate_as(&mut self, key: &'static str, unit: UnitName, raw: String) {
        if !self.relations.iter().any(|known| known.key == key && known.unit == unit) {
            self.relations.push(Relation { key, unit, raw });
        }
    }

    /// Finds the Quadlet file that a key names, and makes the unit depend on it by `needs`.
    pub(super) fn need(
        &mut self,
        context: &mut Context<'_>,
        needs: &'static str,
        written: &Arg,
        span: &Range<usize>,
    ) -> Result<Referred, Reported> {
        let found = refer(context, &written.raw, &written.expanded, span)?;
        let service = &found.sibling.service;
        if service == context.name {
            let problem = Problem::new(format!("`{}` is this file itself", found.name));
            context.sink.error(span.clone(), problem);
            return Err(Reported);
        }
        let joined = context.siblings.filter(|it| it.are_joined());
        if joined.is_some() && joined::runs_itself(&found) {
            self.beside.push((service.clone(), found.service.clone()));
        } else if let Some(siblings) = joined {
            let commands = joined::commands_of(context, siblings, &found, span.clone())?;
            // Two mounts of one volume make it once.
            let lines: Vec<String> = self.commands.iter().map(Command::line).collect();
            self.commands.extend(commands.into_iter().filter(|it| !lines.contains(&it.line())));
            self.companions.insert(found.name.clone());
            return Ok(found);
        }
        for key in [needs, "After"] {
            self.relate_as(key, service.clone(), found.service.clone());
        }
        self.companions.insert(found.name.clone());
        Ok(found)
    }
}

/// Finds the Quadlet file that is named at `span`, and reports if there is none.
pub(crate) fn refer(
    context: &mut Context<'_>,
    raw: &str,
    expanded: &str,
    span: &Range<usize>,
) -> Result<Referred, Reported> {
    match find(context, raw, expanded) {
        Ok(found) => Ok(found),
        Err(problem) => {
            context.sink.error(span.clone(), problem);
            Err(Reported)
        }
    }
}

/// Finds a Quadlet file. A template that a template names means the same instance.
pub(super) fn find(context: &Context<'_>, raw: &str, expanded: &str) -> Result<Referred, Problem> {
    let name = UnitName::new(expanded).map_err(|error| Problem::new(error.to_string()))?;
    let own = if context.name.is_template() { Some("1") } else { context.name.instance() };
    let (name, instance) = match (name.is_template(), own) {
        (true, Some(own)) => {
            let instance = name.with_instance(own);
            (instance.map_err(|error| Problem::new(error.to_string()))?, Some("%i"))
        }
        (true, None) => {
            let example = name.with_instance("1").map_or(String::new(), |name| name.to_string());
            return Err(Problem::new(format!("`{name}` is a template, which never runs itself"))
                .help(format!("name an instance, such as `{example}`")));
        }
        (false, _) => {
            let written = raw.rsplit_once('.').and_then(|(stem, _)| stem.split_once('@'));
            (name, written.map(|(_, instance)| instance))
        }
    };
    if QuadletKind::of(&name).is_none() {
        let suffix = name.kind().suffix();
        return Err(Problem::new(format!("`{name}` becomes no unit"))
            .label(format!("`.{suffix}` files are not available")));
    }
    let Some(sibling) = context.siblings.and_then(|siblings| siblings.find(&name)) else {
        return Err(Problem::new(format!("there is no Quadlet file `{name}`"))
            .label("not handed in together with this one")
            .help(format!("give both files at once, or name what `{name}` would make")));
    };
    // Only a template's text is read by several units.
    let instance = instance.filter(|_| context.name.is_template());
    let service = match instance {
        Some(instance) => format!("{}@{instance}.service", sibling.service.prefix()),
        None => sibling.service.to_string(),
    };
    let raw = sibling.resource(instance);
    let resource = sibling.resource(None);
    let expanded = Arg::specified(&resource, context.name, context.specifiers).expanded;
    let instance = instance.map(str::to_owned);
    Ok(Referred { name, sibling, service, instance, resource: Arg { raw, expanded } })
}
