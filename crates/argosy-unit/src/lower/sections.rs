//! Sections and keys that are not what they should be.

use super::context::Context;
use crate::diagnostic::Problem;
use crate::directives::{
    self, DirectiveRule, Harmless, nearest, nearest_key, nearest_section, sections_of,
};
use crate::file::Directive;
use crate::{QuadletKind, UnitFile};

/// Sections of other unit types.
const FOREIGN: [&str; 17] = [
    "Artifact",
    "Automount",
    "Build",
    "Container",
    "Image",
    "Kube",
    "Mount",
    "Network",
    "Path",
    "Pod",
    "Scope",
    "Slice",
    "Socket",
    "Swap",
    "Timer",
    "Volume",
    "Watch",
];

/// Looks at every section header of a service or of a Quadlet file of the kind `own`; tells
/// whether one was probably meant to be `[Service]`.
pub(crate) fn check(context: &mut Context<'_>, file: &UnitFile, own: Option<QuadletKind>) -> bool {
    let own = own.map(QuadletKind::section);
    let suffix = own.map_or("service".to_owned(), str::to_ascii_lowercase);
    let is_own = |name: &str| own == Some(name) || (own.is_some() && name == "Quadlet");
    let mut install_noted = false;
    let mut meant_service = false;
    for (name, span) in file.headers() {
        if name == "Install" && !install_noted {
            install_noted = true;
            context.sink.note(
                span,
                Problem::new("[Install] is kept, but no unit is enabled on its machine")
                    .help("`argosy start` makes it run, now and after every reboot"),
            );
            continue;
        }
        if directives::is_section(name) || is_own(name) {
            continue;
        }
        let near = match own {
            Some(own) => nearest(name, [own, "Quadlet"].into_iter(), |name| name),
            None => None,
        };
        let near = near.or_else(|| nearest_section(name));
        if FOREIGN.contains(&name) {
            let home = name.to_ascii_lowercase();
            context.sink.error(
                span,
                Problem::new(format!("[{name}] has no place in a `.{suffix}` file"))
                    .help(format!("it belongs into a `.{home}` file of its own")),
            );
        } else if let Some(near) = near {
            meant_service |= near == "Service";
            context.sink.error(
                span,
                Problem::new(format!("there is no section [{name}]"))
                    .label("unknown section")
                    .help(format!("did you mean [{near}]?")),
            );
        } else if name.starts_with("X-") {
            let problem = Problem::new(format!("[{name}] is somebody else's and is ignored"));
            context.sink.note(span, problem);
        } else {
            let more = own.map_or(String::new(), |own| format!("[{own}], [Quadlet], "));
            context.sink.error(
                span,
                Problem::new(format!("there is no section [{name}]"))
                    .label("unknown section")
                    .help(format!(
                        "a `.{suffix}` file has {more}[Unit], [Service], [Install], [X-Fleet] and \
                         [X-Argosy]"
                    )),
            );
        }
    }
    meant_service
}

/// Reports a key that its section does not have; returns the one of the same section that
/// was probably meant.
pub(super) fn unknown_key(
    context: &mut Context<'_>,
    directive: &Directive,
) -> Option<&'static str> {
    let Directive { section, key, key_span, .. } = directive;
    let own = section.starts_with("X-");
    if key.starts_with("X-") && !own {
        let problem = Problem::new(format!("`{key}=` is somebody else's and is ignored"));
        context.sink.note(key_span.clone(), problem);
        return None;
    }
    if let Some(home) = sections_of(key).first() {
        context.sink.error(
            key_span.clone(),
            Problem::new(format!("`{key}=` is a [{home}] key, not one of [{section}]"))
                .label(format!("not a key of [{section}]"))
                .help(format!("move it below [{home}]")),
        );
        return None;
    }
    let problem = Problem::new(format!("[{section}] has no key `{key}=`")).label("unknown key");
    let near = nearest_key(section, key);
    let problem = match near {
        Some((home, near)) if home == section => problem.help(format!("did you mean `{near}=`?")),
        Some((home, near)) => problem.help(format!("did you mean `{near}=` of [{home}]?")),
        None => problem,
    };
    context.sink.error(key_span.clone(), problem);
    near.filter(|(home, _)| home == section).map(|(_, near)| near)
}

/// Reports a directive that must not be ignored and is not available.
pub(super) fn refuse(
    context: &mut Context<'_>,
    directive: &Directive,
    rule: &DirectiveRule,
    why: &str,
) {
    refuse_value(context, directive, rule.harmless, why);
}

/// Reports a directive that is refused but for its `harmless` values.
pub(crate) fn refuse_value(
    context: &mut Context<'_>,
    directive: &Directive,
    harmless: Harmless,
    why: &str,
) {
    let key = &directive.key;
    let mut problem = Problem::new(format!("`{key}=` is refused: {why}")).label("not available");
    problem = match harmless {
        Harmless::Empty => problem,
        Harmless::False => problem.help(format!("leave it out, or set `{key}=no`")),
        Harmless::True => problem.help(format!("leave it out, or set `{key}=yes`")),
        Harmless::Values(values) => match values.first() {
            Some(value) => problem.help(format!("leave it out, or set `{key}={value}`")),
            None => problem,
        },
    };
    context.sink.error(directive.key_span.clone(), problem);
}
