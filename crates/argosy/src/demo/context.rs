//! The context under which other terminals find the demonstration, as long as it runs.

use std::path::PathBuf;

use crate::context::{Context, Contexts, Owner};
use crate::failure::{Exit, Failure};

/// A context that this process keeps: removed when this is dropped, and stale if it never is.
#[derive(Debug)]
pub(super) struct Kept {
    contexts: Contexts,
    name: String,
    owner: Owner,
    /// Those to remove with it, once they are empty.
    directories: Vec<PathBuf>,
}

impl Kept {
    /// Writes a context without machines, and makes it the current one if there is none that can
    /// be used.
    pub(super) fn begin(name: &str) -> Result<Kept, Failure> {
        let contexts = Contexts::of_user()?;
        let owner = Owner::this()
            .ok_or_else(|| Failure::new(Exit::BadInput, "/proc does not tell of this process"))?;
        if let Some(there) = contexts.read(name)?
            && (there.owner.is_none() || there.gone().is_none())
        {
            let message = format!("another context is called {name} and stays as it is");
            return Err(Failure::new(Exit::Refused, message));
        }
        let context = Context { name: name.to_owned(), sockets: Vec::new(), owner: Some(owner) };
        let directories = contexts.own_directories();
        contexts.write(&context)?;
        let is_usable = |name: &String| {
            contexts.read(name).ok().flatten().is_some_and(|it| it.gone().is_none())
        };
        if !contexts.current().as_ref().is_some_and(is_usable) {
            contexts.choose(name)?;
        }
        Ok(Kept { contexts, name: name.to_owned(), owner, directories })
    }

    /// Whether commands that name no context use this one.
    pub(super) fn is_current(&self) -> bool {
        self.contexts.current().as_ref() == Some(&self.name)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let ours = |it: &Context| it.owner == Some(self.owner);
        if self.contexts.read(&self.name).ok().flatten().is_some_and(|it| ours(&it)) {
            // One that stays is stale from now on, and says so.
            drop(self.contexts.remove(&self.name));
        }
        Contexts::remove_empty(&self.directories);
    }
}

/// Adds a machine's socket to the context of a demonstration, if it has one.
pub(super) fn add_socket(name: &str, socket: PathBuf) -> Result<(), Failure> {
    let contexts = Contexts::of_user()?;
    let Some(mut context) = contexts.read(name)?.filter(|it| it.owner.is_some()) else {
        return Ok(());
    };
    if !context.sockets.contains(&socket) {
        context.sockets.push(socket);
        contexts.write(&context)?;
    }
    Ok(())
}
