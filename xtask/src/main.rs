//! The project's own checks: `cargo xtask test|lint|tidy|sim|bench|dist`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people")]

mod bench;
mod dist;
mod layers;
mod needs;
mod run;
mod suite;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own checks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must pass: tidy, tests of every crate, the simulator's listed seeds.
    Test {
        /// Run only the tests whose names contain this.
        filter: Option<String>,
    },
    /// Formatting, clippy without warnings, tidy.
    Lint,
    /// Lint, all tests and the release build, side by side.
    Ci,
    /// Layers, file heads, file lengths, forbidden names.
    Tidy,
    /// The simulator, optimised. Arguments go to it: `cargo xtask sim --seeds 2000`.
    Sim {
        /// See `cargo xtask sim --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures: beside the peer in one run, or the loss of a machine.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Builds the static binary that ships, into target/dist.
    Dist,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test { filter } => run::test(filter.as_deref()),
        Task::Lint => run::lint(),
        Task::Ci => run::ci(),
        Task::Tidy => tidy::check(),
        Task::Sim { arguments } => run::sim(&arguments),
        Task::Bench { what } => bench::run(&what),
        Task::Dist => dist::build(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
