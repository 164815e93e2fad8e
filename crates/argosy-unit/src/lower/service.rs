//! `[Service]`: what the supervisor does.

use std::ops::Range;
use std::time::Duration;

use argosy_model::{ServiceSpec, ServiceType, Timeout, WorkingDirectory};

use super::context::{Context, Reported, place};
use super::exec_line::{Placed, commands};
use super::images::{self, ImagesDraft};
use super::streams::StreamsDraft;
use super::{environment, verify};
use crate::UnitFile;
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::specifier::Scope;
use crate::values::{TimeSpan, is_normal_path, is_user_or_group, mode, simple_path, unsigned};

/// What `[Service]` asked for so far, with the places the last checks name.
#[derive(Default)]
pub(super) struct ServiceDraft {
    pub(super) spec: ServiceSpec,
    pub(super) streams: StreamsDraft,
    /// The images that its commands name.
    pub(super) images: ImagesDraft,
    /// `Type=`, with its place.
    pub(super) service_type: Option<(ServiceType, Range<usize>)>,
    /// Whether a time-out for the start was given: only its default depends on the type.
    pub(super) timeout_start_given: bool,
    /// The places of the commands of `ExecStart=`.
    pub(super) exec_start: Vec<Range<usize>>,
    /// Whether a command or a type was refused: what it would have been is not known then.
    pub(super) incomplete: bool,
    /// Whether the commands come from a translation, which knows that there are as many as
    /// the type asks for.
    pub(super) translated: bool,
    /// Whether `WatchdogSec=` asked for notifications; `infinity` does, though it never fires.
    pub(super) watchdog_notifies: bool,
    /// The places of directives that not every type allows.
    pub(super) restart: Option<Range<usize>>,
    pub(super) restart_force: Option<Range<usize>>,
    pub(super) runtime_max: Option<Range<usize>>,
    pub(super) notify_access: Option<Range<usize>>,
}

const TYPES: [(&str, ServiceType); 5] = [
    ("simple", ServiceType::Simple),
    ("exec", ServiceType::Exec),
    ("oneshot", ServiceType::Oneshot),
    ("notify", ServiceType::Notify),
    ("idle", ServiceType::Simple),
];

impl ServiceDraft {
    /// Takes a directive of `[Service]`; tells whether it is one of these.
    pub(super) fn apply(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        self.apply_exec(context, directive)
            || self.apply_times(context, directive)
            || self.apply_ends(context, directive)
            || self.apply_process(context, directive)
            || environment::apply(&mut self.spec, context, directive)
            || self.streams.apply(context, directive)
    }

    fn apply_exec(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        let spec = &mut self.spec;
        let list = match directive.key.as_str() {
            "Type" => {
                self.service_type(context, directive);
                return true;
            }
            "ExecCondition" => &mut spec.exec_condition,
            "ExecStartPre" => &mut spec.exec_start_pre,
            "ExecStart" => &mut spec.exec_start,
            "ExecStartPost" => &mut spec.exec_start_post,
            "ExecReload" => &mut spec.exec_reload,
            "ExecStop" => &mut spec.exec_stop,
            "ExecStopPost" => &mut spec.exec_stop_post,
            _ => return false,
        };
        let is_start = directive.key == "ExecStart";
        let images = match directive.key.as_str() {
            "ExecStart" => Some(&mut self.images.start),
            "ExecStartPre" => Some(&mut self.images.before),
            _ => None,
        };
        let Ok(commands) = commands(context, directive) else {
            self.incomplete |= is_start;
            return true;
        };
        if let Some(images) = images {
            if commands.is_empty() {
                images.clear();
            }
            images.extend(commands.iter().map(|it| images::of_command(&it.command, &it.varies)));
        }
        if commands.is_empty() {
            list.clear();
            if is_start {
                self.exec_start.clear();
            }
        }
        for Placed { command, span, .. } in commands {
            list.push(command);
            if is_start {
                self.exec_start.push(span);
            }
        }
        true
    }

    fn service_type(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let value = directive.value.as_str();
        let help = match value {
            "forking" => "run the program in the foreground and use Type=simple or Type=notify",
            "dbus" => "there is no bus of its own here; use Type=notify or Type=exec",
            "notify-reload" => "use Type=notify and ExecReload=",
            _ => "",
        };
        if !help.is_empty() {
            self.incomplete = true;
            context.sink.error(
                place(directive),
                Problem::new(format!("`Type={value}` is not available"))
                    .label("refused")
                    .help(help),
            );
            return;
        }
        match context.choice(directive, &TYPES) {
            Ok(service_type) => self.service_type = Some((service_type, place(directive))),
            Err(_) => self.incomplete = true,
        }
        if value == "idle" {
            let problem = Problem::new("`Type=idle` starts at once, as Type=simple does");
            context.sink.note(place(directive), problem);
        }
    }

    fn apply_times(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        let key = directive.key.as_str();
        if !matches!(
            key,
            "RestartSec"
                | "TimeoutSec"
                | "TimeoutStartSec"
                | "TimeoutStopSec"
                | "RuntimeMaxSec"
                | "WatchdogSec"
        ) {
            return false;
        }
        let Ok(time) = context.time(directive) else { return true };
        let spec = &mut self.spec;
        match key {
            "RestartSec" if time == TimeSpan::Infinity => {
                let problem = Problem::new("`RestartSec=infinity` would never restart")
                    .help("write Restart=no for that");
                context.sink.error(place(directive), problem);
            }
            "RestartSec" => spec.restart_delay = time.duration(),
            "RuntimeMaxSec" => {
                spec.runtime_max = match time {
                    TimeSpan::Infinity => Timeout::Never,
                    time => Timeout::After(time.duration()),
                };
                self.runtime_max = Some(directive.key_span.clone());
            }
            "WatchdogSec" => {
                spec.watchdog = timeout(time);
                self.watchdog_notifies = time != TimeSpan::Micros(0);
            }
            "TimeoutStopSec" => spec.timeout_stop = timeout(time),
            key => {
                spec.timeout_start = timeout(time);
                self.timeout_start_given = true;
                if key == "TimeoutSec" {
                    spec.timeout_stop = timeout(time);
                }
            }
        }
        true
    }

    /// Takes a directive on the process itself.
    fn apply_process(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        let spec = &mut self.spec;
        match directive.key.as_str() {
            "WorkingDirectory" => working_directory(spec, context, directive),
            "User" => {
                identity(&mut spec.user, context, directive, "expected a user's name or number")
            }
            "Group" => {
                identity(&mut spec.group, context, directive, "expected a group's name or number");
            }
            "UMask" => match mode(directive.value.as_str()) {
                Some(umask) => spec.umask = umask,
                None => {
                    context.bad_value(directive, "expected octal digits such as 0022");
                }
            },
            "SyslogIdentifier" => {
                if let Ok(text) = context.text(directive, Scope::Machine) {
                    spec.syslog_identifier = Some(text).filter(|text| !text.is_empty());
                }
            }
            _ => return false,
        }
        true
    }

    /// Takes a directive on the start limit, of `[Unit]` or, by an older custom, `[Service]`.
    pub(super) fn apply_start_limit(
        &mut self,
        context: &mut Context<'_>,
        directive: &Directive,
    ) -> bool {
        match directive.key.as_str() {
            "StartLimitIntervalSec" | "StartLimitInterval" => {
                let interval = context.time(directive).map(TimeSpan::duration);
                set::<Duration>(&mut self.spec.start_limit_interval, interval);
            }
            "StartLimitBurst" => match unsigned(directive.value.as_str()) {
                Some(burst) => self.spec.start_limit_burst = burst,
                None => {
                    context.bad_value(directive, "expected a number, 0 for no limit");
                }
            },
            _ => return false,
        }
        true
    }

    /// Fills in what depends on several directives, and checks it.
    pub(super) fn finish(self, context: &mut Context<'_>, file: &UnitFile) -> ServiceSpec {
        verify::finish(self, context, file)
    }
}

/// Takes a value unless it was reported.
pub(super) fn set<T>(field: &mut T, value: Result<T, Reported>) {
    if let Ok(value) = value {
        *field = value;
    }
}

/// A time-out that 0 and `infinity` switch off.
fn timeout(time: TimeSpan) -> Timeout {
    match time {
        TimeSpan::Micros(0) | TimeSpan::Infinity => Timeout::Never,
        time => Timeout::After(time.duration()),
    }
}

fn working_directory(spec: &mut ServiceSpec, context: &mut Context<'_>, directive: &Directive) {
    let Ok(text) = context.text(directive, Scope::Machine) else { return };
    if text.is_empty() {
        spec.working_directory = None;
        return;
    }
    let path = text.strip_prefix('-').unwrap_or(&text);
    let missing_ok = path.len() < text.len();
    if path != "~" && !is_normal_path(path) {
        context.bad_value(
            directive,
            "expected an absolute path or `~`, after `-` if it may be missing",
        );
        return;
    }
    let path = if path == "~" { path.to_owned() } else { simple_path(path) };
    spec.working_directory = Some(WorkingDirectory { path, missing_ok });
}

fn identity(
    field: &mut Option<String>,
    context: &mut Context<'_>,
    directive: &Directive,
    expected: &str,
) {
    let Ok(text) = context.text(directive, Scope::Machine) else { return };
    if text.is_empty() {
        *field = None;
    } else if is_user_or_group(&text) {
        *field = Some(text);
    } else {
        context.bad_value(directive, expected);
    }
}
