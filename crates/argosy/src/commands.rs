//! The commands that ask a running daemon or supervisor, or only read files.

mod apply;
mod cluster;
mod context;
mod generate;
pub(crate) mod image;
pub(crate) mod journal;
mod list;
mod local;
mod reexec;
mod scale;
mod status;
pub(crate) mod time;
mod verbs;
mod verify;
mod why;

use std::process::ExitCode;

use crate::args::{Cluster, Command, Global};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// Runs one command on a runtime of one thread.
pub(crate) fn run(
    command: Option<Command>,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    runtime.block_on(dispatch(command, global, printer))
}

async fn dispatch(
    command: Option<Command>,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let Some(command) = command else {
        return status::overview(global, printer).await;
    };
    session::refuse_local(global, &command)?;
    match command {
        Command::Cluster(Cluster::Init(options)) => cluster::init(options, global, printer).await?,
        Command::Cluster(Cluster::Status) => return status::overview(global, printer).await,
        Command::Cluster(Cluster::Join(options)) => cluster::join(options, global, printer).await?,
        Command::Context(action) => context::run(action, printer)?,
        Command::Token(command) => cluster::token(command, global, printer).await?,
        Command::ListMachines => list::machines(global, printer).await?,
        Command::Verify(files) => verify::run(&files, global, printer).await?,
        Command::Submit(files) => apply::submit(&files, global, printer).await?,
        Command::Apply(options) => return apply::apply(&options, global, printer).await,
        Command::Start(verb) => return verbs::run("start", &verb, global, printer).await,
        Command::Stop(verb) => return verbs::run("stop", &verb, global, printer).await,
        Command::Restart(verb) => return verbs::run("restart", &verb, global, printer).await,
        Command::Scale(options) => return scale::run(&options, global, printer).await,
        Command::Reload(verb) => return local::verb("reload", &verb, global, printer).await,
        Command::ResetFailed(verb) => {
            return local::verb("reset-failed", &verb, global, printer).await;
        }
        Command::Kill(options) => return local::kill(&options, global, printer).await,
        Command::Destroy(units) => return verbs::destroy(&units, global, printer).await,
        Command::Status(options) => return status::run(&options, global, printer).await,
        Command::Why(unit) => why::run(&unit, global, printer).await?,
        Command::ListUnits => list::units(global, printer).await?,
        Command::Cat(unit) => list::cat(&unit, global, printer).await?,
        Command::IsActive(units) => return list::is_active(&units, global, printer).await,
        Command::IsFailed(units) => return list::is_failed(&units, global, printer).await,
        Command::Journal(options) => journal::run(&options, global, printer).await?,
        Command::DaemonReexec(options) => return reexec::run(&options, global, printer).await,
        Command::Image(action) => image::run(action, global, printer).await?,
        Command::Pull(options) => image::pull(&options, global, printer).await?,
        Command::Images(options) => image::list(&options, printer)?,
        Command::Rmi(options) => image::remove(&options, printer)?,
        Command::DaemonReload => local::daemon_reload(global, printer).await?,
        Command::Completion { shell } => generate::completion(shell, printer)?,
        Command::ManPages { directory } => generate::man_pages(&directory)?,
        Command::Supervisor(_)
        | Command::SupervisorProcess(_)
        | Command::Daemon(_)
        | Command::Proxy(_)
        | Command::ProxyProcess(_)
        | Command::Container(_)
        | Command::Pod(_)
        | Command::Network(_)
        | Command::Volume(_)
        | Command::Demo(_)
        | Command::DemoUnit(_) => {
            return Err(Failure::new(Exit::BadInput, "this command runs a process of its own"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
