//! `argosy verify`: checks unit files and prints what is wrong like a compiler.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use argosy_api::Client;
use argosy_api::operator::{SubmittedFile, UnitView};
use argosy_model::UnitName;
use argosy_unit::{Diagnostic, HandedIn, Severity, Siblings, Style};

use crate::args::{Files, Global};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// Largest unit file: what the registry stores.
const FILE_BYTES_MAX: u64 = argosy_registry::TEXT_BYTES_MAX as u64;

pub(crate) async fn run(files: &Files, global: &Global, printer: &Printer) -> Result<(), Failure> {
    let files = read(files, printer)?;
    // Without a cluster the files can only require one another and what is built in.
    let stored = match session::daemon(global) {
        Ok(client) => stored_units(&client).await.unwrap_or_default(),
        Err(_) => BTreeSet::new(),
    };
    check(&files, &stored, printer)?;
    let names: Vec<&String> = files.iter().map(|file| &file.name).collect();
    printer.show(&names, |names| match names.len() {
        1 => "1 unit file is good".into(),
        several => format!("{several} unit files are good"),
    })
}

/// Returns the names of the units that the cluster knows.
pub(crate) async fn stored_units(client: &Client) -> Result<BTreeSet<String>, Failure> {
    let units: Vec<UnitView> = client.get("/v1/units").await?;
    Ok(units.into_iter().map(|unit| unit.name).collect())
}

/// Reads unit files, and those in directories, in order of their names; `-` is standard input. Of
/// files that can be read what is wrong in them is shown also when others cannot be.
pub(crate) fn read(files: &Files, printer: &Printer) -> Result<Vec<SubmittedFile>, Failure> {
    let (mut read, mut failures) = (Vec::<SubmittedFile>::new(), Vec::new());
    for path in &files.files {
        let found = match path {
            path if path.as_os_str() == "-" => vec![standard_input(files.name.as_deref())],
            path if path.is_dir() => match directory(path) {
                Ok(paths) => paths.iter().map(|path| read_file(path)).collect(),
                Err(failure) => vec![Err(failure)],
            },
            path => vec![read_file(path)],
        };
        for file in found {
            let file = file.and_then(|file| match read.iter().find(|it| it.name == file.name) {
                None => Ok(file),
                Some(other) => {
                    let message = format!("{} and {} are the same unit", other.file, file.file);
                    Err(Failure::new(Exit::BadInput, message).with_help("give each unit once"))
                }
            });
            match file {
                Ok(file) => read.push(file),
                Err(failure) => failures.push(failure),
            }
        }
    }
    let Some(last) = failures.pop() else {
        return Ok(read);
    };
    // What the others may require is not known, so only what stands in each file is looked at.
    for (diagnostic, text) in diagnostics(&read, &|_| true).iter().filter(|_| !printer.json()) {
        show(diagnostic, text, printer);
    }
    for failure in &failures {
        printer.failure(failure);
    }
    Err(last)
}

fn standard_input(name: Option<&str>) -> Result<SubmittedFile, Failure> {
    let bad = |message: String| Failure::new(Exit::BadInput, message);
    let name = name.ok_or_else(|| {
        bad("the unit on standard input has no name".into()).with_help("give one: --name NAME -")
    })?;
    let name = session::unit_name(name)?.to_string();
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| bad(format!("cannot read standard input: {error}")))?;
    let text = text_of("standard input", bytes)?;
    Ok(SubmittedFile { file: name.clone(), name, text })
}

fn directory(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::BadInput, format!("cannot list {}: {error}", path.display()))
    };
    let mut found = Vec::new();
    for item in std::fs::read_dir(path).map_err(failed)? {
        let item = item.map_err(failed)?.path();
        let name = item.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if item.is_file() && UnitName::new(name).is_ok() {
            found.push(item);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(Exit::BadInput, format!("{} has no unit files", path.display()))
            .with_help("unit files end in .service or another unit type"));
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<SubmittedFile, Failure> {
    let file = path.display().to_string();
    let failed = |why: &str| Failure::new(Exit::BadInput, format!("cannot read {file}: {why}"));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(&error.to_string()))?;
    let text = text_of(&file, bytes)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    UnitName::new(name.clone())
        .map_err(|error| failed(&error.to_string()).with_help("name the file as its unit"))?;
    Ok(SubmittedFile { name, file, text })
}

fn text_of(file: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(Exit::BadInput, format!("cannot read {file}: {why}"));
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(format!("it has more than the {FILE_BYTES_MAX} bytes allowed")));
    }
    String::from_utf8(bytes)
        .map_err(|error| failed(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())))
}

/// Checks files, prints every diagnostic, and fails if one is an error. A unit may require those
/// of the same files, those in `stored`, and what is built in.
pub(crate) fn check(
    files: &[SubmittedFile],
    stored: &BTreeSet<String>,
    printer: &Printer,
) -> Result<(), Failure> {
    let names: Vec<UnitName> =
        files.iter().filter_map(|file| UnitName::new(file.name.clone()).ok()).collect();
    let known = |name: &UnitName| names.contains(name) || stored.contains(name.as_str());
    refuse(&diagnostics(files, &known), printer)
}

/// Fails, and says why, if some of the files can be checked and not run.
pub(crate) fn check_runs(files: &[SubmittedFile], printer: &Printer) -> Result<(), Failure> {
    let names: Vec<UnitName> =
        files.iter().filter_map(|file| UnitName::new(file.name.clone()).ok()).collect();
    let given: Vec<HandedIn<'_>> = files
        .iter()
        .zip(&names)
        .map(|(file, name)| HandedIn { name, file: &file.file, text: &file.text })
        .collect();
    let Err(found) = argosy_unit::join(&given) else { return Ok(()) };
    let text = |file: &str| files.iter().find(|it| it.file == file).map_or("", |it| &it.text);
    let shown: Vec<(Diagnostic, &str)> =
        found.into_iter().map(|one| (one.clone(), text(&one.file))).collect();
    refuse(&shown, printer)
}

/// Shows diagnostics and fails if one of them is an error.
fn refuse(found: &[(Diagnostic, &str)], printer: &Printer) -> Result<(), Failure> {
    let mut errors = 0;
    for (diagnostic, text) in found {
        errors += usize::from(diagnostic.severity == Severity::Error);
        if !printer.json() {
            show(diagnostic, text, printer);
        }
    }
    if errors == 0 {
        return Ok(());
    }
    if printer.json() {
        let values: Vec<_> = found.iter().map(|(diagnostic, _)| as_json(diagnostic)).collect();
        printer.show(&values, |_| String::new())?;
    }
    let message = format!("{errors} error{} found", if errors == 1 { "" } else { "s" });
    Err(Failure::shown(Exit::BadInput, message))
}

/// Returns what there is to say of files, each with the text that it is about.
fn diagnostics<'f>(
    files: &'f [SubmittedFile],
    known: &dyn Fn(&UnitName) -> bool,
) -> Vec<(Diagnostic, &'f str)> {
    let names: Vec<UnitName> =
        files.iter().filter_map(|file| UnitName::new(file.name.clone()).ok()).collect();
    let mut siblings = Siblings::new();
    for (file, name) in files.iter().zip(&names) {
        siblings.add(name, &file.text);
    }
    let mut found = Vec::new();
    for (file, name) in files.iter().zip(&names) {
        let checked =
            argosy_unit::check_with_siblings(&file.file, &file.text, name, known, &siblings);
        found.extend(checked.diagnostics.into_iter().map(|one| (one, file.text.as_str())));
    }
    found
}

fn show(diagnostic: &Diagnostic, source: &str, printer: &Printer) {
    let style = if std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
    printer.note(&argosy_unit::render(diagnostic, source, style));
}

fn as_json(diagnostic: &Diagnostic) -> serde_json::Value {
    serde_json::json!({
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "severity": diagnostic.severity.to_string(),
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}
