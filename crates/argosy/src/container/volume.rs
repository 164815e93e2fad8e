//! `argosy volume`.

use std::process::ExitCode;

use serde_json::Value;

use super::names::naming;
use super::volumes::{NewVolume, Volume, VolumeKind};
use super::{Engine, each, inspect, options};
use crate::args::{Global, Volume as VolumeOptions, VolumeAction};
use crate::commands::time;
use crate::failure::{Exit, Failure};
use crate::printer::{Printer, table};
use crate::template::{Columns, print_lines};

/// docker's fields of `ls`, and its names of columns.
const COLUMNS: &Columns = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Scope", "SCOPE"),
];

pub(crate) fn main(
    options: &VolumeOptions,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let engine = Engine::of(global, &options.data.data_dir)?;
    match &options.action {
        VolumeAction::Create { ignore, driver, opt, label, name } => {
            if driver != "local" {
                let message = format!("there is no driver {driver:?} of volumes");
                return Err(Failure::new(Exit::BadInput, message).with_help("there is `local`"));
            }
            let new = NewVolume { options: opt.clone(), labels: options::pairs(label)? };
            let volume = engine.volumes.make(name.as_deref(), &new, *ignore)?;
            printer.line(&volume.name)?;
        }
        VolumeAction::Ls { quiet, format } => {
            for name in engine.volumes.names()? {
                if let Err(failure) = engine.volumes.find_if_there(&name) {
                    let help = failure.help.unwrap_or_default();
                    printer.note(&format!("note: {}; {help}", failure.message));
                }
            }
            let found = engine.volumes.list()?;
            let lines: Vec<_> = found.iter().map(|it| fields(&engine, it)).collect();
            let format = format.as_deref().filter(|_| !quiet);
            let is_done =
                format.map(|format| print_lines(format, COLUMNS, &lines, printer)).transpose()?;
            if is_done != Some(true) {
                list(&found, *quiet, printer)?;
            }
        }
        VolumeAction::Inspect { docker, format, volumes } => {
            let found: Vec<_> = volumes
                .iter()
                .map(|name| {
                    let volume = engine.volumes.find(name)?;
                    if *docker || format.is_some() {
                        return Ok(inspect::volume_value(&engine, &volume));
                    }
                    let mut value = serde_json::to_value(&volume).unwrap_or_default();
                    value["path"] = engine.volumes.data_of(&volume).display().to_string().into();
                    value["used_by"] = engine.volumes.users(&engine, &volume.name)?.into();
                    Ok(value)
                })
                .collect::<Result<_, Failure>>()?;
            inspect::show(&found, format.as_deref(), printer)?;
        }
        VolumeAction::Rm { force, volumes } => {
            // A container that is being made has its volumes before it is on record.
            let _naming = naming(&engine)?;
            return each(volumes, printer, |name| match *force {
                true => engine.volumes.remove_if_there(&engine, name).map(drop),
                false => engine.volumes.remove(&engine, name),
            });
        }
        VolumeAction::Prune { all, force: _ } => {
            let _naming = naming(&engine)?;
            for volume in engine.volumes.list()?.iter().filter(|it| *all || it.nameless) {
                let is_unused = engine.volumes.users(&engine, &volume.name)?.is_empty();
                if is_unused && engine.volumes.remove_if_there(&engine, &volume.name)? {
                    printer.line(&volume.name)?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns docker's fields of a line, for templates.
fn fields(engine: &Engine, volume: &Volume) -> Value {
    let mut value = inspect::volume_value(engine, volume);
    let labels: Vec<String> =
        volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    value["Labels"] = labels.join(",").into();
    value
}

fn list(volumes: &[Volume], quiet: bool, printer: &Printer) -> Result<(), Failure> {
    if quiet {
        return volumes.iter().try_for_each(|volume| printer.line(&volume.name));
    }
    printer.show(&volumes, |volumes| {
        let rows = volumes.iter().map(|volume| {
            let kind = match &volume.kind {
                VolumeKind::Own => "own".to_owned(),
                VolumeKind::Directory { path } => path.display().to_string(),
                VolumeKind::Tmpfs { .. } => "memory".to_owned(),
            };
            vec![volume.name.clone(), kind, time::since(volume.created_ms * 1_000)]
        });
        table(&["NAME", "WHERE", "CREATED"], rows.collect())
    })
}
