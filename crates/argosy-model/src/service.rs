//! What a `.service` unit asks of a supervisor (systemd.service(5), .exec(5), .kill(5)).

use std::time::Duration;

use crate::{ExecCommand, Timeout};

/// `Type=`: when a service counts as started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceType {
    /// As soon as the process exists.
    #[default]
    Simple,
    /// As soon as the program has been executed.
    Exec,
    /// When the last command has exited.
    Oneshot,
    /// When the service says `READY=1`.
    Notify,
}

/// `Restart=`: after which ends a service is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After a clean exit only.
    OnSuccess,
    /// After any unclean end.
    OnFailure,
    /// After a signal, core dump, time-out or watchdog.
    OnAbnormal,
    /// After an uncaught signal or core dump.
    OnAbort,
    /// After a watchdog time-out only.
    OnWatchdog,
    /// After every end that was not asked for.
    Always,
}

/// `KillMode=`: which processes a stop signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KillMode {
    /// Every process of the unit.
    #[default]
    ControlGroup,
    /// SIGTERM to the main process, SIGKILL to all that remain.
    Mixed,
    /// The main process only.
    Process,
    /// None: only `ExecStop=` runs.
    None,
}

/// `NotifyAccess=`: whose notifications count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotifyAccess {
    /// Nobody's.
    #[default]
    None,
    /// The main process's.
    Main,
    /// The main and control processes'.
    Exec,
    /// Any process's of the unit.
    All,
}

/// `StandardInput=`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StandardInput {
    /// `/dev/null`.
    #[default]
    Null,
    /// A file, opened for reading.
    File(String),
    /// The bytes given by `StandardInputText=` or `StandardInputData=`.
    Data(Vec<u8>),
}

/// `StandardOutput=` and `StandardError=`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StandardOutput {
    /// Lines into the journal.
    #[default]
    Journal,
    /// Thrown away.
    Null,
    /// Standard error: the same as standard output.
    Inherit,
    /// A file, written from its beginning.
    File(String),
    /// A file, written at its end.
    Append(String),
    /// A file, emptied first.
    Truncate(String),
}

/// `WorkingDirectory=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingDirectory {
    /// An absolute path, or `~` for the user's home directory.
    pub path: String,
    /// `-`: a missing directory is no failure.
    pub missing_ok: bool,
}

/// One `EnvironmentFile=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// An absolute path.
    pub path: String,
    /// `-`: a missing file is no failure.
    pub missing_ok: bool,
}

/// Exit codes and signals, as in `SuccessExitStatus=`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExitStatusSet {
    /// Exit codes, sorted.
    pub codes: Vec<u8>,
    /// Signal numbers, sorted.
    pub signals: Vec<i32>,
}

/// Everything the supervisor needs to run a service. Specifiers are already expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// `Type=`.
    pub service_type: ServiceType,
    /// `ExecCondition=`.
    pub exec_condition: Vec<ExecCommand>,
    /// `ExecStartPre=`.
    pub exec_start_pre: Vec<ExecCommand>,
    /// `ExecStart=`: exactly one, except for [`ServiceType::Oneshot`].
    pub exec_start: Vec<ExecCommand>,
    /// `ExecStartPost=`.
    pub exec_start_post: Vec<ExecCommand>,
    /// `ExecReload=`.
    pub exec_reload: Vec<ExecCommand>,
    /// `ExecStop=`.
    pub exec_stop: Vec<ExecCommand>,
    /// `ExecStopPost=`.
    pub exec_stop_post: Vec<ExecCommand>,
    /// `RemainAfterExit=`.
    pub remain_after_exit: bool,
    /// `Restart=`.
    pub restart: RestartPolicy,
    /// `RestartSec=`: the pause before a restart.
    pub restart_delay: Duration,
    /// `StartLimitIntervalSec=`; zero turns the limit off.
    pub start_limit_interval: Duration,
    /// `StartLimitBurst=`: starts allowed within the interval; zero turns the limit off.
    pub start_limit_burst: u32,
    /// `TimeoutStartSec=`.
    pub timeout_start: Timeout,
    /// `TimeoutStopSec=`.
    pub timeout_stop: Timeout,
    /// `RuntimeMaxSec=`.
    pub runtime_max: Timeout,
    /// `WatchdogSec=`; `Never` when off.
    pub watchdog: Timeout,
    /// `NotifyAccess=`, already raised to `Main` where the type needs it.
    pub notify_access: NotifyAccess,
    /// `SuccessExitStatus=`, in addition to 0 and SIGHUP, SIGINT, SIGTERM, SIGPIPE.
    pub success_exit_status: ExitStatusSet,
    /// `RestartPreventExitStatus=`.
    pub restart_prevent_exit_status: ExitStatusSet,
    /// `RestartForceExitStatus=`.
    pub restart_force_exit_status: ExitStatusSet,
    /// `KillMode=`.
    pub kill_mode: KillMode,
    /// `KillSignal=`.
    pub kill_signal: i32,
    /// `FinalKillSignal=`.
    pub final_kill_signal: i32,
    /// `SendSIGHUP=`: also SIGHUP, right after the kill signal.
    pub send_sighup: bool,
    /// `SendSIGKILL=`: the final signal after the stop time-out.
    pub send_sigkill: bool,
    /// `Environment=`, later wins.
    pub environment: Vec<(String, String)>,
    /// `EnvironmentFile=`, read at every start; they win over `environment`.
    pub environment_files: Vec<EnvironmentFile>,
    /// `PassEnvironment=`.
    pub pass_environment: Vec<String>,
    /// `UnsetEnvironment=`.
    pub unset_environment: Vec<String>,
    /// `WorkingDirectory=`.
    pub working_directory: Option<WorkingDirectory>,
    /// `User=`: a name or a number.
    pub user: Option<String>,
    /// `Group=`: a name or a number.
    pub group: Option<String>,
    /// `UMask=`.
    pub umask: u32,
    /// `StandardInput=`.
    pub standard_input: StandardInput,
    /// `StandardOutput=`.
    pub standard_output: StandardOutput,
    /// `StandardError=`.
    pub standard_error: StandardOutput,
    /// `SyslogIdentifier=`; the program's name when absent.
    pub syslog_identifier: Option<String>,
}

impl Default for ServiceSpec {
    /// Returns systemd's defaults (systemd-system.conf(5)), and no command at all.
    fn default() -> Self {
        ServiceSpec {
            service_type: ServiceType::default(),
            exec_condition: Vec::new(),
            exec_start_pre: Vec::new(),
            exec_start: Vec::new(),
            exec_start_post: Vec::new(),
            exec_reload: Vec::new(),
            exec_stop: Vec::new(),
            exec_stop_post: Vec::new(),
            remain_after_exit: false,
            restart: RestartPolicy::default(),
            restart_delay: Duration::from_millis(100),
            start_limit_interval: Duration::from_secs(10),
            start_limit_burst: 5,
            timeout_start: Timeout::After(Duration::from_secs(90)),
            timeout_stop: Timeout::After(Duration::from_secs(90)),
            runtime_max: Timeout::Never,
            watchdog: Timeout::Never,
            notify_access: NotifyAccess::default(),
            success_exit_status: ExitStatusSet::default(),
            restart_prevent_exit_status: ExitStatusSet::default(),
            restart_force_exit_status: ExitStatusSet::default(),
            kill_mode: KillMode::default(),
            kill_signal: 15,
            final_kill_signal: 9,
            send_sighup: false,
            send_sigkill: true,
            environment: Vec::new(),
            environment_files: Vec::new(),
            pass_environment: Vec::new(),
            unset_environment: Vec::new(),
            working_directory: None,
            user: None,
            group: None,
            umask: 0o022,
            standard_input: StandardInput::default(),
            standard_output: StandardOutput::default(),
            standard_error: StandardOutput::Inherit,
            syslog_identifier: None,
        }
    }
}
