//! What other terminals do to a demonstration that runs.

use std::process::ExitCode;

use argosy_testbed::{Control, Exit as Ended, MachineCommand, Mode};
use serde::Serialize;

use crate::args::DemoAction;
use crate::demo::cluster::testbed;
use crate::demo::{chosen, list, machines};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// What a shell gives the status of a program that a signal ended, less the signal's number.
const SIGNALLED: i32 = 128;

/// Acts on the running demonstration of that name.
pub(super) fn run(name: &str, action: DemoAction, printer: &Printer) -> Result<ExitCode, Failure> {
    let control = Control::open(name, None).map_err(|error| {
        testbed(error).with_help("run `argosy demo` in another terminal of the same user first")
    })?;
    let again = format!("argosy demo{}", chosen(name));
    let done = match action {
        DemoAction::List => {
            list::run(&control, printer)?;
            return Ok(ExitCode::SUCCESS);
        }
        DemoAction::Enter { machine, command } => return enter(&control, &machine, command),
        DemoAction::Kill { machine } => {
            control.kill(&machine).map_err(testbed)?;
            format!("all of {machine} is killed; switch it on again: {again} add {machine}")
        }
        DemoAction::Pause { machine } => {
            control.pause(&machine).map_err(testbed)?;
            format!("all processes of {machine} are frozen, until {again} resume {machine}")
        }
        DemoAction::Resume { machine } => {
            control.resume(&machine).map_err(testbed)?;
            format!("{machine} runs")
        }
        DemoAction::Partition { groups } => {
            format!("cut from each other, until {again} heal: {}", partition(&control, &groups)?)
        }
        DemoAction::Heal => {
            control.heal().map_err(testbed)?;
            "all machines reach each other".to_owned()
        }
        DemoAction::Stop { machine } => {
            machines::stop(&control, &machine)?;
            format!("{machine} is off; switch it on again: {again} add {machine}")
        }
        DemoAction::Add { machine, zone } => machines::add(&control, name, machine, zone)?,
    };
    printer.show(&Done { done }, |it| it.done.clone())?;
    Ok(ExitCode::SUCCESS)
}

/// What was done.
#[derive(Serialize)]
struct Done {
    done: String,
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
    let data = info.data_directory.display().to_string();
    command.environment.push(("ARGOSY_DATA_DIR".into(), data));
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

/// Cuts the groups from each other; machines that no group names are one more group. Returns which
/// groups there are.
fn partition(control: &Control, groups: &[String]) -> Result<String, Failure> {
    let status = control.status().map_err(testbed)?;
    if status.mode == Mode::Loopback {
        let message = "machines in loopback mode share one network, which cannot be cut";
        return Err(Failure::new(Exit::Refused, message));
    }
    let mut named: Vec<Vec<&str>> = groups.iter().map(|it| it.split(',').collect()).collect();
    let all = status.machines.iter().map(|machine| machine.name.as_str());
    let rest: Vec<&str> = all.filter(|name| !named.iter().flatten().any(|it| it == name)).collect();
    if !rest.is_empty() {
        named.push(rest);
    }
    let slices: Vec<&[&str]> = named.iter().map(Vec::as_slice).collect();
    control.partition(&slices).map_err(testbed)?;
    let groups: Vec<String> = named.iter().map(|group| group.join(",")).collect();
    Ok(groups.join(" | "))
}
