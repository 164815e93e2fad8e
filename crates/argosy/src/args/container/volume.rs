//! The command line of volumes.

use clap::{Args, Subcommand};

use super::super::DataDir;

/// `argosy volume`.
#[derive(Debug, Args)]
pub(crate) struct Volume {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(subcommand)]
    pub(crate) action: VolumeAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeAction {
    /// Make a volume; prints its name.
    Create {
        /// No error, and no change, if there is one of that name.
        #[arg(long)]
        ignore: bool,
        /// Who keeps it: `local`.
        #[arg(short, long, default_value = "local")]
        driver: String,
        /// type=none,device=PATH,o=bind for a directory that is there; type=tmpfs; copy, nocopy.
        #[arg(long, value_name = "NAME[=VALUE]")]
        opt: Vec<String>,
        /// A label, for `inspect`.
        #[arg(short, long, value_name = "KEY=VALUE")]
        label: Vec<String>,
        /// Its name; one of 64 letters and digits if there is none.
        name: Option<String>,
    },
    /// List volumes.
    #[command(visible_alias = "list")]
    Ls {
        /// Print names only.
        #[arg(short, long)]
        quiet: bool,
        /// A template of docker's: `{{.Name}}`, `table ...`, or `json`.
        #[arg(long, value_name = "TEMPLATE")]
        format: Option<String>,
    },
    /// Show everything about volumes, as JSON.
    Inspect {
        /// In docker's shape, as under the name docker.
        #[arg(long)]
        docker: bool,
        /// A template of docker's: `{{.Name}}`; or `json`.
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
        /// Their names.
        #[arg(required = true, value_name = "VOLUME")]
        volumes: Vec<String>,
    },
    /// Remove volumes, and what is in them.
    Rm {
        /// No error for one that is not there.
        #[arg(short, long)]
        force: bool,
        /// Their names.
        #[arg(required = true, value_name = "VOLUME")]
        volumes: Vec<String>,
    },
    /// Remove volumes without a name that no container has; with --all named ones as well.
    Prune {
        /// Named volumes as well.
        #[arg(short, long)]
        all: bool,
        /// As it is always: nobody is asked.
        #[arg(short, long)]
        force: bool,
    },
}
