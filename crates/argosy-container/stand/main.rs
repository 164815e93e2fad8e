//! The helper as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    argosy_container::helper_main(std::env::args_os().skip(1))
}
