//! `argosy container`: docker's commands and options, as far as the engine goes.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::DataDir;
pub(crate) use look::{
    ContainerEvents, ContainerInspect, ContainerList, ContainerLogs, InspectKind, Tail,
};
pub(crate) use network::{Network, NetworkAction, NetworkCreate};
pub(crate) use run::{ContainerRun, HealthAction, NotifyWhen, PullWhen};
pub(crate) use volume::{Volume, VolumeAction};

mod look;
mod network;
mod run;
mod volume;

#[derive(Debug, Args)]
pub(crate) struct Container {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(subcommand)]
    pub(crate) action: ContainerAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContainerAction {
    /// Run a command in a new container.
    ///
    /// It stays in the foreground and ends with the container's exit status: 125 when the container
    /// could not be made, 126 when its program cannot be executed, 127 when there is none, 128 and
    /// the signal's number when a signal ended it. In a unit the container's life is the unit's.
    #[command(disable_help_flag = true)]
    Run(Box<ContainerRun>),
    /// Make a container, and print its id; `start` runs it.
    ///
    /// Options are those of `run`, but for -d.
    #[command(disable_help_flag = true)]
    Create(Box<ContainerRun>),
    /// Run containers that were made, or that have ended.
    ///
    /// Each keeps its files, volumes and name; addresses may be others. What it prints is added to
    /// what `logs` shows. A container that runs already is left as it is. The containers of a unit
    /// are started by it: argosy start UNIT.
    Start(ContainerStart),
    /// Stop containers, and start them again.
    ///
    /// One with --rm cannot be: its end takes it away.
    Restart {
        /// Seconds until SIGKILL; those that the container was run with by default, or 10.
        #[arg(short, long, alias = "timeout", value_name = "SECONDS")]
        time: Option<u64>,
        #[command(flatten)]
        containers: Names,
    },
    /// List containers: those that run, with --all every one.
    #[command(visible_alias = "ls")]
    Ps(ContainerList),
    /// Run a command in a container that runs.
    Exec(ContainerExec),
    /// Be where a container that runs prints and reads, until it ends.
    ///
    /// Ends with the container's exit status. On a container's terminal Ctrl-P Ctrl-Q leaves it.
    /// What a unit's container prints is in the journal: there is nothing to attach to.
    Attach(ContainerAttach),
    /// Make an image of what a container has written; prints its id.
    ///
    /// It is the container's image with one layer more, and runs as the container does. What is in
    /// volumes and other mounts is not in it.
    Commit(ContainerCommit),
    /// Copy files between a container and this machine, as docker does.
    ///
    /// One of both is CONTAINER:PATH; `-` is an archive of tar on standard input or output. A
    /// directory goes with its name into one that is there, and what is in it without (`DIR/.`).
    /// Links in the container are followed within the container only.
    Cp(ContainerCopy),
    /// Show what a container has printed.
    ///
    /// A unit's container prints into the journal, which has it for longer: argosy journal UNIT.
    Logs(ContainerLogs),
    /// Show what happens to containers, from now on or from earlier on.
    ///
    /// Events are create, start, die, oom, kill, stop, restart, pause, unpause, rename, commit and
    /// destroy. The last
    /// several thousand are kept.
    Events(ContainerEvents),
    /// Stop containers: their stop signal, and SIGKILL after a while.
    Stop {
        /// Seconds until SIGKILL; those that the container was run with by default, or 10.
        #[arg(short, long, alias = "timeout", value_name = "SECONDS")]
        time: Option<u64>,
        /// No error for one that is not there.
        #[arg(long)]
        ignore: bool,
        #[command(flatten)]
        containers: Names,
    },
    /// Send a signal to the first process of containers.
    Kill {
        /// The signal, as kill(1) names it.
        #[arg(short, long, default_value = "SIGKILL")]
        signal: String,
        #[command(flatten)]
        containers: Names,
    },
    /// Stop every process of containers where it is.
    Pause {
        #[command(flatten)]
        containers: Names,
    },
    /// Let paused containers go on.
    Unpause {
        #[command(flatten)]
        containers: Names,
    },
    /// Wait until containers end, and print their exit statuses.
    Wait {
        #[command(flatten)]
        containers: Names,
    },
    /// Remove containers that do not run.
    Rm {
        /// Also those that run; no error for one that is not there.
        #[arg(short, long)]
        force: bool,
        /// No error for one that is not there.
        #[arg(short, long)]
        ignore: bool,
        /// Their volumes without a name as well.
        #[arg(short, long)]
        volumes: bool,
        #[command(flatten)]
        containers: Names,
    },
    /// Remove all containers that have ended; prints their ids.
    Prune {
        /// As it is always: nobody is asked.
        #[arg(short, long)]
        force: bool,
    },
    /// Give a container another name.
    ///
    /// Containers on its networks know it by the old one until it runs anew.
    Rename {
        /// Name, id, or beginning of an id.
        container: String,
        /// The other name.
        name: String,
    },
    /// Serve docker's Engine API on a unix socket, for programs that speak it.
    ///
    /// Whoever may use the socket is root of this machine: it is root's alone. The server has no
    /// state; containers go on without it. There is no such socket unless this runs.
    Serve {
        /// Where the socket is; docker.sock in the directory of sockets by default. The global
        /// --socket names the daemon's.
        #[arg(long, value_name = "PATH")]
        listen: Option<PathBuf>,
    },
    /// Show everything about containers, as JSON.
    ///
    /// With --docker, --format or --type in docker's shape; then also images, volumes and networks.
    Inspect(ContainerInspect),
    /// List the processes of a container.
    Top {
        /// Name, id, or beginning of an id.
        container: String,
    },
    /// Show which ports of the machine lead to a container.
    Port {
        /// Name, id, or beginning of an id.
        container: String,
    },
    /// Show what running containers use of the machine, once.
    Stats {
        /// A template of docker's: `{{.Name}} {{.MemUsage}}`, `table ...`, or `json`.
        #[arg(long, value_name = "TEMPLATE")]
        format: Option<String>,
        /// As it is always: once.
        #[arg(long)]
        no_stream: bool,
        /// Names, ids, or beginnings of ids; all that run if none is given.
        #[arg(value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Show what answers to docker's name here.
    Version {
        /// A template of docker's: `{{.Server.Version}}`, or `json`.
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
    },
    /// Show the engine, its places, and how many containers and images it has.
    Info {
        /// A template of docker's: `{{.Containers}}`, or `json`.
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
    },
}

/// Which containers.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Names, ids, or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerExec {
    /// Leave it when it has started.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) detach: bool,
    /// Keep standard input open.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) interactive: bool,
    /// Give it a terminal.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) tty: bool,
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
    /// All capabilities, no filter of system calls.
    #[arg(long)]
    pub(crate) privileged: bool,
    /// The container, and what to run in it.
    #[arg(
        required = true,
        num_args = 2..,
        trailing_var_arg = true,
        value_name = "CONTAINER COMMAND"
    )]
    pub(crate) container_and_command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerStart {
    /// Stay where it prints until it ends, and end with its exit status; for one container.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) attach: bool,
    /// The same, and pass standard input on to a container that was made with -i.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) interactive: bool,
    /// For `serve`: say nothing, and end as the monitor that did not start has ended.
    #[arg(long, hide = true)]
    pub(crate) report: bool,
    /// For `serve`: leave the monitor this process's output, beside the log.
    #[arg(long, hide = true, requires = "report")]
    pub(crate) keep_output: bool,
    #[command(flatten)]
    pub(crate) names: Names,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerAttach {
    /// Pass no input on.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) no_stdin: bool,
    /// Whether signals are passed on; they are by default.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) sig_proxy: bool,
    /// Name, id, or beginning of an id.
    pub(crate) container: String,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerCommit {
    /// Who has made it.
    #[arg(short, long, value_name = "AUTHOR")]
    pub(crate) author: Option<String>,
    /// What it is, for its history.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// An instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME
    /// or WORKDIR.
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// Whether a container that runs stands still meanwhile; it does by default.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = ArgAction::Set, value_parser = truth, hide_default_value = true, value_name = "BOOL")]
    pub(crate) pause: bool,
    /// Name, id, or beginning of an id.
    pub(crate) container: String,
    /// The image's name.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerCopy {
    /// Keep owners; into a container they are root's else, out of it the caller's.
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Copy what a link names, if FROM is one.
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// As it is always: nothing is shown.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// CONTAINER:PATH, a path, or - for an archive.
    #[arg(allow_hyphen_values = true)]
    pub(crate) from: String,
    /// CONTAINER:PATH, a path, or - for an archive.
    #[arg(allow_hyphen_values = true)]
    pub(crate) to: String,
}

/// An option of docker's that may be given as `--NAME`, `--NAME=true` or `--NAME=false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    #[value(aliases = ["1", "t", "T", "TRUE", "True"])]
    True,
    #[value(aliases = ["0", "f", "F", "FALSE", "False"])]
    False,
}

/// Reads what such an option says, as docker does.
fn truth(text: &str) -> Result<bool, String> {
    Switch::from_str(text, false).map(Switch::is_on).map_err(|_| "say true or false".to_owned())
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Switch::True
    }
}

#[cfg(test)]
mod tests;
