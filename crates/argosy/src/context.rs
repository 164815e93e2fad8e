//! Contexts: names under which a user's commands find clusters, each with the sockets of machines.
//!
//! One file a context in `$XDG_CONFIG_HOME/argosy/contexts` (or `~/.config/argosy/contexts`), and
//! the name of the current one beside them. A context that a running program keeps, such as the
//! demonstration's, says which; once that program has ended, the context is stale: it is named,
//! and never used.

mod connect;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argosy_api::Client;
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};

/// Longest name: it is a file's name, too.
const NAME_BYTES_MAX: usize = 64;
/// How a context's file ends.
const SUFFIX: &str = ".json";

/// A process that keeps a context: its number, and when it began, since numbers come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    /// In clock ticks since boot (proc_pid_stat(5), field 22).
    pub(crate) start_ticks: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Option<Owner> {
        let pid = std::process::id();
        Some(Owner { pid, start_ticks: start_ticks(pid)? })
    }

    fn is_alive(self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }
}

fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// A cluster under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    /// The file's name says it.
    #[serde(skip)]
    pub(crate) name: String,
    /// Daemons' sockets, of one machine each; the first that knows a leader is used.
    pub(crate) sockets: Vec<PathBuf>,
    /// The program with which the cluster ends.
    pub(crate) owner: Option<Owner>,
}

impl Context {
    /// The program that kept it, if it is gone.
    pub(crate) fn gone(&self) -> Option<Owner> {
        self.owner.filter(|owner| !owner.is_alive())
    }
}

/// All contexts of a user.
#[derive(Debug, Clone)]
pub(crate) struct Contexts {
    directory: PathBuf,
}

impl Contexts {
    /// Where this user's are; makes nothing.
    pub(crate) fn of_user() -> Result<Contexts, Failure> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let config =
            absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        let none =
            || Failure::new(Exit::BadInput, "neither XDG_CONFIG_HOME nor HOME names a place");
        Ok(Contexts { directory: config.ok_or_else(none)?.join("argosy") })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join("contexts").join(format!("{name}{SUFFIX}"))
    }

    fn current_path(&self) -> PathBuf {
        self.directory.join("current-context")
    }

    /// Reads one.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Context>, Failure> {
        check_name(name)?;
        let path = self.path(name);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| failed("read", &path, &error))?,
        };
        let context: Context =
            serde_json::from_slice(&bytes).map_err(|error| failed("read", &path, &error.into()))?;
        Ok(Some(Context { name: name.to_owned(), ..context }))
    }

    /// Reads all, in the order of their names.
    pub(crate) fn list(&self) -> Result<Vec<Context>, Failure> {
        let directory = self.directory.join("contexts");
        let items = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| failed("list", &directory, &error))?,
        };
        let file_name = |item: io::Result<fs::DirEntry>| item.ok()?.file_name().into_string().ok();
        let mut names: Vec<String> = items
            .filter_map(|item| Some(file_name(item)?.strip_suffix(SUFFIX)?.to_owned()))
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort();
        let read = names.iter().map(|name| self.read(name));
        Ok(read.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The current one's name, whether it exists or not.
    pub(crate) fn current(&self) -> Option<String> {
        let name = fs::read_to_string(self.current_path()).ok()?;
        Some(name.trim().to_owned()).filter(|name| check_name(name).is_ok())
    }

    /// Stores one, in place of what has its name.
    pub(crate) fn write(&self, context: &Context) -> Result<(), Failure> {
        check_name(&context.name)?;
        let path = self.path(&context.name);
        let bytes = serde_json::to_vec_pretty(context)
            .map_err(|error| failed("write", &path, &error.into()))?;
        replace(&path, &bytes)
    }

    /// Makes one the current one.
    pub(crate) fn choose(&self, name: &str) -> Result<(), Failure> {
        check_name(name)?;
        replace(&self.current_path(), format!("{name}\n").as_bytes())
    }

    /// Forgets one; if it was the current one, there is none afterwards.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        check_name(name)?;
        if self.current().as_deref() == Some(name) {
            remove(&self.current_path())?;
        }
        remove(&self.path(name))
    }

    /// The directories that nobody misses once they are empty, the innermost first: those of
    /// contexts, and those around them that are not there yet.
    pub(crate) fn own_directories(&self) -> Vec<PathBuf> {
        let above = self.directory.ancestors().skip(1).take_while(|it| !it.exists());
        let mut own = vec![self.directory.join("contexts"), self.directory.clone()];
        own.extend(above.map(Path::to_owned));
        own
    }

    /// Removes those of the directories that are empty, in this order.
    pub(crate) fn remove_empty(directories: &[PathBuf]) {
        for directory in directories {
            // One that somebody else uses by now stays.
            drop(fs::remove_dir(directory));
        }
    }
}

/// The name of the current context of this user, if there is one.
pub(crate) fn current() -> Option<String> {
    Contexts::of_user().ok()?.current()
}

/// Returns a client of whichever machine of a context answers.
pub(crate) fn client(name: &str) -> Result<Client, Failure> {
    let context = Contexts::of_user()?.read(name)?.ok_or_else(|| unknown(name))?;
    if let Some(owner) = context.gone() {
        let message = format!(
            "context {name} is stale: the program that kept it (process {}) has ended without \
             removing it",
            owner.pid
        );
        let help = format!("forget it: argosy context remove {name}; or start `argosy demo` again");
        return Err(Failure::new(Exit::Unreachable, message).with_help(help));
    }
    Ok(Client::over(Arc::new(connect::Machines::new(context))))
}

pub(crate) fn unknown(name: &str) -> Failure {
    Failure::new(Exit::BadInput, format!("there is no context {name}"))
        .with_help("argosy context list shows those there are")
}

/// A name is a file's name, too.
fn check_name(name: &str) -> Result<(), Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with(['-', '.'])
        && name.chars().all(good)
    {
        return Ok(());
    }
    let message = format!("{name:?} is no context's name: letters, digits, `-`, `_` and `.` are");
    Err(Failure::new(Exit::BadInput, message))
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::BadInput, format!("cannot {action} {}: {error}", path.display()))
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(|error| failed("make", directory, &error))?;
    // Two writers at once have files of their own.
    let new = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, bytes).map_err(|error| failed("write", &new, &error))?;
    fs::rename(&new, path).map_err(|error| failed("write", path, &error))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
