//! `.image`: a service that pulls an image; and where others name an image.

use super::checks::Check;
use super::command::{Arg, Command};
use super::keys::{Keys, Placed};
use super::made::Made;
use crate::diagnostic::Problem;
use crate::lower::context::Context;

/// How podman names where an image comes from, if not from a registry.
const TRANSPORTS: [&str; 6] =
    ["containers-storage:", "dir:", "docker-archive:", "docker-daemon:", "oci-archive:", "oci:"];

/// Makes the service of an image.
pub(super) fn make(context: &mut Context<'_>, keys: &Keys<'_>, made: &mut Made) {
    let mut pull = Command::new("ExecStart", &["image", "pull"]);
    keys.emit(context, "Image", &mut pull.args);
    if let Some(directive) = keys.last("Creds") {
        let problem = Problem::new("whoever may read the unit can read these credentials")
            .help("AuthFile= names a file that only root may read");
        context.sink.warning(directive.key_span.clone(), problem);
    }
    pull.args.extend(source(context, keys, "Image", made));
    made.commands.push(pull);
}

/// Reads `Image=`: an image, or the `.image` file that pulls it.
pub(super) fn source(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    section: &str,
    made: &mut Made,
) -> Option<Arg> {
    let Some(directive) = keys.last("Image") else {
        if keys.refused("Rootfs") {
            return None;
        }
        let at = keys.present("Image").map_or(context.head.clone(), |found| found.key_span.clone());
        let problem = Problem::new(format!("[{section}] needs `Image=`"))
            .label("nothing says which image")
            .help("for example Image=docker.io/library/busybox:latest");
        context.sink.error(at, problem);
        return None;
    };
    let Placed { arg, span } = super::keys::single(context, directive, Check::Any).ok()?;
    let text = arg.expanded.as_str();
    if text.ends_with(".build") {
        let problem = Problem::new("images are not built here")
            .help("build it elsewhere, push it to a registry, and name it in Image=");
        context.sink.error(span, problem);
        return None;
    }
    if text.ends_with(".image") {
        if section == "Image" {
            let problem = Problem::new("an `.image` file names an image, not another file");
            context.sink.error(span, problem);
            return None;
        }
        return made.need(context, "Requires", &arg, &span).ok().map(|image| image.resource);
    }
    if let Some(transport) = TRANSPORTS.iter().find(|transport| text.starts_with(**transport)) {
        let problem =
            Problem::new(format!("`{transport}` is not available: images come from registries"))
                .help("load the archive first (`argosy image load`), and name the image it holds");
        context.sink.error(span, problem);
        return None;
    }
    if text.starts_with('-') || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        context.bad_value(directive, "expected the name of an image");
        return None;
    }
    if !names_registry(text) && !text.contains('$') {
        let problem = Problem::new(format!("`{text}` names no registry"))
            .label("which one is meant is up to the machine")
            .help(match text.contains('/') {
                true => format!("for example docker.io/{text}"),
                false => format!("for example docker.io/library/{text}"),
            });
        context.sink.warning(span, problem);
    }
    Some(arg)
}

/// Tells whether an image's name says where it comes from, or is an id.
fn names_registry(text: &str) -> bool {
    let is_id = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let registry = text.split_once('/').map(|(registry, _)| registry);
    is_id
        || text.starts_with("sha256:")
        || registry.is_some_and(|host| host.contains(['.', ':']) || host == "localhost")
}
