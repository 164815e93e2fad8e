//! What must hold between the directives of a service, as systemd verifies it on load.

use std::ops::Range;

use argosy_model::{NotifyAccess, RestartPolicy, ServiceSpec, ServiceType, Timeout};

use super::context::Context;
use super::service::ServiceDraft;
use crate::UnitFile;
use crate::diagnostic::Problem;

/// Fills in the defaults that depend on other directives, and checks the whole.
pub(super) fn finish(
    mut draft: ServiceDraft,
    context: &mut Context<'_>,
    file: &UnitFile,
) -> ServiceSpec {
    let service_type = match draft.service_type {
        Some((service_type, _)) => service_type,
        // Without Type=, a service that starts nothing is a oneshot (systemd.service(5)).
        None if draft.spec.exec_start.is_empty() && !draft.incomplete => ServiceType::Oneshot,
        None => ServiceType::Simple,
    };
    draft.spec.service_type = service_type;
    let known =
        !draft.incomplete && (draft.translated || commands(&draft, context, service_section(file)));
    if service_type == ServiceType::Oneshot {
        if known {
            oneshot(&draft, context);
        }
        if !draft.timeout_start_given {
            draft.spec.timeout_start = Timeout::Never;
        }
    }
    let needs_notify = service_type == ServiceType::Notify || draft.watchdog_notifies;
    if needs_notify && draft.spec.notify_access == NotifyAccess::None {
        if let Some(span) = &draft.notify_access {
            context.sink.note(
                span.clone(),
                Problem::new("Type=notify and WatchdogSec= need notifications: it becomes `main`"),
            );
        }
        draft.spec.notify_access = NotifyAccess::Main;
    }
    let ServiceDraft { mut spec, streams, .. } = draft;
    streams.finish(&mut spec, context);
    spec
}

/// Returns the place of `[Service]`'s name; none if there is no such section.
fn service_section(file: &UnitFile) -> Option<Range<usize>> {
    file.headers().find(|(name, _)| *name == "Service").map(|(_, span)| span)
}

/// Checks that there is as much to run as the type asks for; tells whether there is.
fn commands(
    draft: &ServiceDraft,
    context: &mut Context<'_>,
    section: Option<Range<usize>>,
) -> bool {
    let Some(section) = section else {
        context.sink.error(
            0..0,
            Problem::new("there is no [Service] section")
                .help("a `.service` file says in [Service] what to run, by ExecStart="),
        );
        return false;
    };
    let spec = &draft.spec;
    let oneshot = spec.service_type == ServiceType::Oneshot;
    if spec.exec_start.is_empty() {
        let problem = if !oneshot {
            Problem::new("there is no ExecStart=, which only Type=oneshot allows")
        } else if spec.exec_stop.is_empty() {
            Problem::new("there is neither ExecStart= nor ExecStop=: there is nothing to run")
        } else if !spec.remain_after_exit {
            Problem::new("without ExecStart=, RemainAfterExit=yes is needed")
                .help("ExecStop= runs when a unit that remained active is stopped")
        } else {
            return true;
        };
        context.sink.error(section, problem.label("this section has no ExecStart="));
        return false;
    }
    if let ([_, second, ..], false) = (draft.exec_start.as_slice(), oneshot) {
        context.sink.error(
            second.clone(),
            Problem::new("more than one ExecStart= command, which only Type=oneshot allows")
                .label("the second command")
                .help("write Type=oneshot, or an empty ExecStart= before it to replace the first"),
        );
        return false;
    }
    true
}

/// Checks what does not go with `Type=oneshot`.
fn oneshot(draft: &ServiceDraft, context: &mut Context<'_>) {
    let spec = &draft.spec;
    if let (RestartPolicy::Always | RestartPolicy::OnSuccess, Some(span)) =
        (spec.restart, &draft.restart)
    {
        context.sink.error(
            span.clone(),
            Problem::new("a Type=oneshot service cannot be restarted after success")
                .label("not with Type=oneshot")
                .help("use Restart=on-failure"),
        );
    }
    let forced = &spec.restart_force_exit_status;
    if let (false, Some(span)) =
        (forced.codes.is_empty() && forced.signals.is_empty(), &draft.restart_force)
    {
        let problem = Problem::new("`RestartForceExitStatus=` does not go with Type=oneshot");
        context.sink.error(span.clone(), problem);
    }
    if let (Timeout::After(_), Some(span)) = (spec.runtime_max, &draft.runtime_max) {
        let problem = Problem::new("`RuntimeMaxSec=` has no effect with Type=oneshot")
            .help("TimeoutStartSec= limits how long its commands may run");
        context.sink.warning(span.clone(), problem);
    }
}
