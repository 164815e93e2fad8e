//! The container engine, which is this program: which commands are for it, where it keeps things,
//! and how a unit's own shell finds it under the name `docker`.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use argosy_keeper::Identity;

use crate::environment::SEARCH_PATH;

/// docker's name, which this program answers to.
const DOCKER: &str = "docker";

/// Places that need not be said: they are the command line's own.
const USUAL_DATA_DIR: &str = "/var/lib/argosy";
const USUAL_RUNTIME_DIR: &str = "/run/argosy";

/// What proc(5) adds to the path of a program that was replaced.
const DELETED: &str = " (deleted)";

/// Where the engine is, and keeps what runs on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) data_dir: PathBuf,
    pub(crate) runtime_dir: PathBuf,
}

impl Engine {
    /// The directory that holds nothing but a link `docker` to this program.
    fn links(&self) -> PathBuf {
        self.runtime_dir.join("bin")
    }

    /// Makes the link, or turns it to where this program is now.
    pub(crate) fn link(&self) -> io::Result<()> {
        let program = env::current_exe()?;
        let program = program.to_string_lossy();
        let program = program.strip_suffix(DELETED).unwrap_or(&program);
        let links = self.links();
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&links)?;
        let new = links.join(format!(".{DOCKER}-{}", process::id()));
        // Of an earlier process with this number.
        drop(fs::remove_file(&new));
        symlink(program, &new)?;
        fs::rename(new, links.join(DOCKER))
    }

    /// The search path of units: where no directory before it has a docker, ours is found.
    pub(crate) fn search_path(&self) -> String {
        format!("{SEARCH_PATH}:{}", self.links().display())
    }

    /// Tells a process of a unit where the machine's containers are. Somebody else's user cannot write
    /// there, and has an engine of his own in his home.
    pub(crate) fn tell(
        &self,
        variables: &mut BTreeMap<String, String>,
        identity: Option<&Identity>,
        is_engine: bool,
    ) {
        let own = rustix::process::geteuid().as_raw();
        if identity.is_some_and(|it| it.uid != own) {
            return;
        }
        for (name, path, usual) in [
            ("ARGOSY_DATA_DIR", &self.data_dir, USUAL_DATA_DIR),
            ("ARGOSY_RUNTIME_DIR", &self.runtime_dir, USUAL_RUNTIME_DIR),
        ] {
            if is_engine || path != Path::new(usual) {
                variables.entry(name.to_owned()).or_insert_with(|| path.display().to_string());
            }
        }
    }
}

/// Tells whether units that call docker by its name or usual path get this program: none is installed.
pub fn docker_is_ours() -> bool {
    is_engine(DOCKER)
}

/// Tells whether a command is for the engine: what Quadlet files become, and docker's on a machine
/// that has none. An installed docker is left alone, and used.
pub(crate) fn is_engine(program: &str) -> bool {
    let mut places = SEARCH_PATH.split(':').map(|dir| Path::new(dir).join(DOCKER));
    match program {
        argosy_unit::ENGINE => true,
        DOCKER => !places.any(|it| is_executable(&it)),
        path => places.any(|it| it == Path::new(path)) && !Path::new(path).exists(),
    }
}

pub(crate) fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(engine: &Engine, uid: Option<u32>, is_engine: bool) -> Vec<String> {
        let mut variables = BTreeMap::new();
        let identity = uid.map(|uid| Identity { uid, gid: uid, groups: Vec::new() });
        engine.tell(&mut variables, identity.as_ref(), is_engine);
        variables.into_keys().collect()
    }

    #[test]
    fn a_unit_is_told_of_the_machines_containers_if_it_may_use_them() {
        let own = rustix::process::geteuid().as_raw();
        let both = ["ARGOSY_DATA_DIR", "ARGOSY_RUNTIME_DIR"];
        let usual =
            Engine { data_dir: USUAL_DATA_DIR.into(), runtime_dir: USUAL_RUNTIME_DIR.into() };
        assert_eq!(told(&usual, None, true), both);
        assert!(told(&usual, None, false).is_empty());
        let other = Engine { data_dir: "/srv/a".into(), runtime_dir: "/srv/b".into() };
        assert_eq!(told(&other, None, false), both);
        assert_eq!(told(&other, Some(own), false), both);
        assert!(told(&other, Some(own + 1), true).is_empty());
        assert!(other.search_path().ends_with(":/bin:/srv/b/bin"));
    }

    #[test]
    fn docker_is_linked_to_this_program_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let engine =
            Engine { data_dir: dir.path().join("data"), runtime_dir: dir.path().join("run") };
        for _ in 0..2 {
            engine.link().unwrap();
            let link = fs::read_link(dir.path().join("run/bin/docker")).unwrap();
            assert_eq!(link, env::current_exe().unwrap());
        }
        assert_eq!(fs::read_dir(dir.path().join("run/bin")).unwrap().count(), 1);
    }

    #[test]
    fn docker_is_ours_wherever_it_could_be_and_is_not() {
        assert!(is_engine("/usr/bin/argosy"));
        for place in ["/usr/bin/docker", "/usr/local/bin/docker", "/bin/docker"] {
            assert_eq!(is_engine(place), !Path::new(place).exists(), "{place}");
        }
        assert!(!is_engine("/opt/docker") && !is_engine("sh") && !is_engine("/bin/sh"));
    }
}
