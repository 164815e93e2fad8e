//! `Volume=` and `Mount=`: where a container's files come from, and what that binds it to.

use std::ops::Range;

use super::checks::{self, Check};
use super::command::Arg;
use super::keys::{Keys, Placed, part, words};
use super::made::Made;
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::lower::context::{Context, Reported};
use crate::values::is_normal_path;
use crate::words::Escapes;

/// Directories whose content does not outlive a boot, or is no file at all.
const PASSING: [&str; 5] = ["/dev", "/proc", "/sys", "/run", "/var/run"];

/// The sources of mounts that are looked at.
const MOUNT_TYPES: [&str; 4] = ["bind", "volume", "tmpfs", "image"];

/// Where files come from.
struct Source {
    arg: Arg,
    /// Whether it is a path of the machine; else it names a volume or an image.
    is_path: bool,
    /// Whether what is written there stays.
    keeps: bool,
}

/// Reads all of `Volume=`.
pub(super) fn volumes(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    made: &mut Made,
    out: &mut Vec<Arg>,
) {
    for directive in keys.all("Volume") {
        if let Ok(arg) = volume(context, directive, made) {
            out.push(arg.after("--volume="));
        }
    }
}

/// Reads `[SOURCE:]TARGET[:OPTIONS]`.
fn volume(
    context: &mut Context<'_>,
    directive: &Directive,
    made: &mut Made,
) -> Result<Arg, Reported> {
    let text = directive.value.as_str();
    let mut ranges = Vec::new();
    let mut start = 0;
    for piece in text.splitn(3, ':') {
        ranges.push(start..start + piece.len());
        start += piece.len() + 1;
    }
    let target = match ranges.as_slice() {
        [target] => part(context, directive, target.clone(), checks::PATH)?,
        [_, target, ..] => part(context, directive, target.clone(), checks::PATH)?,
        [] => return Err(context.bad_value(directive, "expected [SOURCE:]TARGET[:OPTIONS]")),
    };
    let [source, _, rest @ ..] = ranges.as_slice() else { return Ok(target.arg) };
    let options = match rest {
        [options] => Some(part(context, directive, options.clone(), Check::Any)?),
        _ => None,
    };
    let found = part(context, directive, source.clone(), Check::Any)?;
    let listed = |wanted: &str| {
        let options = options.as_ref().map_or("", |found| found.arg.expanded.as_str());
        options.split(',').any(|option| option == wanted)
    };
    // `O` is an overlay: what is written goes with the container.
    let read_only = listed("ro") || listed("O");
    let source = resolve(context, made, &found, &["volume"])?;
    note_data(made, &source, read_only, &found.span);
    let colon = Arg::plain(":");
    let mut arg = source.arg.before(&colon).before(&target.arg);
    if let Some(options) = options {
        arg = arg.before(&colon).before(&options.arg);
    }
    Ok(arg)
}

/// Reads all of `Mount=`.
pub(super) fn mounts(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    made: &mut Made,
    out: &mut Vec<Arg>,
) {
    for directive in keys.all("Mount") {
        let Ok(found) = words(context, directive, Escapes::Undo, Check::Any) else { continue };
        for word in found {
            if let Ok(arg) = mount(context, &word, made) {
                out.push(arg.after("--mount="));
            }
        }
    }
}

/// Reads `type=TYPE,source=SOURCE,target=TARGET,...`.
fn mount(context: &mut Context<'_>, word: &Placed, made: &mut Made) -> Result<Arg, Reported> {
    let Placed { arg, span } = word;
    let (Some(raw), Some(expanded)) = (csv_fields(&arg.raw), csv_fields(&arg.expanded)) else {
        let problem = Problem::new("a quote in the mount is not where a field begins or ends")
            .help("a field with a comma is quoted as a whole: \\\"target=/a,b\\\"");
        context.sink.error(span.clone(), problem);
        return Err(Reported);
    };
    let mut kind = "volume";
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let mut typed = false;
    for field in raw.iter().map(String::as_str).zip(expanded.iter().map(String::as_str)) {
        match field.0.strip_prefix("type=") {
            Some(name) if !typed => (kind, typed) = (name, true),
            _ => fields.push(field),
        }
    }
    if !MOUNT_TYPES.contains(&kind) {
        let problem = Problem::new(format!("mounts of the type `{kind}` are not available"))
            .label(format!("expected one of {}", MOUNT_TYPES.join(", ")));
        context.sink.error(span.clone(), problem);
        return Err(Reported);
    }
    let has = |names: &[&str]| fields.iter().any(|(_, field)| names.contains(field));
    let read_only = has(&["ro", "readonly", "ro=true", "readonly=true"]);
    let mut out = Arg::plain(&format!("type={kind}"));
    let mut has_source = false;
    for (raw, expanded) in &fields {
        let is_source = raw.starts_with("source=") || raw.starts_with("src=");
        let field = match raw.split_once('=') {
            Some((_, raw)) if is_source && kind != "tmpfs" => {
                let expanded = expanded.split_once('=').map_or("", |(_, value)| value);
                let arg = Arg { raw: raw.to_owned(), expanded: expanded.to_owned() };
                let found = Placed { arg, span: span.clone() };
                let source = resolve(context, made, &found, &["volume", "image"])?;
                if kind != "image" {
                    note_data(made, &source, read_only, span);
                }
                has_source = true;
                source.arg.after("source=")
            }
            _ => Arg { raw: (*raw).to_owned(), expanded: (*expanded).to_owned() },
        };
        let field = Arg { raw: csv_field(&field.raw), expanded: csv_field(&field.expanded) };
        out = out.before(&Arg::plain(",")).before(&field);
    }
    if !has_source && kind != "tmpfs" {
        let problem = Problem::new(format!("a mount of the type `{kind}` needs a source"))
            .label("there is no source=");
        context.sink.error(span.clone(), problem);
        return Err(Reported);
    }
    Ok(out)
}

/// Splits at commas outside of double quotes, as CSV does; `None` if the quotes do not fit.
fn csv_fields(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(mut quoted) = rest.strip_prefix('"') else {
            let (field, after) = rest.split_once(',').map_or((rest, None), |(f, a)| (f, Some(a)));
            if field.contains('"') {
                return None;
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Some(fields),
            }
            continue;
        };
        let mut field = String::new();
        loop {
            let (part, after) = quoted.split_once('"')?;
            field.push_str(part);
            quoted = after;
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    quoted = after;
                }
                None => break,
            }
        }
        fields.push(field);
        match quoted.strip_prefix(',') {
            Some(after) => rest = after,
            None if quoted.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

/// Writes a field so that [`csv_fields`] reads it again.
fn csv_field(text: &str) -> String {
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Finds what a source is: a path, a file of the kinds `files`, or a name.
fn resolve(
    context: &mut Context<'_>,
    made: &mut Made,
    found: &Placed,
    files: &[&str],
) -> Result<Source, Reported> {
    let Placed { arg, span } = found;
    let suffix = arg.raw.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    if arg.raw.starts_with('.') {
        let arg = relative(context, arg, span)?;
        made.mounts.push(arg.raw.clone());
        return Ok(Source { arg, is_path: true, keeps: true });
    }
    if arg.expanded.starts_with('/') {
        if !is_normal_path(&arg.expanded) {
            let problem = Problem::new(format!("`{}` is not a whole path", arg.expanded))
                .help("write it without `..`");
            context.sink.error(span.clone(), problem);
            return Err(Reported);
        }
        if arg.raw.starts_with('/') {
            made.mounts.push(arg.raw.clone());
        }
        return Ok(Source { arg: arg.clone(), is_path: true, keeps: true });
    }
    if files.contains(&suffix) {
        let found = made.need(context, "Requires", arg, span)?;
        let keeps = found.sibling.keeps_data;
        return Ok(Source { arg: found.resource, is_path: false, keeps });
    }
    if suffix == "artifact" {
        let problem = Problem::new("artifacts are not available")
            .help("put the files into an image or a volume");
        context.sink.error(span.clone(), problem);
        return Err(Reported);
    }
    let is_image = files.contains(&"image") && arg.expanded.contains(['/', ':']);
    if !checks::is_name(&arg.expanded) && !is_image && !arg.expanded.contains('$') {
        let problem = Problem::new(format!("`{}` names no volume", arg.expanded))
            .label("expected a path, a volume's name or the name of a Quadlet file");
        context.sink.error(span.clone(), problem);
        return Err(Reported);
    }
    Ok(Source { arg: arg.clone(), is_path: false, keeps: true })
}

/// Makes a path that is relative to the file's directory absolute.
pub(super) fn relative(
    context: &mut Context<'_>,
    path: &Arg,
    span: &Range<usize>,
) -> Result<Arg, Reported> {
    let Some(directory) = context.siblings.and_then(|siblings| siblings.directory()) else {
        let problem = Problem::new(format!("`{}` begins in the directory of this file", path.raw))
            .label("no machine of a cluster has that directory")
            .help("write the whole path; it must be there on every machine that may run the unit");
        context.sink.error(span.clone(), problem);
        return Err(Reported);
    };
    let join = |path: &str| {
        let mut parts: Vec<&str> = Vec::new();
        for part in directory.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    };
    Ok(Arg { raw: join(&path.raw), expanded: join(&path.expanded) })
}

/// Remembers that the unit keeps data on its machine: in a named volume, or where it writes.
fn note_data(made: &mut Made, source: &Source, read_only: bool, span: &Range<usize>) {
    let path = source.arg.expanded.as_str();
    let below = |directory: &&str| {
        path.strip_prefix(*directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let passing = source.is_path && (read_only || PASSING.iter().any(below));
    if source.keeps && !passing && made.data.is_none() {
        let what = if source.is_path { "the directory" } else { "the volume" };
        made.data = Some((span.clone(), format!("{what} `{path}`")));
    }
}
