//! The name `docker`: its commands, in the words of this program.

use std::ffi::OsString;
use std::path::Path;

/// docker's commands that are not about containers, and what they are here.
const COMMANDS: [(&str, &[&str]); 15] = [
    ("pull", &["image", "pull"]),
    ("push", &["image", "push"]),
    ("images", &["image", "list"]),
    ("rmi", &["image", "rm"]),
    ("tag", &["image", "tag"]),
    ("import", &["image", "import"]),
    ("save", &["image", "save"]),
    ("load", &["image", "load"]),
    ("image", &["image"]),
    ("volume", &["volume"]),
    ("network", &["network"]),
    ("container", &["container"]),
    ("help", &["container", "help"]),
    ("version", &["--version"]),
    ("--version", &["--version"]),
];

/// Under the name `docker` the program takes docker's commands.
pub(crate) fn as_docker(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(|it| Path::new(it).file_name() == Some("docker".as_ref()));
    if name != Some(true) {
        return arguments;
    }
    let command = arguments.get(1).and_then(|it| it.to_str());
    let found = COMMANDS.iter().find(|(theirs, _)| Some(*theirs) == command);
    let (taken, words): (usize, &[&str]) = match found {
        Some((_, words)) => (2, words),
        None => (1, &["container"]),
    };
    let rest = arguments.split_off(taken.min(arguments.len()));
    let own = std::iter::once("argosy").chain(words.iter().copied()).map(OsString::from);
    own.chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::as_docker;

    #[test]
    fn docker_s_words_become_ours() {
        let told = |line: &str| {
            let line = line.split(' ').map(Into::into).collect();
            let words = as_docker(line);
            words.iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told("/usr/bin/docker run --rm x y"), "argosy container run --rm x y");
        assert_eq!(told("docker images -q"), "argosy image list -q");
        assert_eq!(told("docker container ls"), "argosy container ls");
        assert_eq!(told("docker volume rm a"), "argosy volume rm a");
        assert_eq!(told("docker"), "argosy container");
        assert_eq!(told("argosy run"), "argosy run");
    }
}
