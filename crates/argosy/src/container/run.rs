//! `argosy container run`: makes a container, and becomes its monitor.

use std::process::ExitCode;

use argosy_container::{RunOptions, Streams};

use super::background::{Output, start_in_background};
use super::create::{Purpose, UNIT_VARIABLE, new_container, ready};
use super::{Engine, become_helper};
use crate::args::ContainerRun;
use crate::failure::Failure;
use crate::printer::Printer;

/// docker's exit status for a container that could not be made.
pub(crate) const EXIT_NOT_MADE: u8 = 125;

pub(super) fn run(
    engine: &Engine,
    options: &ContainerRun,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    // In the foreground it returns only if the container has not begun.
    match begin(engine, options, printer) {
        Ok(code) => Ok(code),
        Err(failure) => {
            printer.failure(&failure);
            Ok(ExitCode::from(EXIT_NOT_MADE))
        }
    }
}

fn begin(engine: &Engine, options: &ContainerRun, printer: &Printer) -> Result<ExitCode, Failure> {
    let unit = std::env::var(UNIT_VARIABLE).ok();
    let id = new_container(engine, options, Purpose::Run { unit: unit.as_deref() }, printer)?;
    let run = RunOptions {
        streams: Streams { interactive: options.interactive, attachable: false },
        remove: options.rm.is_on(),
        background: options.detach,
        keeps_output: unit.is_some(),
        // A unit's output is in the journal; of what somebody sees and throws away nothing is kept.
        log: unit.is_none() && (options.detach || !options.rm.is_on()),
        ready: ready(options),
        supervised: unit.is_some(),
        lock: None,
    };
    let request = engine.containers.run_request(&id, run);
    match options.detach {
        true => {
            let output = if unit.is_some() { Output::Kept } else { Output::Nobodys };
            let code = start_in_background(&request, output, EXIT_NOT_MADE, None)?;
            if code == ExitCode::SUCCESS {
                printer.line(id.as_str())?;
            }
            Ok(code)
        }
        false => Err(become_helper(&request)),
    }
}
