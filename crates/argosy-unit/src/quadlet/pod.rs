//! `.pod`: a service that holds what the containers of a pod share.

use argosy_model::{ServiceType, UnitName};

use super::checks;
use super::command::{Arg, Command};
use super::keys::Keys;
use super::made::Made;
use super::network;
use super::storage::volumes;
use crate::diagnostic::Problem;
use crate::lower::context::Context;

/// What `StopTimeout=` is without it.
const STOP_SECONDS: &str = "10";

/// Makes the service of the pod `file`; `name` is the pod's.
pub(super) fn make(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    file: &UnitName,
    name: &Arg,
    made: &mut Made,
) {
    let containers = context.siblings.map_or(Vec::new(), |siblings| siblings.containers_of(file));
    for service in containers {
        if service.is_template() {
            let problem =
                Problem::new(format!("the instances of `{service}` do not start with the pod"))
                    .help("start those that are wanted: they start the pod");
            context.sink.note(context.head.clone(), problem);
            continue;
        }
        made.relate("Wants", service.clone());
        made.relate("Before", service);
    }
    let mut create = Command::new("ExecStartPre", &["pod", "create", "--replace"]);
    let out = &mut create.args;
    let policy = keys.value(context, "ExitPolicy", checks::EXIT_POLICY);
    out.push(policy.map_or(Arg::plain("stop"), |found| found.arg).after("--exit-policy="));
    network::join(context, keys, made, out);
    keys.emit(context, "Pod", out);
    volumes(context, keys, made, out);
    out.push(name.clone().after("--name="));

    let mut start = Command::new("ExecStart", &["pod", "start", "--sdnotify=started"]);
    start.args.push(name.clone());
    let seconds = keys.value(context, "StopTimeout", checks::NUMBER);
    let seconds = seconds.map_or(Arg::plain(STOP_SECONDS), |found| found.arg);
    let mut stop = Command::new("ExecStop", &["pod", "stop", "--ignore"]);
    stop.args.extend([seconds.after("--time="), name.clone()]);
    let mut remove = Command::new("ExecStopPost", &["pod", "rm", "--ignore", "--force"]);
    remove.args.push(name.clone());
    made.commands.extend([create, start, stop, remove]);
    made.service.service_type = Some(ServiceType::Notify);
    made.service.notify_all = true;
    made.service.restart_on_failure = true;
}
