//! Completion scripts and man pages, from the definitions of the command line.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Arguments;
use crate::failure::{Exit, Failure};

pub(crate) fn completion(shell: clap_complete::Shell) {
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "argosy", &mut std::io::stdout());
}

pub(crate) fn man_pages(directory: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Arguments::command(), directory).map_err(|error| {
        Failure::new(
            Exit::BadInput,
            format!("cannot write man pages into {}: {error}", directory.display()),
        )
    })
}
