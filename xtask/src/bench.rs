//! Benchmarks, side by side with the peer where there is one, run by `argosy-bench` on what ships.

use anyhow::Result;
use clap::Subcommand;

use crate::run::command;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Puts and reads: our store and Debian's etcd, the same client, the same disk.
    Store {
        /// See the program's own `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The loss of a machine of three in namespaces, seen by an outside client without retries.
    Scene {
        /// See the program's own `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Containers, beside crun, runc and podman.
    Containers {
        /// See the program's own `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let (what, arguments) = match bench {
        Bench::Store { arguments } => ("store", arguments),
        Bench::Scene { arguments } => ("scene", arguments),
        Bench::Containers { arguments } => ("containers", arguments),
    };
    command("cargo", &["build", "--locked", "--release", "--package", "argosy"])?;
    let mut words =
        vec!["run", "--locked", "--release", "--quiet", "--package", "argosy-bench", "--", what];
    words.extend(arguments.iter().map(String::as_str));
    command("cargo", &words)
}
