//! `argosy container`: docker's commands and options, as far as the engine goes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::DataDir;

#[derive(Debug, Args)]
pub(crate) struct Container {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(subcommand)]
    pub(crate) action: ContainerAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContainerAction {
    /// Run a command in a new container, in the foreground.
    ///
    /// Ends with the container's exit status: 125 when it could not be made, 126 when its program
    /// cannot be executed, 127 when there is none, 128 and the signal's number when a signal ended it.
    #[command(
        after_help = "Examples:\n  argosy container run --rm busybox echo hello\n  argosy container run --rm -it --network host debian bash\n  argosy container run --name db -v /srv/db:/var/lib/db:rw -e MODE=fast registry.example/db:1.4"
    )]
    Run(Box<ContainerRun>),
    /// List containers: those that run, with --all every one.
    #[command(after_help = "Examples:\n  argosy container ps\n  argosy container ps --all -o json")]
    Ps {
        /// Those that do not run as well.
        #[arg(short, long)]
        all: bool,
        /// Print ids only.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Run a command in a container that runs.
    #[command(
        after_help = "Examples:\n  argosy container exec -it db sh\n  argosy container exec -u 0 db id"
    )]
    Exec(ContainerExec),
    /// Stop containers: their stop signal, and SIGKILL after a while.
    #[command(
        after_help = "Examples:\n  argosy container stop db\n  argosy container stop -t 2 db"
    )]
    Stop {
        /// Seconds until SIGKILL.
        #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
        time: u64,
        /// Names, ids, or beginnings of ids.
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Send a signal to the first process of containers.
    #[command(after_help = "Examples:\n  argosy container kill -s HUP db")]
    Kill {
        /// The signal, as kill(1) names it.
        #[arg(short, long, default_value = "SIGKILL")]
        signal: String,
        /// Names, ids, or beginnings of ids.
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Remove containers that do not run.
    #[command(after_help = "Examples:\n  argosy container rm db\n  argosy container rm -f db")]
    Rm {
        /// Also those that run; no error for one that is not there.
        #[arg(short, long)]
        force: bool,
        /// Names, ids, or beginnings of ids.
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Show everything about containers, as JSON.
    #[command(after_help = "Examples:\n  argosy container inspect db")]
    Inspect {
        /// Names, ids, or beginnings of ids.
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// List the processes of a container.
    #[command(after_help = "Examples:\n  argosy container top db")]
    Top {
        /// Name, id, or beginning of an id.
        container: String,
    },
    /// Show what running containers use of the machine, once.
    #[command(
        after_help = "Examples:\n  argosy container stats\n  argosy container stats db -o json"
    )]
    Stats {
        /// Names, ids, or beginnings of ids; all that run if none is given.
        #[arg(value_name = "CONTAINER")]
        containers: Vec<String>,
    },
}

/// When `run` asks the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullWhen {
    /// Always.
    Always,
    /// If the image is not on this machine.
    Missing,
    /// Never.
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerRun {
    /// Remove the container when it has ended.
    #[arg(long)]
    pub(crate) rm: bool,
    /// A name for it; none other may have it.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Keep standard input open.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give it a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// When to ask the registry for the image.
    #[arg(long, value_enum, default_value_t = PullWhen::Missing)]
    pub(crate) pull: PullWhen,
    /// Set a variable; without a value, the caller's.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read variables from a file, NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Its working directory.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Its user: name or number, with :GROUP if wanted.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// More groups.
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<String>,
    /// What is executed instead of the image's entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Mount a directory of this machine: SOURCE:TARGET[:ro|rw,rprivate|rslave|rshared].
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Mount a temporary file system: TARGET[:OPTIONS].
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Its network: none, host, container:NAME or ns:PATH.
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Its host name.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Its processes' namespace: host or container:NAME.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) pid: Option<String>,
    /// Its namespace for System V IPC and message queues: private, host or container:NAME.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) ipc: Option<String>,
    /// Its host name's namespace: host.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) uts: Option<String>,
    /// All capabilities and devices, no filter of system calls.
    #[arg(long)]
    pub(crate) privileged: bool,
    /// A capability more.
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// A capability less.
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// no-new-privileges, seccomp=unconfined or seccomp=FILE.
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
    /// A root file system that cannot be written.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Most memory, such as 512m.
    #[arg(short, long, value_name = "BYTES")]
    pub(crate) memory: Option<String>,
    /// Most memory and swap together; -1 for no limit of swap.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// Processors, such as 1.5.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<f64>,
    /// Weight against others; 1024 is the usual one.
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) cpu_shares: Option<u64>,
    /// Processors it may run on, such as 0-2,4.
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Most processes and threads; -1 for no limit.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// A limit of getrlimit(2): nofile=1024 or nofile=1024:4096.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
    /// A device of this machine: /dev/fuse or /dev/fuse:/dev/fuse:rwm.
    #[arg(long, value_name = "SOURCE[:TARGET[:rwm]]")]
    pub(crate) device: Vec<String>,
    /// A kernel parameter of its namespaces.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<String>,
    /// Size of /dev/shm, such as 64m.
    #[arg(long, value_name = "BYTES")]
    pub(crate) shm_size: Option<String>,
    /// Run an init as its first process, which collects orphans.
    #[arg(long)]
    pub(crate) init: bool,
    /// What `stop` sends.
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// A label, for `inspect`.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// The image, and what to run in it.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "IMAGE [COMMAND [ARGUMENT]...]"
    )]
    pub(crate) image_and_command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerExec {
    /// Keep standard input open.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give it a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set a variable.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Its working directory.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Its user: name or number, with :GROUP if wanted.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// All capabilities, no filter of system calls.
    #[arg(long)]
    pub(crate) privileged: bool,
    /// The container, and what to run in it.
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true, value_name = "CONTAINER COMMAND")]
    pub(crate) container_and_command: Vec<String>,
}
