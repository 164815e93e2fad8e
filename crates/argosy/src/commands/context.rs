//! `argosy context`: which clusters this user knows, and which one commands speak to.

use std::path::PathBuf;

use serde::Serialize;

use crate::args::ContextAction;
use crate::context::{self, Contexts};
use crate::failure::Failure;
use crate::printer::{Printer, table};

#[derive(Serialize)]
struct Shown {
    name: String,
    current: bool,
    /// `usable`, or `stale` with the program that is gone.
    state: String,
    sockets: Vec<PathBuf>,
}

pub(super) fn run(action: ContextAction, printer: &Printer) -> Result<(), Failure> {
    let contexts = Contexts::of_user()?;
    match action {
        ContextAction::List => list(&contexts, printer),
        ContextAction::Use { name } => {
            // It is used only while it is usable; the refusal says what to do.
            context::client(&name)?;
            contexts.choose(&name)
        }
        ContextAction::Remove { name } => {
            contexts.read(&name)?.ok_or_else(|| context::unknown(&name))?;
            contexts.remove(&name)
        }
    }
}

fn list(contexts: &Contexts, printer: &Printer) -> Result<(), Failure> {
    let current = contexts.current();
    let shown = contexts.list()?.into_iter().map(|context| Shown {
        current: current.as_ref() == Some(&context.name),
        state: context.gone().map_or_else(
            || "usable".to_owned(),
            |owner| format!("stale: process {} has ended", owner.pid),
        ),
        name: context.name,
        sockets: context.sockets,
    });
    printer.show(&shown.collect::<Vec<_>>(), |shown| {
        let rows = shown.iter().map(|context| {
            let first = context.sockets.first().map(|path| path.display().to_string());
            vec![
                context.name.clone(),
                if context.current { "*" } else { "" }.to_owned(),
                context.state.clone(),
                context.sockets.len().to_string(),
                first.unwrap_or_else(|| "-".to_owned()),
            ]
        });
        table(&["CONTEXT", "CURRENT", "STATE", "MACHINES", "FIRST SOCKET"], rows.collect())
    })
}
