//! Podman's Quadlet files (podman-systemd.unit(5)) and the services they become.
//!
//! [`translate`] reads `.container`, `.pod`, `.volume`, `.network` and `.image` files. What the
//! sections of systemd say goes the way of every unit file; the section of the file's own kind
//! becomes command lines of the engine, by the table [`QUADLET_KEYS`]. Both meet in one
//! [`UnitSpec`], and every diagnostic names a place in the file itself.

mod checks;
mod command;
mod container;
mod image;
mod joined;
mod keys;
mod made;
mod names;
mod network;
mod pod;
mod service;
mod storage;
mod table;
mod text;
mod volume;

use std::collections::BTreeSet;

use argosy_model::{UnitKind, UnitName, UnitSpec};

use self::command::Arg;
use self::command::Command;
pub use self::command::ENGINE;
pub use self::joined::{HandedIn, JoinedService, join, join_one, service_of};
use self::keys::Keys;
use self::made::Made;
pub(crate) use self::made::refer;
pub use self::names::{QuadletKind, Siblings};
use self::names::{resource_name, service_name};
pub use self::service::MadeService;
pub use self::table::{Form, QUADLET_KEYS, QuadletGroup, QuadletRule};
use crate::diagnostic::{Problem, Sink};
use crate::lower::context::{Context, Reported};
use crate::lower::{Drafts, Mention, sections};
use crate::{Diagnostic, Specifiers, UnitFile};

/// A Quadlet file as the service it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// What the service asks for; its name is the service's.
    pub spec: UnitSpec,
    /// The service as a unit file of systemd.
    pub text: String,
    /// What the container, pod, volume or network is called, or which image is pulled.
    pub resource: String,
    /// The Quadlet files without which it cannot run, all on the machine where it runs.
    pub companions: BTreeSet<UnitName>,
}

/// Says why a name is that of no unit which may be stored or started; `None` if it may be.
///
/// Everything that stores or starts units asks here, once [`join`] has made services of Quadlet files.
pub fn no_unit(name: &UnitName) -> Option<String> {
    name.kind().is_quadlet().then(|| {
        format!("`{name}` is a file, and no unit: its unit is the service that it becomes")
    })
}

/// Turns a Quadlet file into the service that it becomes.
///
/// `siblings` are the files it may name. An instance is translated from its template's text.
/// Returns nothing but diagnostics if any of them is an error; errors of [`UnitFile::parse`]
/// are not repeated.
pub fn translate(
    file: &UnitFile,
    name: &UnitName,
    specifiers: &Specifiers,
    siblings: &Siblings,
) -> (Option<Translated>, Vec<Diagnostic>) {
    let found = translate_mentions(file, name, specifiers, siblings);
    (found.translated, found.diagnostics)
}

/// What [`translate`] found, with what only [`crate::check`] needs.
pub(crate) struct Found {
    pub(crate) translated: Option<Translated>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) mentions: Vec<Mention>,
    /// The commands that were made.
    commands: Vec<Command>,
}

/// Does the work of [`translate`].
pub(crate) fn translate_mentions(
    file: &UnitFile,
    name: &UnitName,
    specifiers: &Specifiers,
    siblings: &Siblings,
) -> Found {
    let mut sink = Sink::new(file.name(), file.text());
    let nothing = |sink: Sink<'_>| Found {
        translated: None,
        diagnostics: sink.finish(),
        mentions: Vec::new(),
        commands: Vec::new(),
    };
    let Some(kind) = QuadletKind::of(name) else {
        sink.error(0..0, refused_kind(name.kind()));
        return nothing(sink);
    };
    let Ok(service) = read_service_name(&mut sink, kind, name, file) else {
        return nothing(sink);
    };
    let mut context = Context::new(file, &service, specifiers);
    context.siblings = Some(siblings);
    context.head = file
        .headers()
        .find(|(section, _)| *section == kind.section())
        .map_or(0..0, |(_, span)| span);
    if let Some(twin) = siblings.twin(name, &service) {
        let problem = Problem::new(format!("`{twin}` becomes `{service}` as well"))
            .help("ServiceName= gives one of them another name");
        context.sink.error(context.head.clone(), problem);
    }
    make(context, file, name, kind)
}

/// Reads both halves of the file and joins them.
fn make(mut context: Context<'_>, file: &UnitFile, name: &UnitName, kind: QuadletKind) -> Found {
    sections::check(&mut context, file, Some(kind));
    let mut drafts = Drafts::default();
    let mut keys = Keys::default();
    let mut replaced = BTreeSet::new();
    for directive in file.directives() {
        let section = directive.section.as_str();
        if section == kind.section() || section == "Quadlet" {
            keys.take(&mut context, kind, directive);
        } else if keys::misplaced(&mut context, kind, directive) {
        } else if section == "Service" && service::guard(&mut context, kind, directive) {
            replaced.insert(directive.key_span.start);
        } else {
            drafts.take(&mut context, directive);
        }
    }
    let mut made = Made::default();
    if keys.boolean(&mut context, "DefaultDependencies") != Some(false)
        && let Ok(online) = UnitName::new("network-online.target")
    {
        made.relate("Wants", online.clone());
        made.relate("After", online);
    }
    let resource = resource(&mut context, &keys, file, name, kind);
    match kind {
        QuadletKind::Container => {
            let oneshot = file.last_value("Service", "Type") == Some("oneshot");
            container::make(&mut context, &keys, oneshot, &resource, &mut made);
            if keys.last("Pod").is_some() {
                pod::check_member(&mut context, file);
            }
        }
        QuadletKind::Pod => {
            pod::make(&mut context, &keys, (file, name), &resource, &mut made);
        }
        QuadletKind::Volume => {
            volume::make(&mut context, &keys, &resource, &mut made);
            if names::keeps_data(file) {
                made.data =
                    Some((context.head.clone(), format!("the volume `{}`", resource.expanded)));
            }
        }
        QuadletKind::Network => network::make(&mut context, &keys, &resource, &mut made),
        QuadletKind::Image => image::make(&mut context, &keys, &mut made),
    }
    service::stops_in_time(&mut context, &keys, kind, drafts.stop_timeout());
    service::defaults(file, kind, &mut made.service);
    finish(context, file, kind, drafts, made, resource, &replaced)
}

fn finish(
    mut context: Context<'_>,
    file: &UnitFile,
    kind: QuadletKind,
    mut drafts: Drafts,
    made: Made,
    resource: Arg,
    replaced: &BTreeSet<usize>,
) -> Found {
    let errors = context.sink.errors();
    for command in &made.commands {
        drafts.add_command(command.key, command.spec(), &command.varies());
    }
    for relation in &made.relations {
        drafts.add_relation(relation.key, relation.unit.clone());
    }
    drafts.add_service(&made.service, &context);
    drafts.add_placement(made.beside.iter().map(|it| &it.0), made.stops_on_partition);
    let bound = made.data.is_some() && drafts.bind_to_data();
    let written =
        (errors == 0).then(|| text::write(&context, file, kind, &made, (replaced, bound)));
    if let Some((span, what)) = made.data.filter(|_| bound) {
        let problem = Problem::new(format!("the unit stays on the machine that has {what}"))
            .help("Data= in [X-Argosy] says otherwise");
        context.sink.note(span, problem);
    }
    let lowered = drafts.finish(context, file);
    let translated = lowered.spec.zip(written).map(|(spec, text)| Translated {
        spec,
        text,
        resource: resource.expanded,
        companions: made.companions,
    });
    Found {
        translated,
        diagnostics: lowered.diagnostics,
        mentions: lowered.mentions,
        commands: made.commands,
    }
}

/// Returns what the file's resource is called.
fn resource(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    file: &UnitFile,
    name: &UnitName,
    kind: QuadletKind,
) -> Arg {
    let (key, check) = match kind {
        QuadletKind::Container => ("ContainerName", checks::NAME),
        QuadletKind::Pod => ("PodName", checks::NAME),
        QuadletKind::Volume => ("VolumeName", checks::NAME),
        QuadletKind::Network => ("NetworkName", checks::NAME),
        QuadletKind::Image => ("ImageTag", checks::ANY),
    };
    match keys.value(context, key, check) {
        Some(found) => found.arg,
        None => {
            let raw = resource_name(kind, name, file);
            Arg::specified(&raw, context.name, context.specifiers)
        }
    }
}

/// Finds the name of the service; reports a `ServiceName=` that names none.
fn read_service_name(
    sink: &mut Sink<'_>,
    kind: QuadletKind,
    name: &UnitName,
    file: &UnitFile,
) -> Result<UnitName, Reported> {
    let written = file
        .directives()
        .filter(|found| found.section == kind.section() && found.key == "ServiceName")
        .last()
        .filter(|found| !names::unquoted(found.value.as_str()).is_empty());
    let text = written.map(|found| names::unquoted(found.value.as_str()));
    let problem = match service_name(kind, name, text) {
        Ok(service) if service.is_template() == name.is_template() => return Ok(service),
        Ok(_) if name.is_template() => Problem::new("the service of a template is a template")
            .help("write an `@` at the end of ServiceName="),
        Ok(_) => Problem::new("only a template becomes a template")
            .help("leave out the `@` at the end of ServiceName="),
        Err(error) => Problem::new(error.to_string())
            .help("ServiceName= is the unit's name without `.service`"),
    };
    sink.error(written.map_or(0..0, |found| found.value.full_span()), problem);
    Err(Reported)
}

/// Says what to do instead of a file that is not translated.
fn refused_kind(kind: UnitKind) -> Problem {
    match kind {
        UnitKind::Build => {
            Problem::new("`.build` files are not available: images are not built here")
                .help("build the image elsewhere, push it to a registry, and name it by Image=")
        }
        UnitKind::Kube => Problem::new(
            "`.kube` files are not available: Kubernetes objects are not run here",
        )
        .help(
            "write a `.container` file for each container, and a `.pod` file for what they share",
        ),
        UnitKind::Artifact => {
            Problem::new("`.artifact` files are not available: only images are pulled")
                .help("put the files into an image or a volume")
        }
        kind => Problem::new(format!("`.{}` is no kind of Quadlet file", kind.suffix())),
    }
}

#[cfg(test)]
mod tests;
