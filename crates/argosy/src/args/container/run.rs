//! The options of `argosy container run`: docker's, and those of podman's that Quadlet files need.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::{Switch, truth};

/// When `run` asks the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullWhen {
    /// Always.
    Always,
    /// If the image is not on this machine.
    Missing,
    /// Never.
    Never,
    /// Always, and what is there is good enough if no registry answers.
    Newer,
}

/// Who tells a unit of `Type=notify` that it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NotifyWhen {
    /// The engine, when the container's program runs.
    Started,
    /// The container itself, which gets the socket.
    Container,
    /// The engine, when the health check has succeeded.
    Healthy,
}

/// What is done with a container that is unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HealthAction {
    /// Nothing.
    None,
    /// It is ended by SIGKILL; its unit's Restart= starts it again.
    Kill,
    /// It is stopped as by `stop`, and its unit sees it end by itself.
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerRun {
    /// Remove the container when it has ended.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    pub(crate) rm: Switch,
    /// A name for it; none other may have it.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Remove an older container of that name first.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) replace: bool,
    /// Print its id when it has started, and leave it.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) detach: bool,
    /// Keep standard input open.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) interactive: bool,
    /// Give it a terminal.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) tty: bool,
    /// Who tells a unit of Type=notify that it has started.
    #[arg(long, value_enum, value_name = "WHO")]
    pub(crate) sdnotify: Option<NotifyWhen>,
    /// Write the container's id into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Only `no`: who is to run again is a unit, with Restart=.
    #[arg(long, value_name = "POLICY")]
    pub(crate) restart: Option<String>,

    /// When to ask the registry for the image.
    #[arg(long, value_enum, default_value_t = PullWhen::Missing, help_heading = "Image")]
    pub(crate) pull: PullWhen,
    /// How often a failed pull is tried again.
    #[arg(long, value_name = "NUMBER", help_heading = "Image")]
    pub(crate) retry: Option<u32>,
    /// How long to wait before it is.
    #[arg(long, value_name = "SPAN", help_heading = "Image")]
    pub(crate) retry_delay: Option<String>,
    /// Take the image for this platform; this machine's own by default.
    #[arg(long, value_name = "OS/ARCHITECTURE", help_heading = "Image")]
    pub(crate) platform: Option<String>,

    /// Set a variable; without a value, the caller's.
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    pub(crate) env: Vec<String>,
    /// Read variables from a file, NAME=VALUE a line.
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub(crate) env_file: Vec<PathBuf>,
    /// All variables of the caller, before all others.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL", help_heading = "Process")]
    pub(crate) env_host: bool,
    /// Whether variables that name a proxy are passed on; they are by default.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_possible_values = true, hide_default_value = true, value_name = "BOOL", help_heading = "Process")]
    pub(crate) http_proxy: Switch,
    /// Its working directory.
    #[arg(short, long, value_name = "DIR", help_heading = "Process")]
    pub(crate) workdir: Option<String>,
    /// Its user: name or number, with :GROUP if wanted.
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = "Process")]
    pub(crate) user: Option<String>,
    /// More groups.
    #[arg(long, value_name = "GROUP", help_heading = "Process")]
    pub(crate) group_add: Vec<String>,
    /// What is executed instead of the image's entrypoint; several words as JSON.
    #[arg(long, value_name = "PROGRAM", help_heading = "Process")]
    pub(crate) entrypoint: Option<String>,
    /// Run an init as its first process, which collects orphans.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_possible_values = true, hide_default_value = true, value_name = "BOOL", help_heading = "Process")]
    pub(crate) init: Switch,
    /// What `stop` sends.
    #[arg(long, value_name = "SIGNAL", help_heading = "Process")]
    pub(crate) stop_signal: Option<String>,
    /// Seconds that `stop` waits before SIGKILL [default: 10].
    #[arg(long, value_name = "SECONDS", help_heading = "Process")]
    pub(crate) stop_timeout: Option<u64>,
    /// Its time zone, such as Europe/Berlin; `local` for the machine's.
    #[arg(long, value_name = "ZONE", help_heading = "Process")]
    pub(crate) tz: Option<String>,

    /// Mount a directory of this machine, or a volume: [SOURCE:]TARGET[:ro|rw,...].
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]", help_heading = "Files")]
    pub(crate) volume: Vec<String>,
    /// The same at length: type=bind|volume|tmpfs,source=...,target=...
    #[arg(long, value_name = "type=TYPE,...", help_heading = "Files")]
    pub(crate) mount: Vec<String>,
    /// Mount a temporary file system: TARGET[:OPTIONS].
    #[arg(long, value_name = "TARGET[:OPTIONS]", help_heading = "Files")]
    pub(crate) tmpfs: Vec<String>,
    /// A root file system that cannot be written.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_possible_values = true, hide_default_value = true, value_name = "BOOL", help_heading = "Files")]
    pub(crate) read_only: Switch,
    /// With it, whether /run, /tmp and /var/tmp are in memory; they are by default.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_possible_values = true, hide_default_value = true, value_name = "BOOL", help_heading = "Files")]
    pub(crate) read_only_tmpfs: Switch,
    /// Size of /dev/shm, such as 64m.
    #[arg(long, value_name = "BYTES", help_heading = "Files")]
    pub(crate) shm_size: Option<String>,
    /// A device of this machine: /dev/fuse or /dev/fuse:/dev/fuse:rwm.
    #[arg(long, value_name = "SOURCE[:TARGET[:rwm]]", help_heading = "Files")]
    pub(crate) device: Vec<String>,
    /// The same, if this machine has it.
    #[arg(long, value_name = "SOURCE[:TARGET[:rwm]]", help_heading = "Files")]
    pub(crate) optional_device: Vec<String>,

    /// Run it in a pod, by its name or id; new:NAME makes the pod first.
    #[arg(long, value_name = "POD", help_heading = "Network")]
    pub(crate) pod: Option<String>,
    /// The same, with the pod's id from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "pod", help_heading = "Network")]
    pub(crate) pod_id_file: Option<PathBuf>,
    /// Its network: a name, none, host, container:NAME or ns:PATH; `bridge` by default.
    #[arg(long, visible_alias = "net", value_name = "NETWORK", help_heading = "Network")]
    pub(crate) network: Vec<String>,
    /// A port of the machine that leads to one of the container; ranges too.
    #[arg(short, long, value_name = "[[ADDRESS:]PORT:]PORT[/PROTO]", help_heading = "Network")]
    pub(crate) publish: Vec<String>,
    /// Publish every port that the image or --expose names, at free ports.
    #[arg(short = 'P', long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL", help_heading = "Network")]
    pub(crate) publish_all: bool,
    /// Its address in its network.
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) ip: Option<String>,
    /// Its MAC address in its network.
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) mac_address: Option<String>,
    /// A further name of it in its networks.
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(crate) network_alias: Vec<String>,
    /// Its host name.
    #[arg(short = 'h', long, value_name = "NAME", help_heading = "Network")]
    pub(crate) hostname: Option<String>,
    /// A line of /etc/hosts: NAME:ADDRESS; host-gateway is this machine.
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "Network")]
    pub(crate) add_host: Vec<String>,
    /// A name server of its own.
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) dns: Vec<String>,
    /// An option of resolv.conf(5).
    #[arg(long, value_name = "TEXT", help_heading = "Network")]
    pub(crate) dns_option: Vec<String>,
    /// A domain to look names up in.
    #[arg(long, value_name = "DOMAIN", help_heading = "Network")]
    pub(crate) dns_search: Vec<String>,
    /// A port it listens at, for `inspect`.
    #[arg(long, value_name = "PORT", help_heading = "Network")]
    pub(crate) expose: Vec<String>,

    /// All capabilities and devices, no filter of system calls.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL", help_heading = "Security")]
    pub(crate) privileged: bool,
    /// A capability more.
    #[arg(long, value_name = "CAPABILITY", help_heading = "Security")]
    pub(crate) cap_add: Vec<String>,
    /// A capability less.
    #[arg(long, value_name = "CAPABILITY", help_heading = "Security")]
    pub(crate) cap_drop: Vec<String>,
    /// no-new-privileges, seccomp=unconfined, seccomp=FILE, mask=PATHS or unmask=PATHS.
    #[arg(long, value_name = "OPTION", help_heading = "Security")]
    pub(crate) security_opt: Vec<String>,
    /// Its processes' namespace: private, host or container:NAME.
    #[arg(long, value_name = "NAMESPACE", help_heading = "Security")]
    pub(crate) pid: Option<String>,
    /// Its namespace for System V IPC and message queues: private, host or container:NAME.
    #[arg(long, value_name = "NAMESPACE", help_heading = "Security")]
    pub(crate) ipc: Option<String>,
    /// Its host name's namespace: private or host.
    #[arg(long, value_name = "NAMESPACE", help_heading = "Security")]
    pub(crate) uts: Option<String>,
    /// Its users' namespace: host.
    #[arg(long, value_name = "NAMESPACE", help_heading = "Security")]
    pub(crate) userns: Option<String>,
    /// User ids inside, outside, and how many.
    #[arg(long, value_name = "INSIDE:OUTSIDE[:COUNT]", help_heading = "Security")]
    pub(crate) uidmap: Vec<String>,
    /// Group ids inside, outside, and how many; as the users' if not given.
    #[arg(long, value_name = "INSIDE:OUTSIDE[:COUNT]", help_heading = "Security")]
    pub(crate) gidmap: Vec<String>,
    /// A kernel parameter of its namespaces.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Security")]
    pub(crate) sysctl: Vec<String>,

    /// Most memory, such as 512m.
    #[arg(short, long, value_name = "BYTES", help_heading = "Limits")]
    pub(crate) memory: Option<String>,
    /// Most memory and swap together; -1 for no limit of swap.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) memory_swap: Option<String>,
    /// Memory that it keeps when the machine's is short.
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub(crate) memory_reservation: Option<String>,
    /// Processors, such as 1.5.
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) cpus: Option<f64>,
    /// Weight against others; 1024 is the usual one.
    #[arg(short, long, value_name = "WEIGHT", help_heading = "Limits")]
    pub(crate) cpu_shares: Option<u64>,
    /// Processors it may run on, such as 0-2,4.
    #[arg(long, value_name = "LIST", help_heading = "Limits")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes it may use, such as 0-1.
    #[arg(long, value_name = "LIST", help_heading = "Limits")]
    pub(crate) cpuset_mems: Option<String>,
    /// Most processes and threads; -1 for no limit.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) pids_limit: Option<i64>,
    /// A limit of getrlimit(2): nofile=1024 or nofile=1024:4096; `host` for the machine's.
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Limits")]
    pub(crate) ulimit: Vec<String>,
    /// Whom the kernel kills first when memory is short: -1000 to 1000.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) oom_score_adj: Option<i32>,

    /// The health check: a command for a shell, JSON, or `none` for none at all.
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    pub(crate) health_cmd: Option<String>,
    /// How long between two checks; 0 is the default [default: 30s].
    #[arg(long, value_name = "SPAN", help_heading = "Health")]
    pub(crate) health_interval: Option<String>,
    /// How long one may take; 0 is the default [default: 30s].
    #[arg(long, value_name = "SPAN", help_heading = "Health")]
    pub(crate) health_timeout: Option<String>,
    /// How many failures in a row make it unhealthy; 0 is the default [default: 3].
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    pub(crate) health_retries: Option<u32>,
    /// How long failures do not count after the start [default: 0s].
    #[arg(long, value_name = "SPAN", help_heading = "Health")]
    pub(crate) health_start_period: Option<String>,
    /// What is done once it is unhealthy [default: none].
    #[arg(long, value_name = "ACTION", help_heading = "Health")]
    pub(crate) health_on_failure: Option<HealthAction>,
    /// A check of the start: the health check begins when it has succeeded.
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    pub(crate) health_startup_cmd: Option<String>,
    /// How long between two checks of the start; 0 is the default [default: 30s].
    #[arg(long, value_name = "SPAN", help_heading = "Health")]
    pub(crate) health_startup_interval: Option<String>,
    /// How long one may take; 0 is the default [default: 30s].
    #[arg(long, value_name = "SPAN", help_heading = "Health")]
    pub(crate) health_startup_timeout: Option<String>,
    /// How many failures end the container by SIGKILL; 0: none does [default: 0].
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    pub(crate) health_startup_retries: Option<u32>,
    /// How many successes it takes [default: 1].
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    pub(crate) health_startup_success: Option<u32>,
    /// No health check, whatever the image says.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL", help_heading = "Health")]
    pub(crate) no_healthcheck: bool,

    /// A label, for `inspect`.
    #[arg(short, long, value_name = "KEY[=VALUE]", help_heading = "Labels")]
    pub(crate) label: Vec<String>,
    /// An annotation, for `inspect`.
    #[arg(long, value_name = "KEY[=VALUE]", help_heading = "Labels")]
    pub(crate) annotation: Vec<String>,
    /// Where docker writes what is printed; here it is the journal or `logs`, whatever is said.
    #[arg(long, value_name = "DRIVER", help_heading = "Labels")]
    pub(crate) log_driver: Option<String>,
    /// An option of that.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Labels")]
    pub(crate) log_opt: Vec<String>,

    /// Print help; in docker's words -h is the host name.
    #[arg(long, action = ArgAction::Help)]
    pub(crate) help: Option<bool>,

    /// The image, and what to run in it. What follows the image is the command's.
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [COMMAND [ARGUMENT]...]")]
    pub(crate) image_and_command: Vec<String>,
}
