//! The image of the demonstration's containers: made once on this computer, shared by all machines,
//! and tried before units count on it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use argosy_image::{ImportOptions, Limits, Reference, Store, archive_of, import, share};
use argosy_testbed::{Control, Exit as Ended, MachineCommand, MachineInfo};

use crate::demo::carried;
use crate::demo::cluster::testbed;
use crate::failure::{Exit, Failure};

/// The name of the image in the unit files.
const NAME: &str = "localhost/argosy-demo";
/// How long the first container may take on a busy computer.
const TRIAL_LIMIT: Duration = Duration::from_secs(30);

/// How the units run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As containers of the image.
    Containers,
    /// As processes.
    Native,
}

/// Files that are handed in: their names, and what stands in them.
pub(super) type Files = [(&'static str, &'static str); 3];

const CONTAINERS: Files = [
    ("database.container", include_str!("../../../../examples/containers/database.container")),
    ("api@.container", include_str!("../../../../examples/containers/api@.container")),
    ("lb@.container", include_str!("../../../../examples/containers/lb@.container")),
];

const SERVICES: Files = [
    ("database.service", include_str!("../../../../examples/demo/database.service")),
    ("api@.service", include_str!("../../../../examples/demo/api@.service")),
    ("lb@.service", include_str!("../../../../examples/demo/lb@.service")),
];

impl Form {
    pub(super) fn files(self) -> Files {
        match self {
            Form::Containers => CONTAINERS,
            Form::Native => SERVICES,
        }
    }

    /// What is done with them.
    pub(super) fn applied(self) -> &'static str {
        match self {
            Form::Containers => "`argosy apply examples/containers/`",
            Form::Native => "`argosy apply examples/demo/`",
        }
    }
}

/// An image that is being made and tried, meanwhile.
pub(super) struct Preparation(JoinHandle<Result<u64, Failure>>);

impl Preparation {
    /// Begins on a machine that has just begun to run.
    pub(super) fn begin(control: &Control, machine: &MachineInfo, program: &str) -> Preparation {
        let (control, machine, program) = (control.clone(), machine.clone(), program.to_owned());
        Preparation(std::thread::spawn(move || {
            let bytes = make(&machine)?;
            run_one(&control, &machine, &program)?;
            Ok(bytes)
        }))
    }

    /// Waits for it, and returns the bytes of the image or why containers do not run here.
    pub(super) fn finish(self) -> Result<u64, Failure> {
        let broken = || Failure::new(Exit::BadInput, "making the image broke off");
        self.0.join().map_err(|_| broken())?
    }
}

/// Makes the image in a machine's store.
fn make(machine: &MachineInfo) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::BadInput, format!("cannot read this program: {error}"))
    };
    let archive = archive_of(&carried::files().map_err(failed)?).map_err(failed)?;
    let options = ImportOptions {
        name: Some(name()?),
        cmd: vec![carried::PROGRAM.to_owned()],
        env: vec![format!("LD_LIBRARY_PATH={}", carried::LIBRARIES)],
        ..ImportOptions::default()
    };
    let store = open(machine)?;
    let image = import(&store, archive, &options)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    Ok(image.bytes)
}

/// Runs a container of it on the machine, to its end.
fn run_one(control: &Control, machine: &MachineInfo, program: &str) -> Result<(), Failure> {
    let path = machine.data_directory.join("container-trial.log");
    let failed = |error: std::io::Error| {
        Failure::new(Exit::BadInput, format!("cannot use {}: {error}", path.display()))
    };
    let log = File::create(&path).map_err(failed)?;
    let words = ["container", "run", "--rm", "--network=host", "--pull=never", NAME];
    let argv = [program].into_iter().chain(words).chain([carried::PROGRAM, "--version"]);
    let mut command = MachineCommand::new(argv.map(str::to_owned));
    for (name, directory) in [
        ("ARGOSY_DATA_DIR", &machine.data_directory),
        ("ARGOSY_RUNTIME_DIR", &machine.runtime_directory),
    ] {
        command.environment.push((name.to_owned(), directory.display().to_string()));
    }
    command.stderr = Some(log.into());
    let mut process = control.spawn(&machine.name, command).map_err(testbed)?;
    let how = match process.wait_for(TRIAL_LIMIT).map_err(testbed)? {
        Some(Ended::Code(0)) => return fs::remove_file(&path).map_err(failed),
        Some(ended) => ended.to_string(),
        None => format!("it still runs after {} s", TRIAL_LIMIT.as_secs()),
    };
    let text = fs::read_to_string(&path).unwrap_or_default();
    let said = text.lines().last().map(|line| line.trim_start_matches("argosy: ").to_owned());
    Err(Failure::new(Exit::BadInput, said.unwrap_or(how)))
}

/// Gives the image to every machine that has none, if there is one that has it.
pub(super) fn spread(control: &Control) -> Result<(), Failure> {
    let machines = control.status().map_err(testbed)?.machines;
    let name = name()?;
    let has = |machine: &&MachineInfo| {
        // Opening would make one.
        store_of(machine).exists()
            && open(machine).is_ok_and(|store| store.find(&name.to_string()).is_ok())
    };
    let (having, missing): (Vec<_>, Vec<_>) = machines.iter().partition(has);
    let Some(from) = having.first() else { return Ok(()) };
    let from = open(from)?;
    for machine in missing {
        share(&from, &name, &open(machine)?)
            .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    }
    Ok(())
}

fn name() -> Result<Reference, Failure> {
    NAME.parse()
        .map_err(|error: argosy_image::ReferenceError| Failure::from_error(Exit::BadInput, &error))
}

/// Where the engine of a machine looks for images.
fn store_of(machine: &MachineInfo) -> PathBuf {
    machine.data_directory.join("images")
}

fn open(machine: &MachineInfo) -> Result<Store, Failure> {
    Store::open_passing(store_of(machine), Limits::default())
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))
}
