//! What all tests use: folders, programs, a store, waiting.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use argosy_image::{
    AuthFiles, Error, Event, Image, Limits, Policy, Progress, PullOptions, Reference, Registries,
    RegistryClient, Store, pull, silent,
};

/// A folder in memory where there is such a place: every pull syncs its filesystem, and would wait
/// for what the rest of the machine writes.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A disk that is nearly full must not change what tests see.
pub(crate) fn limits() -> Limits {
    Limits { refuse_percent: 101, stop_percent: 101, ..Limits::default() }
}

pub(crate) fn store(root: &Path) -> Store {
    Store::open(root.join("images"), limits()).unwrap()
}

pub(crate) fn client() -> RegistryClient {
    RegistryClient::new(Registries::default(), AuthFiles::default())
}

/// Pulls with nothing special about it.
pub(crate) fn try_pull(store: &Store, reference: &str) -> Result<Image, Error> {
    try_pull_with(store, &client(), reference, &PullOptions::default(), silent())
}

pub(crate) fn try_pull_with(
    store: &Store,
    client: &RegistryClient,
    reference: &str,
    options: &PullOptions,
    progress: Progress,
) -> Result<Image, Error> {
    let reference: Reference = reference.parse().unwrap();
    let policy = Policy::accept_anything();
    runtime().block_on(pull(store, client, &policy, &reference, options, progress))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Keeps what a pull tells.
pub(crate) fn events() -> (Progress, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    (Arc::new(move |event| kept.lock().unwrap().push(event)), events)
}

/// An error with all its causes, as the command line prints it.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Everything that a store shows and everything that is under way in it, as paths.
pub(crate) fn contents(store: &Store) -> Vec<String> {
    let mut paths = Vec::new();
    for folder in ["blobs", "layers", "chains", "images", "names", "partial", "sessions"] {
        let top = store.root().join(folder);
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            for item in std::fs::read_dir(&folder).unwrap() {
                let path = item.unwrap().path();
                let below = path.strip_prefix(&top).unwrap();
                let is_content = path.is_file() || below.components().count() > 1;
                if is_content {
                    paths.push(path.strip_prefix(store.root()).unwrap().display().to_string());
                }
                // Layers are one thing each.
                let inside_layers = path.starts_with(store.root().join("layers"))
                    || path.starts_with(store.root().join("chains"));
                if path.is_dir() && !(inside_layers && is_content) {
                    folders.push(path);
                }
            }
        }
    }
    paths.sort();
    paths
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
