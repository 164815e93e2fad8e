//! The options that every command takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::RUNTIME_DIR;
use crate::session::API_SOCKET;

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The daemon's socket.
    #[arg(long, global = true, env = "ARGOSY_SOCKET", value_name = "PATH", hide_env_values = true)]
    pub(crate) socket: Option<PathBuf>,
    /// Speak to a cluster that `argosy context list` shows.
    #[arg(
        short = 'M',
        long,
        global = true,
        env = "ARGOSY_CONTEXT",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub(crate) context: Option<String>,
    /// Where sockets and other things of this boot live; /run/argosy by default.
    #[arg(
        long,
        global = true,
        env = "ARGOSY_RUNTIME_DIR",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Speak to this machine's supervisor alone, with no cluster.
    #[arg(long, global = true)]
    pub(crate) local: bool,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

impl Global {
    /// This machine's daemon, whichever cluster commands speak to.
    pub(crate) fn api_socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.runtime_dir().join(API_SOCKET))
    }

    /// Where this machine's own sockets are.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.runtime_dir.clone().unwrap_or_else(|| PathBuf::from(RUNTIME_DIR))
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    Table,
    /// JSON for programs.
    Json,
}
