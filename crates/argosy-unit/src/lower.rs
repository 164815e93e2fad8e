//! From a parsed file to the model, for one unit name.

mod announce;
pub(crate) mod context;
mod ends;
mod environment;
mod exec_line;
mod health_check;
mod images;
mod placement;
mod quadlet;
mod relations;
pub(crate) mod sections;
mod service;
mod streams;
mod traffic;
mod verify;

use std::ops::Range;

use argosy_model::{UnitKind, UnitName, UnitSpec};

use self::context::Context;
pub use self::images::ENGINE_FLAGS;
use self::placement::PlacementDraft;
use self::relations::RelationsDraft;
pub(crate) use self::relations::needs;
use self::service::ServiceDraft;
use crate::diagnostic::Problem;
use crate::directives::{self, Support};
use crate::file::Directive;
use crate::{Diagnostic, Specifiers, UnitFile, no_unit};

/// Turns a parsed file into what it asks for, for the unit `name`.
///
/// An instance is lowered from its template's text: `name` is the instance then. For a
/// template itself the specifiers `%i`, `%n` and the like stand for the sample instance `1`,
/// so that every value can be checked.
///
/// Returns no spec if any diagnostic is an error. Errors of [`UnitFile::parse`] are not
/// repeated: whoever needs all of them calls [`crate::check`].
pub fn lower(
    file: &UnitFile,
    name: &UnitName,
    specifiers: &Specifiers,
) -> (Option<UnitSpec>, Vec<Diagnostic>) {
    let lowered = lower_mentions(file, name, specifiers);
    (lowered.spec, lowered.diagnostics)
}

/// A unit named by a directive of `[Unit]`.
#[derive(Debug)]
pub(crate) struct Mention {
    /// The directive's key.
    pub(crate) key: String,
    /// The unit it names.
    pub(crate) unit: UnitName,
    /// Where it names it.
    pub(crate) span: Range<usize>,
    /// Whether the name holds a sample, for it differs by instance or machine.
    pub(crate) sampled: bool,
}

/// What [`lower`] found, with what only [`crate::check`] needs.
pub(crate) struct Lowered {
    pub(crate) spec: Option<UnitSpec>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) mentions: Vec<Mention>,
}

/// Does the work of [`lower`].
pub(crate) fn lower_mentions(file: &UnitFile, name: &UnitName, specifiers: &Specifiers) -> Lowered {
    let mut context = Context::new(file, name, specifiers);
    if let Some(why) = no_unit(name) {
        context.sink.error(0..0, Problem::new(why));
        let diagnostics = context.sink.finish();
        return Lowered { spec: None, diagnostics, mentions: Vec::new() };
    }
    if name.kind() != UnitKind::Service {
        let suffix = name.kind().suffix();
        context.sink.error(
            0..0,
            Problem::new(format!("`.{suffix}` units are not available yet"))
                .help("only `.service` units are"),
        );
        let diagnostics = context.sink.finish();
        return Lowered { spec: None, diagnostics, mentions: Vec::new() };
    }
    let mut drafts = Drafts::default();
    drafts.service.incomplete = sections::check(&mut context, file, None);
    for directive in file.directives() {
        drafts.take(&mut context, directive);
    }
    drafts.finish(context, file)
}

/// What the directives read so far ask for.
#[derive(Default)]
pub(crate) struct Drafts {
    relations: RelationsDraft,
    service: ServiceDraft,
    placement: PlacementDraft,
}

impl Drafts {
    /// Takes a directive of a section of systemd's or ours.
    pub(crate) fn take(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let Directive { section, key, .. } = directive;
        if !directives::is_section(section) {
            return; // The section was reported, or is somebody else's.
        }
        let Some(rule) = directives::find(section, key) else {
            let meant = sections::unknown_key(context, directive);
            self.service.incomplete |= section == "Service" && meant == Some("ExecStart");
            return;
        };
        let value = directive.value.as_str();
        match rule.support {
            Support::Supported => self.apply(context, directive),
            Support::SystemdOnly(why) if !value.is_empty() => context.sink.note(
                directive.key_span.clone(),
                Problem::new(format!("`{key}=` is accepted and does nothing here: {why}")),
            ),
            Support::Refused(why) if !rule.harmless.holds(value) => {
                sections::refuse(context, directive, rule, why);
            }
            Support::SystemdOnly(_) | Support::Refused(_) => {}
        }
    }

    fn apply(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let handled = match directive.section.as_str() {
            "Unit" | "Install" => {
                self.relations.apply(context, directive)
                    || self.service.apply_start_limit(context, directive)
            }
            "Service" => {
                self.service.apply(context, directive)
                    || self.service.apply_start_limit(context, directive)
            }
            _ => self.placement.apply(context, directive),
        };
        debug_assert!(handled, "{}= stands as supported in the table", directive.key);
    }

    /// Checks the whole and makes the spec.
    pub(crate) fn finish(mut self, mut context: Context<'_>, file: &UnitFile) -> Lowered {
        let images = std::mem::take(&mut self.service.images);
        let images = images.finish(self.service.spec.user.as_deref());
        let service = self.service.finish(&mut context, file);
        let (placement, announce, traffic) = self.placement.finish(&mut context);
        let RelationsDraft { description, dependencies, wanted_by, mentions } = self.relations;
        let name = context.name.clone();
        let spec = (context.sink.errors() == 0).then_some(UnitSpec {
            name,
            description,
            dependencies,
            service,
            placement,
            announce,
            traffic,
            images,
            wanted_by,
        });
        Lowered { spec, diagnostics: context.sink.finish(), mentions }
    }
}

#[cfg(test)]
mod tests;
