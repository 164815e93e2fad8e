//! The command line of networks.

use clap::{Args, Subcommand};

use super::super::DataDir;

/// `argosy network`.
#[derive(Debug, Args)]
pub(crate) struct Network {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(subcommand)]
    pub(crate) action: NetworkAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkAction {
    /// Make a network; prints its name.
    Create(Box<NetworkCreate>),
    /// List networks.
    #[command(visible_alias = "list")]
    Ls {
        /// Print names only.
        #[arg(short, long)]
        quiet: bool,
        /// A template of docker's: `{{.Name}}`, `table ...`, or `json`.
        #[arg(long, value_name = "TEMPLATE")]
        format: Option<String>,
    },
    /// Show everything about networks, as JSON.
    Inspect {
        /// In docker's shape, as under the name docker.
        #[arg(long)]
        docker: bool,
        /// A template of docker's: `{{.Name}}`; or `json`.
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
        /// Their names, or the beginnings of their ids.
        #[arg(required = true, value_name = "NETWORK")]
        networks: Vec<String>,
    },
    /// Remove networks that no container is on.
    Rm {
        /// No error for one that is not there.
        #[arg(short, long)]
        force: bool,
        /// Their names, or the beginnings of their ids.
        #[arg(required = true, value_name = "NETWORK")]
        networks: Vec<String>,
    },
    /// Remove all networks that no container is on, but the default one.
    Prune {
        /// As it is always: nobody is asked.
        #[arg(short, long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NetworkCreate {
    /// No error, and no change, if there is one of that name.
    #[arg(long)]
    pub(crate) ignore: bool,
    /// How packets travel: `bridge`.
    #[arg(short, long, default_value = "bridge")]
    pub(crate) driver: String,
    /// Its addresses; a free /24 if not given.
    #[arg(long, value_name = "NET")]
    pub(crate) subnet: Vec<String>,
    /// The machine's address in it; the first one if not given.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<String>,
    /// The part of it that containers get addresses from.
    #[arg(long, value_name = "NET")]
    pub(crate) ip_range: Vec<String>,
    /// Nothing goes in or out.
    #[arg(long)]
    pub(crate) internal: bool,
    /// IPv6 addresses as well.
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// Containers do not find each other by name.
    #[arg(long)]
    pub(crate) disable_dns: bool,
    /// A name server to ask for what is no container's name.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
    /// The bridge's name among the machine's interfaces.
    #[arg(long, value_name = "NAME")]
    pub(crate) interface_name: Option<String>,
    /// Who gives addresses: `host-local`.
    #[arg(long, value_name = "DRIVER")]
    pub(crate) ipam_driver: Option<String>,
    /// mtu=NUMBER, isolate=BOOL.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) opt: Vec<String>,
    /// A label, for `inspect`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// Its name.
    pub(crate) name: String,
}
