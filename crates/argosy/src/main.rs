//! The `argosy` program: reads the command line, runs one command, reports how it ended.

mod args;
mod commands;
mod container;
mod context;
mod daemon;
mod demo;
mod failure;
mod logging;
mod notify;
mod printer;
mod processes;
mod program;
mod proxy;
mod session;
mod template;
mod through_daemon;

use std::process::ExitCode;

use args::{Arguments, Command};
use failure::Failure;
use printer::Printer;

/// A wrong command line (EX_USAGE of sysexits.h), so that it differs from a refusal.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    // Before any thread: parts of a testbed enter namespaces.
    if let Some(code) = argosy_testbed::hidden_role() {
        return code;
    }
    if let Some(code) = container::hidden_role() {
        return code;
    }
    let line = container::as_docker(container::spoken(std::env::args_os().collect()));
    let is_run = container::is_run(&line);
    let arguments = match Arguments::read(line) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = match error.use_stderr() {
                // Help and version go to standard output and are no error.
                false => 0,
                true if is_run => container::EXIT_NOT_MADE,
                true => EXIT_USAGE,
            };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    let printer = Printer::new(arguments.global.output);
    match run(arguments, &printer) {
        Ok(code) => code,
        Err(failure) => printer.failure(&failure),
    }
}

fn run(arguments: Arguments, printer: &Printer) -> Result<ExitCode, Failure> {
    match arguments.command {
        // These run their own loops; the keeper must stay a process with one thread.
        Some(Command::Supervisor(options)) => processes::supervisor(&arguments.global, &options),
        Some(Command::SupervisorProcess(options)) => {
            processes::supervisor_process(&arguments.global, options)
        }
        Some(Command::Daemon(options)) => daemon::main(&arguments.global, options),
        Some(Command::Proxy(options)) => proxy::main(&arguments.global, options),
        Some(Command::ProxyProcess(options)) => proxy::process(&arguments.global, options),
        Some(Command::Demo(options)) => demo::run(options, &arguments.global, printer),
        Some(Command::Container(options)) => container::main(&options, &arguments.global, printer),
        Some(Command::Pod(options)) => container::pod(&options, &arguments.global, printer),
        Some(Command::Network(options)) => container::network(&options, &arguments.global, printer),
        Some(Command::Volume(options)) => container::volume(&options, &arguments.global, printer),
        Some(Command::DemoUnit(options)) => demo::unit(&options, printer),
        command => commands::run(command, &arguments.global, printer),
    }
}
