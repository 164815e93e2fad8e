//! `[Service]` of a Quadlet file: what it may say, and what it says without being asked.

use std::time::Duration;

use argosy_model::{ServiceType, Timeout};

use super::keys::Keys;
use super::names::{QuadletKind, unquoted};
use crate::UnitFile;
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::lower::context::{Context, place};
use crate::values::boolean;

/// What a translation says in `[Service]` beside its commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MadeService {
    /// `Type=`.
    pub service_type: Option<ServiceType>,
    /// `NotifyAccess=all`.
    pub notify_all: bool,
    /// `KillMode=mixed`.
    pub kill_mixed: bool,
    /// `Delegate=yes`.
    pub delegate: bool,
    /// `SyslogIdentifier=%N`.
    pub syslog_identifier: bool,
    /// `RemainAfterExit=yes`.
    pub remain_after_exit: bool,
    /// `Restart=on-failure`.
    pub restart_on_failure: bool,
}

/// Looks at a directive of `[Service]` that a translation writes itself. Tells whether it is
/// done with: what is accepted then stands in the translation anyway.
pub(super) fn guard(context: &mut Context<'_>, kind: QuadletKind, directive: &Directive) -> bool {
    let value = directive.value.as_str();
    let section = kind.section();
    let runs = matches!(kind, QuadletKind::Container | QuadletKind::Pod);
    match directive.key.as_str() {
        _ if value.is_empty() => false,
        "ExecStart" => {
            let help = match kind {
                QuadletKind::Container => "Exec= in [Container] is what the container runs",
                _ => "ExecStartPre= and ExecStartPost= run before and after it",
            };
            refuse(context, directive, &format!("[{section}] says what is started"), help)
        }
        "User" | "Group" | "DynamicUser" if boolean(value) != Some(false) => {
            let help = match kind {
                QuadletKind::Container => "User= in [Container] is the user inside the container",
                _ => "leave it out",
            };
            refuse(context, directive, "the engine needs root", help)
        }
        "Type" if kind == QuadletKind::Container => match value {
            "notify" => true,
            "oneshot" => false,
            _ => refuse(context, directive, "a container is `notify` or `oneshot`", ""),
        },
        "Type" if kind == QuadletKind::Pod => match value {
            "notify" | "forking" => true,
            _ => refuse(context, directive, "a pod is `notify`", "leave it out"),
        },
        "NotifyAccess" if runs => {
            if value != "all" {
                let problem = Problem::new("`NotifyAccess=` becomes `all`")
                    .help("the engine speaks for the container");
                context.sink.note(place(directive), problem);
            }
            true
        }
        "Restart" if kind == QuadletKind::Pod => match value {
            "on-failure" => true,
            _ => refuse(context, directive, "a pod is restarted on failure", "leave it out"),
        },
        "KillMode" if kind == QuadletKind::Container => match value {
            "mixed" | "control-group" => false,
            _ => {
                let why = "a container is ended by `mixed` or `control-group`";
                refuse(context, directive, why, "leave it out for `mixed`")
            }
        },
        "Delegate" if kind == QuadletKind::Container => match boolean(value) {
            Some(false) => {
                let why = "a container has control groups below its unit's";
                refuse(context, directive, why, "leave it out")
            }
            _ => true,
        },
        _ => false,
    }
}

fn refuse(context: &mut Context<'_>, directive: &Directive, why: &str, help: &str) -> bool {
    let key = &directive.key;
    let mut problem = Problem::new(format!("`{key}=` is refused: {why}")).label("not here");
    if !help.is_empty() {
        problem = problem.help(help);
    }
    context.sink.error(directive.key_span.clone(), problem);
    true
}

/// Warns if the supervisor kills what is still told to end.
pub(super) fn stops_in_time(
    context: &mut Context<'_>,
    keys: &Keys<'_>,
    kind: QuadletKind,
    limit: Timeout,
) {
    let Some(directive) = keys.last("StopTimeout") else { return };
    let seconds = unquoted(directive.value.as_str()).parse().ok().map(Duration::from_secs);
    let (Some(stop), Timeout::After(limit)) = (seconds, limit) else { return };
    if stop >= limit {
        let what = if kind == QuadletKind::Pod { "pod" } else { "container" };
        let problem =
            Problem::new(format!("the unit is killed before the {what} may take so long"))
                .label(format!("TimeoutStopSec= is {} s", limit.as_secs()))
                .help("write a longer TimeoutStopSec= in [Service]");
        context.sink.warning(directive.value.full_span(), problem);
    }
}

/// Fills in the defaults that depend on what the file says.
pub(super) fn defaults(file: &UnitFile, kind: QuadletKind, made: &mut MadeService) {
    let says = |key: &str| file.last_value("Service", key).is_some();
    made.syslog_identifier = !says("SyslogIdentifier");
    match kind {
        QuadletKind::Container => made.kill_mixed = !says("KillMode"),
        QuadletKind::Pod => {}
        QuadletKind::Volume | QuadletKind::Network | QuadletKind::Image => {
            if !says("Type") {
                made.service_type = Some(ServiceType::Oneshot);
            }
            made.remain_after_exit = !says("RemainAfterExit");
        }
    }
}
