//! `[Service]`: how a service ends, is killed and restarted.

use argosy_model::{ExitStatusSet, KillMode, NotifyAccess, RestartPolicy};

use super::context::{Context, place};
use super::service::{ServiceDraft, set};
use crate::diagnostic::Problem;
use crate::exit_status::{ExitStatus, exit_status, signal};
use crate::file::Directive;
use crate::words::Escapes;

const RESTARTS: [(&str, RestartPolicy); 7] = [
    ("no", RestartPolicy::No),
    ("on-success", RestartPolicy::OnSuccess),
    ("on-failure", RestartPolicy::OnFailure),
    ("on-abnormal", RestartPolicy::OnAbnormal),
    ("on-abort", RestartPolicy::OnAbort),
    ("on-watchdog", RestartPolicy::OnWatchdog),
    ("always", RestartPolicy::Always),
];

const KILL_MODES: [(&str, KillMode); 4] = [
    ("control-group", KillMode::ControlGroup),
    ("mixed", KillMode::Mixed),
    ("process", KillMode::Process),
    ("none", KillMode::None),
];

const NOTIFY_ACCESSES: [(&str, NotifyAccess); 4] = [
    ("none", NotifyAccess::None),
    ("main", NotifyAccess::Main),
    ("exec", NotifyAccess::Exec),
    ("all", NotifyAccess::All),
];

impl ServiceDraft {
    /// Takes a directive on restarts, ends and kills.
    pub(super) fn apply_ends(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        let spec = &mut self.spec;
        match directive.key.as_str() {
            "Restart" => {
                set(&mut spec.restart, context.choice(directive, &RESTARTS));
                self.restart = Some(place(directive));
            }
            "SuccessExitStatus" => statuses(&mut spec.success_exit_status, context, directive),
            "RestartPreventExitStatus" => {
                statuses(&mut spec.restart_prevent_exit_status, context, directive);
            }
            "RestartForceExitStatus" => {
                statuses(&mut spec.restart_force_exit_status, context, directive);
                self.restart_force = Some(directive.key_span.clone());
            }
            "RemainAfterExit" => set(&mut spec.remain_after_exit, context.boolean(directive)),
            "NotifyAccess" => {
                set(&mut spec.notify_access, context.choice(directive, &NOTIFY_ACCESSES));
                self.notify_access = Some(place(directive));
            }
            // The one choice that an empty value resets.
            "KillMode" if directive.value.as_str().is_empty() => {
                spec.kill_mode = KillMode::default();
            }
            "KillMode" => {
                set(&mut spec.kill_mode, context.choice(directive, &KILL_MODES));
                if directive.value.as_str() == "none" {
                    let problem = Problem::new("`KillMode=none` leaves processes behind on a stop")
                        .help("KillMode=mixed signals the main process first, then the rest");
                    context.sink.warning(place(directive), problem);
                }
            }
            "KillSignal" => kill_signal(&mut spec.kill_signal, context, directive),
            "FinalKillSignal" => kill_signal(&mut spec.final_kill_signal, context, directive),
            "SendSIGHUP" => set(&mut spec.send_sighup, context.boolean(directive)),
            "SendSIGKILL" => set(&mut spec.send_sigkill, context.boolean(directive)),
            _ => return false,
        }
        true
    }
}

fn kill_signal(field: &mut i32, context: &mut Context<'_>, directive: &Directive) {
    match signal(directive.value.as_str()) {
        Some(number) => *field = number,
        None => {
            context.bad_value(directive, "expected a signal such as SIGTERM or 15");
        }
    }
}

fn statuses(set: &mut ExitStatusSet, context: &mut Context<'_>, directive: &Directive) {
    let value = &directive.value;
    let Ok(words) = context.words(value, Escapes::Undo) else { return };
    if words.is_empty() {
        *set = ExitStatusSet::default();
    }
    for word in words {
        match exit_status(&word.text) {
            Some(ExitStatus::Code(code)) => insert(&mut set.codes, code),
            Some(ExitStatus::Signal(signal)) => insert(&mut set.signals, signal),
            None => context.sink.error(
                value.span(word.span),
                Problem::new(format!("`{}` is no exit status", word.text))
                    .label("expected a code from 0 to 255, its name such as TEMPFAIL, or a signal")
                    .help("they are separated by spaces"),
            ),
        }
    }
}

fn insert<T: Ord>(sorted: &mut Vec<T>, value: T) {
    if let Err(at) = sorted.binary_search(&value) {
        sorted.insert(at, value);
    }
}
