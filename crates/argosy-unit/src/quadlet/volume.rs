//! `.volume`: a service that makes a volume.

use super::checks::{self, Check};
use super::command::{Arg, Command};
use super::image;
use super::keys::Keys;
use super::made::Made;
use super::names::unquoted;
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::lower::context::Context;

/// Makes the service of a volume; `name` is the volume's.
pub(super) fn make(context: &mut Context<'_>, keys: &Keys<'_>, name: &Arg, made: &mut Made) {
    let mut create = Command::new("ExecStart", &["volume", "create", "--ignore"]);
    let out = &mut create.args;
    keys.emit(context, "Volume", out);
    let from_image = |driver: &Directive| unquoted(driver.value.as_str()) == "image";
    if keys.last("Driver").is_some_and(from_image) {
        out.extend(
            image::source(context, keys, "Volume", made).map(|arg| arg.after("--opt=image=")),
        );
        only_local(context, keys);
    } else {
        local(context, keys, made, out);
    }
    out.push(name.clone());
    made.commands.push(create);
}

/// Reports what a volume from an image cannot have.
fn only_local(context: &mut Context<'_>, keys: &Keys<'_>) {
    for key in ["Copy", "Device", "Type", "User", "Group", "Options"] {
        if let Some(directive) = keys.last(key) {
            let problem = Problem::new(format!("`{key}=` does not go with `Driver=image`"))
                .label("not with Driver=image");
            context.sink.error(directive.key_span.clone(), problem);
        }
    }
}

/// Reads the options of a volume on the machine's disk.
fn local(context: &mut Context<'_>, keys: &Keys<'_>, made: &mut Made, out: &mut Vec<Arg>) {
    if let Some(directive) = keys.last("Image") {
        let problem =
            Problem::new("`Image=` needs `Driver=image`").label("not without Driver=image");
        context.sink.error(directive.key_span.clone(), problem);
    }
    match keys.boolean(context, "Copy") {
        Some(true) => out.push(Arg::plain("--opt=copy")),
        Some(false) => out.push(Arg::plain("--opt=nocopy")),
        None => {}
    }
    let device = keys.value(context, "Device", Check::Any);
    for key in ["Type", "Options"] {
        if let (None, Some(directive)) = (keys.last("Device"), keys.last(key)) {
            let problem = Problem::new(format!("`{key}=` needs `Device=`"))
                .label("there is no Device= in [Volume]");
            context.sink.error(directive.key_span.clone(), problem);
        }
    }
    if let Some(device) = &device {
        out.push(device.arg.clone().after("--opt=device="));
    }
    if let Some(kind) = keys.value(context, "Type", Check::Any) {
        if let (true, Some(device)) = (kind.arg.expanded == "bind", &device) {
            made.mounts.push(device.arg.raw.clone());
        }
        out.push(kind.arg.after("--opt=type="));
    }
    let mut options: Vec<Arg> = Vec::new();
    for (key, option) in [("User", "uid="), ("Group", "gid=")] {
        let found = keys.value(context, key, checks::OWNER).map(|found| found.arg);
        let number = |arg: Arg| if arg.expanded == "root" { Arg::plain("0") } else { arg };
        options.extend(found.map(number).map(|arg| arg.after(option)));
    }
    options.extend(keys.value(context, "Options", Check::Any).map(|found| found.arg));
    let comma = Arg::plain(",");
    let joined = options.into_iter().reduce(|joined, option| joined.before(&comma).before(&option));
    out.extend(joined.map(|options| options.after("--opt=o=")));
}
