//! `.network`: a service that makes a network; and how containers and pods join one.

use super::checks::{self, Check};
use super::command::{Arg, Command};
use super::keys::{Keys, Placed, whole};
use super::made::Made;
use crate::diagnostic::Problem;
use crate::lower::context::{Context, Reported};

/// Makes the service of a network; `name` is the network's.
pub(super) fn make(context: &mut Context<'_>, keys: &Keys<'_>, name: &Arg, made: &mut Made) {
    let mut create = Command::new("ExecStart", &["network", "create", "--ignore"]);
    keys.emit(context, "Network", &mut create.args);
    subnets(context, keys, &mut create.args);
    create.args.push(name.clone());
    if keys.boolean(context, "NetworkDeleteOnStop") == Some(true) {
        let mut remove = Command::new("ExecStopPost", &["network", "rm"]);
        remove.args.push(name.clone());
        made.commands.push(remove);
    }
    made.commands.push(create);
}

/// Reads the subnets with what belongs to each.
fn subnets(context: &mut Context<'_>, keys: &Keys<'_>, out: &mut Vec<Arg>) {
    let mut list = |key: &str, check: Check| -> Vec<Option<Placed>> {
        keys.all(key).into_iter().map(|directive| whole(context, directive, check)).collect()
    };
    let subnets = list("Subnet", checks::SUBNET);
    let gateways = list("Gateway", checks::IP);
    let ranges = list("IPRange", checks::IP_RANGE);
    for (key, found) in [("Gateway", &gateways), ("IPRange", &ranges)] {
        if found.len() > subnets.len() {
            let extra = keys.all(key)[subnets.len()];
            let problem = match subnets.is_empty() {
                true => Problem::new(format!("`{key}=` needs `Subnet=`")),
                false => Problem::new(format!("there are more `{key}=` than `Subnet=`")),
            };
            context.sink.error(extra.key_span.clone(), problem.label("it has no subnet"));
        }
    }
    for (index, subnet) in subnets.into_iter().enumerate() {
        let mut push = |flag: &str, found: Option<&Placed>| {
            out.extend(found.map(|found| found.arg.clone().after(flag)));
        };
        push("--subnet=", subnet.as_ref());
        push("--gateway=", gateways.get(index).and_then(Option::as_ref));
        push("--ip-range=", ranges.get(index).and_then(Option::as_ref));
    }
}

/// Reads all of `Network=` of a container or a pod.
pub(super) fn join(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    made: &mut Made,
    out: &mut Vec<Arg>,
) {
    for directive in keys.all("Network") {
        let Some(found) = whole(context, directive, Check::Any) else { continue };
        if let Ok(arg) = network(context, found, made) {
            out.push(arg.after("--network="));
        }
    }
    let host = keys.all("Network").into_iter().any(|found| found.value.as_str() == "host");
    let host = host && keys.last("Pod").is_none();
    if let (true, Some(port)) = (host, keys.all("PublishPort").first()) {
        let problem = Problem::new("`PublishPort=` does nothing with `Network=host`")
            .help("the container's ports are the machine's already");
        context.sink.warning(port.key_span.clone(), problem);
    }
}

fn network(context: &mut Context<'_>, found: Placed, made: &mut Made) -> Result<Arg, Reported> {
    let Placed { arg, span } = found;
    let (name, options) = match arg.raw.split_once(':') {
        Some((name, options)) => (name, Some(options)),
        None => (arg.raw.as_str(), None),
    };
    let is_container = name.ends_with(".container");
    if is_container && options.is_some() {
        let problem = Problem::new("another container's network takes no options");
        context.sink.error(span, problem);
        return Err(Reported);
    }
    if is_container || name.ends_with(".network") {
        let file = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        let written = Arg { raw: file(&arg.raw), expanded: file(&arg.expanded) };
        let resource = made.need(context, "Requires", &written, &span)?.resource;
        return Ok(match (is_container, arg.expanded.split_once(':'), options) {
            (true, _, _) => resource.after("container:"),
            (false, Some((_, expanded)), Some(raw)) => {
                let options = Arg { raw: raw.to_owned(), expanded: expanded.to_owned() };
                resource.before(&Arg::plain(":")).before(&options)
            }
            _ => resource,
        });
    }
    let problem = match (name, options) {
        ("slirp4netns" | "pasta", _) => {
            Problem::new(format!("`{name}` is not available: containers are on bridges"))
                .help("leave Network= out, or write Network=host")
        }
        ("host" | "none", Some(_)) => Problem::new(format!("`{name}` takes no options")),
        ("container" | "ns", None | Some("")) => {
            Problem::new(format!("`{name}:` needs a name behind it"))
        }
        ("container" | "ns" | "host" | "none" | "private" | "bridge", _) => return Ok(arg),
        (name, _) if checks::is_name(name) || name.contains(['%', '$']) => return Ok(arg),
        _ => Problem::new(format!("`{name}` names no network")).label(
            "expected host, none, container:NAME, a network's name or the name of a Quadlet file",
        ),
    };
    context.sink.error(span, problem);
    Err(Reported)
}
