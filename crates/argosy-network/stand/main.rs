//! The companion as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(role) if role == argosy_network::COMPANION_ROLE => {
            argosy_network::companion_main(arguments)
        }
        _ => ExitCode::FAILURE,
    }
}
