//! `.pod`: a service that holds what the containers of a pod share.

use argosy_model::{DataPolicy, ServiceType, UnitName};

use super::command::{Arg, Command};
use super::keys::Keys;
use super::made::Made;
use super::storage::volumes;
use super::{Siblings, checks, network, translate_mentions};
use crate::UnitFile;
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::lower::context::Context;
use crate::values::boolean;

/// What `StopTimeout=` is without it.
const STOP_SECONDS: &str = "10";

/// Keys of `[Pod]` that are translated and that the engine does not have.
const NOT_RUN: [&str; 6] = ["IP6", "UserNS", "UIDMap", "GIDMap", "SubUIDMap", "SubGIDMap"];

/// What says where a container runs. A pod says it for all of its own.
const PLACEMENT: [&str; 10] = [
    "MachineID",
    "MachineOf",
    "MachineMetadata",
    "Conflicts",
    "Global",
    "OnPartition",
    "X-ConditionMachineID",
    "X-ConditionMachineMetadata",
    "X-ConditionMachineOf",
    "X-Conflicts",
];

/// Refuses what a container of a pod may not say of its machine.
pub(super) fn check_member(context: &mut Context<'_>, file: &UnitFile) {
    let placed = |it: &&Directive| {
        matches!(it.section.as_str(), "X-Fleet" | "X-Argosy")
            && PLACEMENT.contains(&it.key.as_str())
            && !it.value.as_str().is_empty()
    };
    for directive in file.directives().filter(placed) {
        let Directive { section, key, key_span, .. } = directive;
        let problem = Problem::new(format!("`{key}=` does not go with `Pod=`"))
            .label("the pod decides where its containers run")
            .help(format!("write it into [{section}] of the `.pod` file"));
        context.sink.error(key_span.clone(), problem);
    }
}

/// Tells whether a pod is ended where a machine is cut off; its containers then are, too.
pub(super) fn stops_on_partition(pod: &UnitFile) -> bool {
    pod.last_value("X-Argosy", "OnPartition") == Some("stop")
}

/// Refuses what is not there yet of a pod that is to run.
fn check_run(context: &mut Context<'_>, keys: &Keys<'_>, file: &UnitFile) {
    for directive in NOT_RUN.iter().filter_map(|key| keys.last(key)) {
        if directive.key == "UserNS" && directive.value.as_str() == "host" {
            continue;
        }
        let problem = Problem::new(format!("`{}=` of a pod is not run yet", directive.key))
            .label("it can only be verified");
        context.sink.error(directive.key_span.clone(), problem);
    }
    let is_global = |it: &&Directive| {
        it.section == "X-Fleet" && it.key == "Global" && boolean(it.value.as_str()) == Some(true)
    };
    if let Some(directive) = file.directives().find(is_global) {
        let problem = Problem::new("a pod on every machine is not there yet")
            .help("make a template of the pod and its containers, with Replicas=");
        context.sink.error(directive.key_span.clone(), problem);
    }
}

/// Binds a pod to the machine on which a container of it keeps data: that one could not follow it.
fn follow_data(context: &mut Context<'_>, siblings: &Siblings, file: &UnitName, made: &mut Made) {
    for (name, member) in siblings.members_of(file) {
        let found = translate_mentions(member, name, context.specifiers, siblings);
        let is_bound = found.translated.is_some_and(|it| {
            it.spec.placement.keeps_data && it.spec.placement.data == DataPolicy::Local
        });
        if is_bound && made.data.is_none() {
            made.data = Some((context.head.clone(), format!("the data of `{name}`")));
        }
    }
}

/// Returns the container of a template that belongs to an instance of a pod, and how it is written.
fn same_instance(pod: &UnitName, container: &UnitName) -> Option<(UnitName, String)> {
    let (instance, written) = match pod.is_template() {
        // It is checked as its first.
        true => ("1", "%i"),
        false => (pod.instance()?, pod.instance()?),
    };
    let unit = container.with_instance(instance).ok()?;
    Some((unit, format!("{}@{written}.service", container.prefix())))
}

/// Makes the service of the pod `name`; its resource is called `resource`.
pub(super) fn make(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    (file, name): (&UnitFile, &UnitName),
    resource: &Arg,
    made: &mut Made,
) {
    if let Some(siblings) = context.siblings.filter(|it| it.are_joined()) {
        check_run(context, keys, file);
        follow_data(context, siblings, name, made);
    }
    let containers = context.siblings.map_or(Vec::new(), |siblings| siblings.containers_of(name));
    for service in containers {
        if service.is_template() {
            if let Some((unit, raw)) = same_instance(context.name, &service) {
                made.relate_as("Wants", unit.clone(), raw.clone());
                made.relate_as("Before", unit, raw);
                continue;
            }
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
    out.push(resource.clone().after("--name="));

    let mut start = Command::new("ExecStart", &["pod", "start", "--sdnotify=started"]);
    start.args.push(resource.clone());
    let seconds = keys.value(context, "StopTimeout", checks::NUMBER);
    let seconds = seconds.map_or(Arg::plain(STOP_SECONDS), |found| found.arg);
    let mut stop = Command::new("ExecStop", &["pod", "stop", "--ignore"]);
    stop.args.extend([seconds.after("--time="), resource.clone()]);
    let mut remove = Command::new("ExecStopPost", &["pod", "rm", "--ignore", "--force"]);
    remove.args.push(resource.clone());
    made.commands.extend([create, start, stop, remove]);
    made.service.service_type = Some(ServiceType::Notify);
    made.service.notify_all = true;
    made.service.restart_on_failure = true;
}
