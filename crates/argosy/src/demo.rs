//! `argosy demo`: a cluster of several machines on this computer, what happens when one is lost,
//! and nothing left behind.

mod aftermath;
mod carried;
mod client;
mod cluster;
mod context;
mod faults;
mod http;
mod image;
mod list;
mod loss;
mod machines;
mod memory;
mod outside;
mod program;
mod report;
mod story;

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use argosy_testbed::{Control, MachineState, Mode, Testbed, TestbedConfig, TestbedError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::{Demo, DemoMode, DemoUnit, Global, RUNTIME_DIR};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session::API_SOCKET;
use report::Recorder;
use story::Wanted;

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
        let kept = context::Kept::begin(&options.name);
        let mut told = Recorder::new(mode, Printer::new(global.output), begun);
        let (done, ended) = oneshot::channel();
        let wanted = Wanted {
            lose: options.lose,
            timing: options.timing,
            loss_only: options.loss_only,
            native: options.native,
            // Nobody who asks for loopback mode expects them.
            less_is_fine: !options.once || options.mode == Some(DemoMode::Loopback),
        };
        let name = options.name.clone();
        std::thread::spawn(move || {
            let result = story::tell(&name, &control, mode, wanted, &mut told);
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
            printer.note(&stay(&options.name, &testbed, kept.as_ref()));
            signals.any().await;
        }
        // First, so that nobody is sent to machines that are ending.
        drop(kept);
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
        None => argosy_testbed::Wanted::Any,
        Some(DemoMode::Root) => argosy_testbed::Wanted::Only(Mode::Root),
        Some(DemoMode::User) => argosy_testbed::Wanted::Only(Mode::User),
        Some(DemoMode::Loopback) => argosy_testbed::Wanted::Only(Mode::Loopback),
    };
    loopback()?;
    let config = TestbedConfig { wanted, ..TestbedConfig::new(&options.name) };
    Testbed::create(config).map_err(|error| match error {
        TestbedError::RunsAlready { name } => runs_already(&name),
        error @ TestbedError::NoMode { .. } => {
            let help = no_mode_help(options.mode);
            Failure { help: help.map(str::to_owned), ..cluster::testbed(error) }
        }
        error => cluster::testbed(error),
    })
}

/// Returns what to do about a mode that was asked for and does not work here.
fn no_mode_help(asked: Option<DemoMode>) -> Option<&'static str> {
    match asked? {
        DemoMode::Root => Some(
            "run it as root, who may make namespaces; or leave --mode out to have the best that \
             works for this user",
        ),
        DemoMode::User => Some(
            "let root allow them: sysctl user.max_user_namespaces=10000; or do without: argosy \
             demo --mode loopback",
        ),
        DemoMode::Loopback => None,
    }
}

/// The ways to the machines begin at this computer's loopback addresses: without them, the story
/// would wait in vain.
fn loopback() -> Result<(), Failure> {
    let talk = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        TcpStream::connect(listener.local_addr()?).map(drop)
    };
    talk().map_err(|error: io::Error| {
        let message = format!("127.0.0.1 does not work on this computer: {error}");
        Failure::new(Exit::BadInput, message)
            .with_help("is the loopback device up here? ip link set lo up")
    })
}

fn runs_already(name: &str) -> Failure {
    let status = Control::open(name, None).and_then(|control| control.status());
    let end = status.map_or_else(
        |_| "end it with Ctrl-C where it runs".to_owned(),
        |status| format!("end it with Ctrl-C where it runs, or: kill {}", status.owner_pid),
    );
    Failure::new(Exit::BadInput, format!("a demonstration of the name {name} runs already"))
        .with_help(format!("{end}; or show another beside it: argosy demo --name {name}-2"))
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

/// The option with which commands reach the demonstration of that name.
fn chosen(name: &str) -> String {
    if name == "demo" { String::new() } else { format!(" --name {name}") }
}

/// What can be done with the running demonstration, said once the story is over.
fn stay(name: &str, testbed: &Testbed, kept: Result<&context::Kept, &Failure>) -> String {
    let status = testbed.status().ok();
    let machines = status.iter().flat_map(|it| &it.machines);
    let running = machines.filter(|it| it.state == MachineState::Running);
    let running: Vec<_> = running.collect();
    let mut text = String::from("\nIt runs on until Ctrl-C. In your browser or with curl:\n");
    for way in status.iter().flat_map(|it| &it.forwards) {
        if way.port == outside::BALANCER_PORT && running.iter().any(|it| it.name == way.machine) {
            text.push_str(&format!(
                "  http://{} -> load balancer on {}\n",
                way.listen, way.machine
            ));
        }
    }
    text.push_str("The machines, which reach each other at\n");
    for machine in &running {
        text.push_str(&format!("  {} {}\n", machine.name, machine.address));
    }
    text.push_str("From any other terminal of yours:\n");
    let directory = std::env::current_exe().ok().and_then(|it| Some(it.parent()?.to_owned()));
    if let Some(directory) = directory {
        text.push_str(&format!("  export PATH=\"{}:$PATH\"\n", directory.display()));
    }
    let usual = std::path::Path::new(RUNTIME_DIR).join(API_SOCKET).exists();
    let to = match kept {
        Ok(kept) if kept.is_current() && !usual => String::new(),
        Ok(_) => format!(" -M {name}"),
        Err(failure) => {
            let any = running.first().map(|it| it.runtime_directory.display().to_string());
            text.push_str(&format!("  (there is no context: {})\n", failure.message));
            format!(" --runtime-dir {}", any.unwrap_or_default())
        }
    };
    let option = chosen(name);
    let lost = status.iter().flat_map(|it| &it.machines);
    for machine in lost.filter(|it| it.state == MachineState::Stopped) {
        let name = &machine.name;
        text.push_str(&format!(
            "  argosy demo{option} add {name}    # {name} voted, and two of three must: switch it on \
             before the next one is lost\n"
        ));
    }
    text.push_str(&format!(
        "  argosy{to} list-units\n  argosy{to} list-machines\n  argosy{to} why api@1\n\
         \x20 argosy demo{option} list\n  argosy demo{option} enter m2\n\
         \x20 argosy demo{option} kill|pause|resume|partition|stop m2\n\
         \x20 argosy demo{option} heal\n  argosy demo{option} add"
    ));
    text
}

fn remove(testbed: Testbed, printer: &Printer) -> Result<(), Failure> {
    printer.progress("removing everything ...");
    testbed.destroy().map_err(cluster::testbed)
}
