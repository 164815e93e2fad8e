//! Measures Argosy side by side with its peers, in one run, as ratios.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people")]

mod containers;
mod load;
mod report;
mod scene;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures Argosy side by side with its peers.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Puts and reads: Argosy and etcd, the same client, the same disk, one after the other,
    /// several rounds.
    Store(Store),
    /// The loss of a machine: three machines in namespaces with units, one is lost, again and
    /// again, every other time the one that leads; with native units and with containers in turn.
    Scene(Scene),
    /// Containers: one after another, many at once, and idle ones, beside crun, runc and podman.
    Containers(containers::Containers),
}

#[derive(clap::Args)]
pub(crate) struct Scene {
    /// The program to measure.
    #[arg(long, default_value = "target/release/argosy")]
    argosy: PathBuf,
    /// How often it is done in each form.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How machines are kept apart: root, user or loopback; the best that works by default.
    #[arg(long)]
    mode: Option<String>,
    /// The time limits of the clusters: lan, default or wan.
    #[arg(long, default_value = "lan")]
    timing: String,
    /// How to print: a table, or JSON.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    output: String,
}

#[derive(clap::Args)]
pub(crate) struct Store {
    /// The program to measure.
    #[arg(long, default_value = "target/release/argosy")]
    argosy: PathBuf,
    /// The peer.
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// Requests of each kind in each round.
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// Clients that wait for each answer before the next request.
    #[arg(long, default_value_t = 100)]
    clients: u64,
    /// Connections that the clients share.
    #[arg(long, default_value_t = 10)]
    connections: usize,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// Rounds; figures are medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::Store(options) => store(&options).await,
        What::Scene(options) => scene::measure(&options),
        What::Containers(options) => containers::measure(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn store(options: &Store) -> Result<()> {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let server = server::Server::argosy(&options.argosy)?;
        ours.push(load::measure(&server, options).await?);
        drop(server);
        let server = server::Server::etcd(&options.etcd)?;
        theirs.push(load::measure(&server, options).await?);
    }
    println!("{}", report::table(options, &ours, &theirs));
    Ok(())
}
