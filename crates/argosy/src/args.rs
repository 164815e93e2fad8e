//! The command line: every command, option and help text. Completion and man pages come from
//! these definitions.

mod container;
mod demo;
mod examples;
mod global;
mod image;
mod pod;
mod scope;
mod usage;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use container::{
    Container, ContainerAction, ContainerAttach, ContainerCommit, ContainerCopy, ContainerEvents,
    ContainerExec, ContainerInspect, ContainerList, ContainerLogs, ContainerRun, ContainerStart,
    HealthAction, InspectKind, Names, Network, NetworkAction, NetworkCreate, NotifyWhen, PullWhen,
    Tail, Volume, VolumeAction,
};
pub(crate) use demo::{Demo, DemoAction, DemoMode, DemoUnit, Lose};
pub(crate) use global::{Global, Output};
pub(crate) use image::{
    DiskMarks, ImageAction, ImageGc, ImageImport, ImageInspect, ImageList, ImageLoad, ImagePull,
    ImagePush, ImageRemove, ImageSave, ImageTag, RegistryOptions,
};
pub(crate) use pod::{ExitPolicy, Pod, PodAction, PodCreate, Wiring};

/// Where sockets are when nothing else is said.
pub(crate) const RUNTIME_DIR: &str = "/run/argosy";

/// Where everything else is when nothing else is said.
pub(crate) const DATA_DIR: &str = "/var/lib/argosy";

/// One init system for all your machines.
///
/// Without a command, shows this machine, its cluster, what is wrong, and what to run next.
#[derive(Debug, Parser)]
#[command(name = "argosy", version, max_term_width = 100, infer_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Arguments {
    /// The whole command line, with the examples of each command, and without the options that
    /// mean nothing to it.
    pub(crate) fn whole() -> clap::Command {
        examples::with(scope::within(Arguments::command()))
    }

    /// Reads a command line; the program's name comes first.
    pub(crate) fn read(line: Vec<OsString>) -> Result<Arguments, clap::Error> {
        let mut command = Arguments::whole();
        let matches = command
            .try_get_matches_from_mut(&line)
            .map_err(|error| usage::whole(error, &mut command, &line))?;
        Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make or look at the cluster.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Make, list and revoke join tokens.
    #[command(subcommand)]
    Token(Token),
    /// List the clusters that this user knows, and choose the one that commands speak to.
    #[command(subcommand)]
    Context(ContextAction),
    /// List the machines of the cluster.
    ListMachines,
    /// Check unit files and change nothing.
    ///
    /// Exit status: 0 when all are good, 1 when one is not.
    Verify(Files),
    /// Store unit files; all or none.
    ///
    /// A unit that is not started yet is only stored. One that is wanted already is restarted with
    /// a text that has changed: what runs is what is stored.
    Submit(Files),
    /// Store unit files and keep them running; all or none.
    ///
    /// Exit status: 1 bad input, 2 refused by the cluster, 75 cluster not reachable.
    Apply(Apply),
    /// Want units to run.
    Start(Verb),
    /// Want units not to run.
    Stop(Verb),
    /// Stop and start units where they run.
    Restart(Verb),
    /// Set how many instances of a template run.
    ///
    /// The number is kept until the next scale, or until a text is applied whose Replicas= has
    /// changed. Of fewer instances those with the highest numbers go. A template that is not
    /// started only takes note of the number.
    ///
    /// Exit status: 1 bad number or no template, 2 unknown unit or an instance does not run, 75
    /// not in time or cluster not reachable.
    Scale(Scale),
    /// Have running units reread their configuration (with --local).
    Reload(Verb),
    /// Forget that units failed, and their start limits (with --local).
    ResetFailed(Verb),
    /// Send a signal to a unit's processes (with --local).
    Kill(Kill),
    /// Stop units and remove them from the cluster.
    Destroy(Units),
    /// Show one unit in detail, or this machine and its cluster.
    ///
    /// Exit status: 0 running, 3 not running, 4 unknown.
    Status(Status),
    /// Say why a unit is in the state it is in.
    Why(Unit),
    /// List units: what is wanted, where they are, how they are.
    ListUnits,
    /// Print a unit file as it was stored.
    Cat(Unit),
    /// Exit 0 if all units are active, else 3; 4 if it is not known.
    IsActive(Units),
    /// Exit 0 if any unit has failed, else 1.
    IsFailed(Units),
    /// Show what units printed and what happened to them.
    #[command(visible_alias = "logs")]
    Journal(Journal),
    /// Pull, list, send and remove container images of this machine.
    #[command(subcommand)]
    Image(ImageAction),
    /// Bring a container image from a registry; the same as image pull.
    Pull(ImagePull),
    /// List the container images of this machine; the same as image list.
    Images(ImageList),
    /// Remove container images from this machine; the same as image rm.
    Rmi(ImageRemove),
    /// Reread this machine's own unit files (with --local).
    DaemonReload,
    /// Have this machine's daemon begin anew, with the program as it is on disk now.
    ///
    /// Units run on. The cluster is asked for time first: for ten seconds (thirty with the preset
    /// wan) no unit is started elsewhere because this machine is silent, and those with
    /// OnPartition=stop are not ended.
    DaemonReexec(Reexec),
    /// Run this machine's supervisor and daemon.
    ///
    /// Starts the keeper, which holds the units, and under it the supervisor and the daemon, and
    /// starts them again if they die. Stopping it stops its units.
    Supervisor(Supervisor),
    /// Run the daemon alone, beside a supervisor that runs already.
    Daemon(Daemon),
    /// Balance HTTP and TCP over the endpoints of services, or over those that stand in the store.
    ///
    /// SERVICE is one that a unit has named with Endpoint=; its units are stopped only when this
    /// proxy sends nothing to them any more. With a prefix, which begins with a slash, every key
    /// below it whose value is address:port is an endpoint. Changes are followed without a reload;
    /// requests that may be repeated are tried again elsewhere.
    Proxy(ProxyOptions),
    /// Serve the ports that units publish; the keeper starts it.
    #[command(hide = true)]
    ProxyProcess(ProxyProcess),
    /// Run the part of the supervisor that decides; the keeper starts it.
    #[command(hide = true)]
    SupervisorProcess(SupervisorProcess),
    /// Show a cluster of machines on this computer, and the loss of one.
    ///
    /// Makes three machines that live in namespaces of this computer, a cluster of them, and
    /// a database, six API servers and three load balancers on it; then the leader's machine is
    /// lost while requests go on, and a fourth one joins. Needs no rights and leaves nothing
    /// behind. Without --once it stays until Ctrl-C; every other command then speaks to it.
    ///
    /// Exit status: 0 if every step was done within its limit and no request through a load
    /// balancer of a machine that stays failed, 1 if not.
    Demo(Demo),
    /// Run containers, and look at those that run: docker's commands.
    Container(Box<Container>),
    /// Keep pods: containers that share their network and host name.
    Pod(Pod),
    /// Keep networks of containers on this machine.
    Network(Network),
    /// Keep directories that outlive containers.
    Volume(Volume),
    /// Be one of the demonstration's units.
    #[command(hide = true)]
    DemoUnit(DemoUnit),
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the man page of each command into a directory.
    ManPages {
        /// The directory; it must be there.
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Make this machine the first of a new cluster.
    Init(Init),
    /// Make this machine a part of an existing cluster.
    ///
    /// The token comes from `argosy token create` on a machine of the cluster. It is read from
    /// standard input or a file, never from the command line, where others could see it.
    Join(Join),
    /// Show the cluster as this machine sees it.
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextAction {
    /// List contexts, and which is the current one.
    List,
    /// Make a context the one that is used where nothing else is said.
    Use {
        /// Its name, as `context list` shows it.
        name: String,
    },
    /// Forget a context; its cluster stays as it is.
    Remove {
        /// Its name, as `context list` shows it.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token with which one machine can join.
    Create {
        /// How long it is good, in minutes.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_080))]
        minutes: u64,
    },
    /// List tokens, without their secrets.
    List,
    /// Make a token useless.
    Revoke {
        /// Its id, as `token list` shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    #[command(flatten)]
    pub(crate) machine: Described,
    /// Read the token from this file instead of standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) machine: Described,
    /// How soon a lost machine is noticed: lan (half a second), default or wan. The same for all
    /// machines of the cluster, for good.
    #[arg(long, value_name = "PRESET")]
    pub(crate) timing: Option<argosy_reconcile::Preset>,
}

/// What is said of a machine that becomes part of a cluster.
#[derive(Debug, Args)]
pub(crate) struct Described {
    /// The machine's name; its host name by default.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The address under which others reach this machine and its units. By default the one from
    /// which it speaks with the cluster, or, when it is the first, that of its default route.
    #[arg(long, env = "ARGOSY_ADDRESS")]
    pub(crate) address: Option<std::net::IpAddr>,
    /// A label such as zone=a; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is written KEY=VALUE, such as zone=a".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Reexec {
    /// Also when no leader answers: units with OnPartition=stop may end then.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Unit files, or directories of them; - is standard input, with --name.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) files: Vec<PathBuf>,
    /// The name of the unit on standard input.
    #[arg(long, value_name = "UNIT")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Return when it is stored, instead of when it has happened.
    #[arg(long)]
    pub(crate) no_block: bool,
    /// Seconds to wait at most.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Verb {
    /// The units; `.service` may be left out.
    #[arg(required = true, value_name = "UNIT")]
    pub(crate) units: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The template; `@.service` may be left out.
    #[arg(value_name = "TEMPLATE")]
    pub(crate) unit: String,
    /// How many instances, numbered from 1.
    #[arg(value_name = "N")]
    pub(crate) replicas: u32,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The units.
    #[arg(required = true, value_name = "UNIT")]
    pub(crate) units: Vec<String>,
    /// The signal, by name or number.
    #[arg(short, long, default_value = "SIGTERM")]
    pub(crate) signal: String,
    /// The main process only.
    #[arg(long)]
    pub(crate) main_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Units {
    /// The units; `.service` may be left out.
    #[arg(required = true, value_name = "UNIT")]
    pub(crate) units: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Unit {
    /// The unit; `.service` may be left out.
    pub(crate) unit: String,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The unit; without one, this machine and its cluster.
    pub(crate) unit: Option<String>,
    /// Lines of its journal to show.
    #[arg(short = 'n', long, default_value_t = 10)]
    pub(crate) lines: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Journal {
    /// This unit only.
    pub(crate) unit: Option<String>,
    /// This unit only, as journalctl spells it.
    #[arg(short = 'u', long = "unit", value_name = "UNIT", conflicts_with = "unit")]
    pub(crate) unit_option: Option<String>,
    /// The last so many lines; all by default, 10 with --follow.
    #[arg(short = 'n', long)]
    pub(crate) lines: Option<u64>,
    /// Stay and print what comes.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// From this time on: `2026-11-23 10:00:00`, `10 min ago`, `today`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Up to this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The messages alone, byte for byte unless a terminal shows them.
    #[arg(long)]
    pub(crate) cat: bool,
    /// Also to a terminal, lines as they are: control characters and colours are not made harmless.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// How much disk the journal takes up, and may (with --local).
    #[arg(long, conflicts_with_all = ["unit", "unit_option", "lines", "follow", "since", "until"])]
    pub(crate) disk_usage: bool,
    /// Drops the oldest files until no more than this is left: `200M`, `1G` (with --local).
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = crate::commands::journal::bytes,
        conflicts_with_all = ["unit", "unit_option", "lines", "follow", "since", "until"]
    )]
    pub(crate) vacuum_size: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DataDir {
    /// Where everything that outlives a boot is kept.
    #[arg(
        long,
        env = "ARGOSY_DATA_DIR",
        value_name = "DIR",
        default_value = DATA_DIR,
        hide_env_values = true
    )]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ClientListen {
    /// Where the store answers etcd clients; several with commas between them.
    #[arg(
        long,
        env = "ARGOSY_CLIENT_LISTEN",
        value_name = "ADDRESS,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379,127.0.0.1:4001",
        hide_env_values = true
    )]
    pub(crate) client_listen: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PeerPort {
    /// The port at this machine's own address on which other machines reach it.
    #[arg(
        long,
        env = "ARGOSY_PEER_PORT",
        value_name = "PORT",
        default_value_t = 2380,
        value_parser = clap::value_parser!(u16).range(1..),
        hide_env_values = true
    )]
    pub(crate) peer_port: u16,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UnitPath {
    /// Directories of this machine's own units, first wins; several with colons between them.
    #[arg(
        long,
        env = "ARGOSY_UNIT_PATH",
        value_name = "DIR:...",
        value_delimiter = ':',
        default_value = "/etc/argosy/units:/run/argosy/units:/usr/lib/argosy/units",
        hide_env_values = true
    )]
    pub(crate) unit_path: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Supervisor {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) client: ClientListen,
    #[command(flatten)]
    pub(crate) peer: PeerPort,
    #[command(flatten)]
    pub(crate) proxy: ProxyListen,
    #[command(flatten)]
    pub(crate) units: UnitPath,
    #[command(flatten)]
    pub(crate) disk: DiskMarks,
    /// Run units of this machine alone, without a daemon.
    #[arg(long)]
    pub(crate) no_daemon: bool,
    /// Hold a unit's processes together by descent where neither cgroups nor PID namespaces can be
    /// had. A process that hides can leave its unit then, and OnPartition=stop does not start.
    #[arg(long)]
    pub(crate) process_trees: bool,
    /// Seconds to wait at most before a supervisor or daemon that keeps dying is started again.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) restart_delay_max: f64,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyOptions {
    /// Listen for HTTP/1.1 and balance each request.
    #[arg(long, value_name = "ADDRESS=SERVICE|PREFIX", required_unless_present = "tcp")]
    pub(crate) http: Vec<String>,
    /// Listen for TCP and balance each connection.
    #[arg(long, value_name = "ADDRESS=SERVICE|PREFIX")]
    pub(crate) tcp: Vec<String>,
    /// Ask HTTP endpoints for this path to see whether they are well; by default what their units
    /// say counts, and a connection that opens is enough for the others.
    #[arg(long, value_name = "PATH")]
    pub(crate) check_path: Option<String>,
    /// The store to follow, for prefixes.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:2379")]
    pub(crate) store: String,
    /// Keep the last table in this file, so that a start without store or daemon still works.
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProxyListen {
    /// The address at which this machine serves the ports that units publish.
    #[arg(
        long,
        env = "ARGOSY_PROXY_LISTEN",
        value_name = "ADDRESS",
        default_value = "0.0.0.0",
        hide_env_values = true
    )]
    pub(crate) proxy_listen: std::net::IpAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyProcess {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) listen: ProxyListen,
}

#[derive(Debug, Args)]
pub(crate) struct SupervisorProcess {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) units: UnitPath,
}

#[derive(Debug, Args)]
pub(crate) struct Daemon {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) client: ClientListen,
    #[command(flatten)]
    pub(crate) peer: PeerPort,
    #[command(flatten)]
    pub(crate) disk: DiskMarks,
}
