//! What other terminals do to a demonstration that runs.

use std::process::ExitCode;

use argosy_testbed::{Control, Exit as Ended, MachineCommand, Mode};

use crate::args::DemoAction;
use crate::demo::cluster::testbed;
use crate::demo::machines;
use crate::demo::outside::BALANCER_PORT;
use crate::failure::{Exit, Failure};
use crate::printer::{Printer, table};

/// What a shell gives the status of a program that a signal ended, less the signal's number.
const SIGNALLED: i32 = 128;

/// Acts on the running demonstration of that name.
pub(super) fn run(name: &str, action: DemoAction, printer: &Printer) -> Result<ExitCode, Failure> {
    let control = Control::open(name, None).map_err(|error| {
        testbed(error).with_help("run `argosy demo` in another terminal of the same user first")
    })?;
    match action {
        DemoAction::List => list(&control, printer)?,
        DemoAction::Enter { machine, command } => return enter(&control, &machine, command),
        DemoAction::Kill { machine } => control.kill(&machine).map_err(testbed)?,
        DemoAction::Pause { machine } => control.pause(&machine).map_err(testbed)?,
        DemoAction::Resume { machine } => control.resume(&machine).map_err(testbed)?,
        DemoAction::Partition { groups } => partition(&control, &groups)?,
        DemoAction::Heal => control.heal().map_err(testbed)?,
        DemoAction::Stop { machine } => machines::stop(&control, &machine)?,
        DemoAction::Add { machine, zone } => {
            printer.line(&machines::add(&control, name, machine, zone)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(control: &Control, printer: &Printer) -> Result<(), Failure> {
    let status = control.status().map_err(testbed)?;
    printer.show(&status, |status| {
        let balancer = |machine: &str| {
            let mut ways = status.forwards.iter();
            let way = ways.find(|it| it.machine == machine && it.port == BALANCER_PORT);
            way.map_or_else(|| "-".to_owned(), |way| format!("http://{}", way.listen))
        };
        let rows = status.machines.iter().map(|machine| {
            // A name that serde gives, so that both forms say the same.
            let state = serde_json::to_value(machine.state).unwrap_or_default();
            vec![
                machine.name.clone(),
                state.as_str().unwrap_or("-").to_owned(),
                machine.address.to_string(),
                if machine.link_up { "up" } else { "down" }.to_owned(),
                balancer(&machine.name),
                machine.runtime_directory.display().to_string(),
            ]
        });
        let head = ["MACHINE", "STATE", "ADDRESS", "LINK", "LOAD BALANCER", "RUNTIME DIRECTORY"];
        table(&head, rows.collect())
    })
}

fn enter(control: &Control, machine: &str, argv: Vec<String>) -> Result<ExitCode, Failure> {
    let info = control.machine(machine).map_err(testbed)?;
    let argv = if argv.is_empty() { vec!["/bin/sh".to_owned()] } else { argv };
    let mut command = MachineCommand::new(argv);
    let own = std::env::current_exe().ok();
    if let Some(own) = own.as_ref().and_then(|path| path.parent()) {
        // `argosy` inside is this program.
        let (_, path) = &mut command.environment[0];
        *path = format!("{}:{path}", own.display());
    }
    let runtime = info.runtime_directory.display().to_string();
    command.environment.push(("ARGOSY_RUNTIME_DIR".into(), runtime));
    command.environment.push(("PS1".into(), format!("{machine}# ")));
    for name in ["TERM", "LANG", "HOME"] {
        if let Ok(value) = std::env::var(name) {
            command.environment.push((name.into(), value));
        }
    }
    let code = match control.enter(machine, command).map_err(testbed)? {
        Ended::Code(code) => code,
        Ended::Signal(signal) => SIGNALLED + signal,
        Ended::MachineLost => {
            let message = format!("machine {machine} was lost meanwhile");
            return Err(Failure::new(Exit::Unreachable, message));
        }
    };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Cuts the groups from each other; machines that no group names are one more group.
fn partition(control: &Control, groups: &[String]) -> Result<(), Failure> {
    let status = control.status().map_err(testbed)?;
    if status.mode == Mode::Loopback {
        let message = "machines in loopback mode share one network, which cannot be cut";
        return Err(Failure::new(Exit::Refused, message));
    }
    let mut named: Vec<Vec<&str>> = groups.iter().map(|it| it.split(',').collect()).collect();
    let all = status.machines.iter().map(|machine| machine.name.as_str());
    let rest: Vec<&str> = all.filter(|name| !named.iter().flatten().any(|it| it == name)).collect();
    named.push(rest);
    let slices: Vec<&[&str]> = named.iter().map(Vec::as_slice).collect();
    control.partition(&slices).map_err(testbed)
}
