//! Images come and go: pull, push, import, save, load.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use argosy_image::{
    Blame, Image, ImportOptions, LoadFrom, LoadOptions, PullOptions, Reference, SaveTo, Store, When,
};

use super::bars::Bars;
use super::{client, failed, familiar, policy, shown, store, store_with};
use crate::args::{Global, ImageImport, ImageLoad, ImagePull, ImagePush, ImageSave};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::through_daemon;

/// What helps when a registry cannot be reached.
const ELSEWHERE: &str =
    "if another machine of the cluster has the image, take what it has: argosy pull --missing";

pub(in crate::commands) async fn pull(
    options: &ImagePull,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    let store = store_with(&options.data, options.disk.limits())?;
    let (client, policy) = (client(&options.registry)?, policy()?);
    let pull = PullOptions {
        platform: options.platform.clone(),
        when: if options.missing { When::Missing } else { When::Always },
        holder: None,
        peers: through_daemon::peers(&global.api_socket(), &store),
    };
    let mut pulled = Vec::new();
    for reference in &options.images {
        let bars = Bars::new(&reference.familiar(), printer.json() || options.quiet);
        let image =
            argosy_image::pull(&store, &client, &policy, reference, &pull, bars.progress()).await;
        bars.end();
        let image = image.map_err(|error| {
            let hint = !options.missing && pull.peers.is_some();
            let hint = hint && error.blame() == Blame::Network;
            let failure = failed(error);
            if hint { failure.with_help(ELSEWHERE) } else { failure }
        })?;
        if options.quiet && !printer.json() {
            printer.line(image.id.short())?;
        } else if !printer.json() {
            printer.line(&line(&image, std::slice::from_ref(reference)))?;
        }
        pulled.push(shown::value(&store, &image)?);
    }
    if printer.json() { printer.show(&pulled, |_| String::new()) } else { Ok(()) }
}

/// One line about an image that is here now.
fn line(image: &Image, names: &[Reference]) -> String {
    let names = if names.is_empty() { "<none>".to_owned() } else { familiar(names).join(", ") };
    format!("{} {} ({})", image.id.short(), names, shown::size(image.bytes))
}

pub(super) async fn push(options: &ImagePush, printer: &Printer) -> Result<(), Failure> {
    let store = store(&options.data)?;
    let client = client(&options.registry)?;
    let to = match &options.to {
        Some(to) => to.clone(),
        None => options.image.parse().map_err(|error| {
            Failure::from_error(Exit::BadInput, &error)
                .with_help("name where it goes: argosy image push IMAGE NAME")
        })?,
    };
    let bars = Bars::new(&to.familiar(), printer.json());
    let pushed = argosy_image::push(&store, &client, &options.image, &to, &bars.progress()).await;
    bars.end();
    let manifest = pushed.map_err(failed)?;
    let value = serde_json::json!({"name": to.familiar(), "manifest": manifest});
    printer.show(&value, |_| format!("{} {manifest}", to.familiar()))
}

pub(super) fn import(options: ImageImport, printer: &Printer) -> Result<(), Failure> {
    let store = store(&options.data)?;
    let source = source(&options.file)?;
    let import = ImportOptions {
        platform: options.platform,
        name: options.name.clone(),
        cmd: options.command,
        entrypoint: Vec::new(),
        env: options.env,
        working_dir: options.workdir,
        user: options.user,
        created: Some(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        comment: options.message,
    };
    let image = argosy_image::import(&store, source, &import).map_err(failed)?;
    let names: Vec<Reference> = options.name.into_iter().collect();
    printer.show(&shown::value(&store, &image)?, |_| line(&image, &names))
}

fn source(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|error| {
        Failure::new(Exit::BadInput, format!("cannot open {}: {error}", path.display()))
    })?;
    Ok(Box::new(file))
}

pub(super) fn save(options: &ImageSave) -> Result<(), Failure> {
    let store = store(&options.data)?;
    if let Some(folder) = &options.layout {
        return argosy_image::save(&store, &options.images, SaveTo::Folder(folder)).map_err(failed);
    }
    if let Some(path) = &options.to {
        return save_to(&store, options, path);
    }
    if io::stdout().is_terminal() {
        return Err(Failure::new(Exit::BadInput, "an archive does not go to a terminal")
            .with_help("name a file with --to, or a directory with --layout"));
    }
    write(&store, options, io::stdout().lock())
}

/// Writes a file that is there only when all of it is; one of before stays until then.
fn save_to(store: &Store, options: &ImageSave, path: &Path) -> Result<(), Failure> {
    let cannot = |what: &str, path: &Path, error: io::Error| {
        Failure::new(Exit::BadInput, format!("cannot {what} {}: {error}", path.display()))
    };
    // A pipe or a device is written to as it is.
    if path.exists() && !path.is_file() {
        let file = File::options().write(true).open(path);
        let file = file.map_err(|error| cannot("open", path, error))?;
        return write(store, options, BufWriter::new(file));
    }
    let mut next = path.as_os_str().to_owned();
    next.push(format!(".{}.part", std::process::id()));
    let next = PathBuf::from(next);
    let file = File::create(&next).map_err(|error| cannot("make", &next, error))?;
    let mut out = BufWriter::new(file);
    let written = write(store, options, &mut out).and_then(|()| {
        let file = out.into_inner().map_err(|error| cannot("write", &next, error.into_error()))?;
        file.sync_all().map_err(|error| cannot("write", &next, error))?;
        std::fs::rename(&next, path).map_err(|error| cannot("rename", &next, error))
    });
    if written.is_err() {
        drop(std::fs::remove_file(&next));
    }
    written
}

fn write(store: &Store, options: &ImageSave, mut out: impl Write) -> Result<(), Failure> {
    argosy_image::save(store, &options.images, SaveTo::Stream(&mut out)).map_err(failed)
}

pub(super) fn load(options: ImageLoad, printer: &Printer) -> Result<(), Failure> {
    let store = store(&options.data)?;
    let name = options.from.as_ref().map_or_else(|| "-".into(), |path| path.display().to_string());
    let from = match options.from {
        Some(path) if path != Path::new("-") => LoadFrom::Path(path),
        _ if io::stdin().is_terminal() => {
            return Err(Failure::new(Exit::BadInput, "no archive is given")
                .with_help("name a file, or pipe an archive in"));
        }
        _ => LoadFrom::Stream(Box::new(io::stdin())),
    };
    let load = LoadOptions { platform: options.platform, name: options.name };
    let bars = Bars::new(&name, printer.json());
    let loaded = argosy_image::load(&store, from, &load, &bars.progress());
    bars.end();
    let loaded = loaded.map_err(failed)?;
    let values: Vec<serde_json::Value> = loaded
        .iter()
        .map(|loaded| shown::value(&store, &loaded.image))
        .collect::<Result<_, _>>()?;
    printer.show(&values, |_| {
        let lines = loaded.iter().map(|loaded| line(&loaded.image, &loaded.names));
        lines.collect::<Vec<_>>().join("\n")
    })
}
