//! `.container`: a service that runs one container.

use argosy_model::ServiceType;

use super::Siblings;
use super::checks::{self, Check};
use super::command::{Arg, Command};
use super::keys::{Keys, Placed, single, words};
use super::made::Made;
use super::storage::{mounts, relative, volumes};
use super::{image, network, pod};
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::lower::context::{Context, place};
use crate::words::Escapes;

/// Makes the service of a container; `name` is the container's.
pub(super) fn make(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    oneshot: bool,
    name: &Arg,
    made: &mut Made,
) {
    let mut run = Command::new("ExecStart", &["container", "run"]);
    let out = &mut run.args;
    out.push(name.clone().after("--name="));
    out.extend(["--replace", "--rm"].map(Arg::plain));
    if oneshot {
        useless(context, keys.last("Notify"), "with Type=oneshot");
    } else {
        out.push(Arg::plain(&format!("--sdnotify={}", notify(context, keys))));
        made.service.service_type = Some(ServiceType::Notify);
        made.service.notify_all = true;
    }
    // systemd has to be told that the engine makes control groups of its own; ours knows.
    made.service.delegate = !context.siblings.is_some_and(Siblings::are_joined);
    in_pod(context, keys, made, out);
    network::join(context, keys, made, out);
    keys.emit(context, "Container", out);
    if let Some(directive) = keys.present("Entrypoint")
        && let Ok(found) = single(context, directive, Check::Any)
    {
        out.push(found.arg.after("--entrypoint="));
    }
    user(context, keys, out);
    environment_files(context, keys, out);
    devices(context, keys, out);
    volumes(context, keys, made, out);
    mounts(context, keys, made, out);
    out.extend(image::source(context, keys, "Container", made));
    if let Some(directive) = keys.present("Exec") {
        let found = words(context, directive, Escapes::Undo, Check::Any).unwrap_or_default();
        out.extend(found.into_iter().map(|word| word.arg));
    }
    remove(name, made);
    reload(context, keys, name, made);
    made.commands.push(run);
}

/// Reads `Notify=`: who says that the container has started.
fn notify(context: &mut Context<'_>, keys: &Keys<'_>) -> &'static str {
    let Some(directive) = keys.last("Notify") else { return "started" };
    let value = directive.value.as_str();
    if value.eq_ignore_ascii_case("healthy") {
        if keys.last("HealthCmd").is_none() {
            let problem = Problem::new("`Notify=healthy` needs a health check")
                .help("HealthCmd= is such, if the image has none of its own");
            context.sink.warning(place(directive), problem);
        }
        return "healthy";
    }
    match crate::values::boolean(value) {
        Some(true) => "container",
        Some(false) => "started",
        None => {
            context.bad_value(directive, "expected yes, no or healthy");
            "started"
        }
    }
}

fn in_pod(context: &mut Context<'_>, keys: &Keys<'_>, made: &mut Made, out: &mut Vec<Arg>) {
    let with_pod = keys.boolean(context, "StartWithPod");
    let Some(directive) = keys.last("Pod") else {
        useless(context, keys.last("StartWithPod").filter(|_| with_pod.is_some()), "without Pod=");
        return;
    };
    let Ok(Placed { arg, span }) = single(context, directive, Check::Any) else { return };
    if !arg.raw.ends_with(".pod") {
        context.bad_value(directive, "expected the name of a `.pod` file");
        return;
    }
    // Podman's generator lets these pass, and podman refuses them.
    let at_start: &[&str] = match context.siblings.is_some_and(Siblings::are_joined) {
        true => &["HostName", "AddHost", "DNS", "DNSOption", "DNSSearch", "UIDMap", "GIDMap"],
        false => &[],
    };
    for key in ["Network", "NetworkAlias", "IP", "IP6", "PublishPort"].iter().chain(at_start) {
        for directive in keys.all(key) {
            let problem = Problem::new(format!("`{key}=` does not go with `Pod=`"))
                .label("not with Pod=")
                .help(format!("the containers of a pod share its network: `{key}=` of [Pod]"));
            context.sink.error(directive.key_span.clone(), problem);
        }
    }
    if let Ok(found) = made.need(context, "BindsTo", &arg, &span) {
        let siblings = context.siblings.filter(|it| it.are_joined());
        made.stops_on_partition = siblings
            .and_then(|siblings| siblings.file(found.name()))
            .is_some_and(pod::stops_on_partition);
        out.push(found.resource.after("--pod="));
    }
}

/// Warns of a key that says nothing here.
fn useless(context: &mut Context<'_>, directive: Option<&Directive>, why: &str) {
    if let Some(directive) = directive {
        let problem = Problem::new(format!("`{}=` does nothing {why}", directive.key));
        context.sink.warning(directive.key_span.clone(), problem);
    }
}

fn user(context: &mut Context<'_>, keys: &Keys<'_>, out: &mut Vec<Arg>) {
    let group = keys.value(context, "Group", Check::Any);
    match (keys.value(context, "User", Check::Any), group) {
        (Some(user), Some(group)) => {
            let user = user.arg.before(&Arg::plain(":")).before(&group.arg);
            out.push(user.after("--user="));
        }
        (Some(user), None) => out.push(user.arg.after("--user=")),
        (None, Some(group)) if keys.last("User").is_none() => {
            let problem =
                Problem::new("`Group=` needs `User=`").label("there is no User= in [Container]");
            context.sink.error(group.span, problem);
        }
        (None, _) => {}
    }
}

fn environment_files(context: &mut Context<'_>, keys: &Keys<'_>, out: &mut Vec<Arg>) {
    for found in keys.words(context, "EnvironmentFile", Escapes::Undo, Check::Any) {
        let Placed { arg, span } = found;
        // A specifier at the front is taken to stand for a whole path.
        let whole =
            arg.raw.starts_with('/') || (arg.raw.starts_with('%') && !arg.raw.starts_with("%%"));
        let path = if whole { Ok(arg) } else { relative(context, &arg, &span) };
        out.extend(path.ok().map(|path| path.after("--env-file=")));
    }
}

fn devices(context: &mut Context<'_>, keys: &Keys<'_>, out: &mut Vec<Arg>) {
    for Placed { arg, span } in keys.words(context, "AddDevice", Escapes::Keep, Check::Any) {
        let optional = arg.raw.starts_with('-');
        let (flag, arg) = match optional {
            true => {
                let rest = |text: &str| text.strip_prefix('-').unwrap_or(text).to_owned();
                let arg = Arg { raw: rest(&arg.raw), expanded: rest(&arg.expanded) };
                ("--optional-device=", arg)
            }
            false => ("--device=", arg),
        };
        if !arg.expanded.starts_with(['/', '$']) {
            let problem = Problem::new(format!("`{}` is no device", arg.expanded))
                .label("expected /dev/NAME[:TARGET][:rwm]");
            context.sink.error(span, problem);
            continue;
        }
        out.push(arg.after(flag));
    }
}

/// Removes the container after its end, whatever the end was.
fn remove(name: &Arg, made: &mut Made) {
    // By the container's own signal and in its own time.
    let mut stop = Command::new("ExecStop", &["container", "stop", "--ignore"]);
    let words = ["container", "rm", "--force", "--ignore", "--volumes"];
    stop.args.push(name.clone());
    let mut post = Command::new("ExecStopPost", &words);
    post.args.push(name.clone());
    post.ignore_failure = true;
    made.commands.extend([stop, post]);
}

fn reload(context: &mut Context<'_>, keys: &Keys<'_>, name: &Arg, made: &mut Made) {
    let signal = keys.value(context, "ReloadSignal", checks::SIGNAL);
    let Some(directive) = keys.last("ReloadCmd") else {
        if let Some(signal) = signal {
            let mut kill = Command::new("ExecReload", &["container", "kill"]);
            kill.args.extend([signal.arg.after("--signal="), name.clone()]);
            made.commands.push(kill);
        }
        return;
    };
    if signal.is_some() {
        let problem = Problem::new("`ReloadCmd=` does not go with `ReloadSignal=`")
            .label("not with ReloadSignal=");
        context.sink.error(directive.key_span.clone(), problem);
    }
    let found = words(context, directive, Escapes::Undo, Check::Any).unwrap_or_default();
    let mut exec = Command::new("ExecReload", &["container", "exec"]);
    exec.args.push(name.clone());
    exec.args.extend(found.into_iter().map(|word| word.arg));
    made.commands.push(exec);
}
