//! `argosy demo`: a cluster of several machines on this computer, what happens when one is lost,
//! and nothing left behind.

mod cluster;
mod faults;
mod http;
mod loss;
mod outside;
mod program;
mod report;
mod story;

use std::process::ExitCode;
use std::time::Instant;

use argosy_testbed::{Mode, Testbed, TestbedConfig, Wanted};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::{Demo, DemoMode, DemoUnit, Global};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use report::Recorder;

/// What a shell gives a program that a signal ended, less the signal's number.
const SIGNALLED: u8 = 128;

/// Runs the demonstration, or acts on one that runs.
pub(crate) fn run(options: Demo, global: &Global, printer: &Printer) -> Result<ExitCode, Failure> {
    match options.action {
        Some(action) => faults::run(&options.name, action, printer),
        None => show(&options, global, printer),
    }
}

/// Is one of the demonstration's units.
pub(crate) fn unit(options: &DemoUnit, printer: &Printer) -> Result<ExitCode, Failure> {
    program::run(options, printer)
}

/// The signals that end the demonstration.
struct Signals([(u8, Signal); 3]);

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let on = |kind: SignalKind, number| match signal(kind) {
            Ok(signal) => Ok((number, signal)),
            Err(error) => Err(Failure::from_error(Exit::BadInput, &error)),
        };
        // Numbers of signal(7).
        Ok(Signals([
            on(SignalKind::interrupt(), 2)?,
            on(SignalKind::terminate(), 15)?,
            on(SignalKind::hangup(), 1)?,
        ]))
    }

    /// Waits for any of them and returns its number.
    async fn any(&mut self) -> u8 {
        let [(two, interrupt), (fifteen, terminate), (one, hangup)] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => *two,
            _ = terminate.recv() => *fifteen,
            _ = hangup.recv() => *one,
        }
    }
}

fn show(options: &Demo, global: &Global, printer: &Printer) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let begun = Instant::now();
        let testbed = create(options)?;
        introduce(options, &testbed, printer)?;
        let (control, mode) = (testbed.control(), testbed.mode());
        let mut told = Recorder::new(mode, Printer::new(global.output), begun);
        let (done, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let result = story::tell(&control, mode, &mut told);
            // Nobody waits any more if a signal came first.
            drop(done.send((told.report, result)));
        });
        let told = tokio::select! {
            number = signals.any() => {
                remove(testbed, printer)?;
                return Ok(ExitCode::from(SIGNALLED + number));
            }
            told = ended => told,
        };
        let Ok((mut report, result)) = told else {
            return Err(Failure::new(Exit::BadInput, "the demonstration broke off"));
        };
        report.ok = result.is_ok();
        report.failure = result.as_ref().err().map(|failure| failure.message.clone());
        if printer.json() {
            printer.show(&report, |_| String::new())?;
        }
        if result.is_ok() && !options.once {
            printer.note(&stay(&options.name, &report));
            signals.any().await;
        }
        remove(testbed, printer)?;
        match result {
            Ok(()) => Ok(ExitCode::SUCCESS),
            // It is in the report.
            Err(failure) if printer.json() => Err(Failure { shown: true, ..failure }),
            Err(failure) => Err(failure),
        }
        .map_err(|failure| Failure { exit: Exit::BadInput, ..failure })
    })
}

fn create(options: &Demo) -> Result<Testbed, Failure> {
    let wanted = match options.mode {
        None => Wanted::Any,
        Some(DemoMode::Root) => Wanted::Only(Mode::Root),
        Some(DemoMode::User) => Wanted::Only(Mode::User),
        Some(DemoMode::Loopback) => Wanted::Only(Mode::Loopback),
    };
    let config = TestbedConfig { wanted, ..TestbedConfig::new(&options.name) };
    Testbed::create(config).map_err(cluster::testbed)
}

/// Says which mode it became. With `--once`, a lesser one than this user can expect is a failure:
/// a check that silently shows less would be taken for one that shows all.
fn introduce(options: &Demo, testbed: &Testbed, printer: &Printer) -> Result<(), Failure> {
    let mode = testbed.mode();
    let best = if rustix::process::geteuid().is_root() { Mode::Root } else { Mode::User };
    if options.once && options.mode.is_none() && mode != best {
        let message = format!("only {mode} mode works here, not {best} mode");
        return Err(Failure::new(Exit::BadInput, message)
            .with_help(format!("ask for it: argosy demo --once --mode {mode}")));
    }
    if !printer.json() {
        printer.line(&format!("machines are kept apart in {mode} mode"))?;
        for limit in testbed.limits() {
            printer.line(&format!("  {limit}"))?;
        }
    }
    Ok(())
}

fn stay(name: &str, report: &report::Report) -> String {
    let mut text = String::from("\nIt runs on until Ctrl-C. From another terminal:\n");
    for machine in &report.machines {
        text.push_str(&format!(
            "  {} (zone {}, {})  argosy --runtime-dir {} list-units\n",
            machine.name, machine.zone, machine.address, machine.runtime_directory
        ));
    }
    let option = if name == "demo" { String::new() } else { format!(" --name {name}") };
    text.push_str(&format!(
        "  argosy demo{option} list | enter M | kill M | pause M | resume M | partition M,M | heal\n\
         There is no load balancer yet: clients ask the store where a unit is. A lost machine is\n\
         noticed after three seconds without a report."
    ));
    text
}

fn remove(testbed: Testbed, printer: &Printer) -> Result<(), Failure> {
    printer.progress("removing everything ...");
    testbed.destroy().map_err(cluster::testbed)
}
