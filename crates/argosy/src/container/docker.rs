//! The name `docker`: its commands, in the words of this program.

use std::ffi::OsString;
use std::path::Path;

/// docker's commands that are said otherwise here; the longer ones first.
const COMMANDS: [(&[&str], &[&str]); 24] = [
    (&["container", "inspect"], &["container", "inspect", "--docker"]),
    (&["image", "inspect"], &["image", "inspect", "--docker"]),
    (&["volume", "inspect"], &["volume", "inspect", "--docker"]),
    (&["network", "inspect"], &["network", "inspect", "--docker"]),
    (&["image", "prune"], &["image", "gc"]),
    (&["image", "save"], &["image", "save"]),
    (&["image", "load"], &["image", "load"]),
    (&["inspect"], &["container", "inspect", "--docker"]),
    (&["pull"], &["image", "pull"]),
    (&["push"], &["image", "push"]),
    (&["images"], &["image", "list"]),
    (&["rmi"], &["image", "rm"]),
    (&["tag"], &["image", "tag"]),
    (&["import"], &["image", "import"]),
    (&["save"], &["image", "save"]),
    (&["load"], &["image", "load"]),
    (&["login"], &["image", "login"]),
    (&["logout"], &["image", "logout"]),
    (&["image"], &["image"]),
    (&["volume"], &["volume"]),
    (&["network"], &["network"]),
    (&["container"], &["container"]),
    (&["-v"], &["container", "version"]),
    (&["--version"], &["container", "version"]),
];

/// Options of docker's that are said otherwise here. Ours of the same letter is another one.
const OPTIONS: [(&[&str], &str, &str, &str); 2] = [
    (&["image", "save"], "-o", "--output", "--to"),
    // What is loaded stands alone.
    (&["image", "load"], "-i", "--input", ""),
];

/// Under the name `docker` the program takes docker's commands.
pub(crate) fn as_docker(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(|it| Path::new(it).file_name() == Some("docker".as_ref()));
    if name != Some(true) {
        return arguments;
    }
    let begins_with = |words: &[&str]| {
        words
            .iter()
            .enumerate()
            .all(|(place, word)| arguments.get(place + 1).is_some_and(|argument| argument == word))
    };
    let found = COMMANDS.iter().find(|(theirs, _)| begins_with(theirs));
    let (taken, words): (usize, &[&str]) = match found {
        Some((theirs, words)) => (theirs.len() + 1, words),
        None => (1, &["container"]),
    };
    let rest = arguments.split_off(taken.min(arguments.len()));
    let rest = match OPTIONS.iter().find(|(of, ..)| *of == words) {
        Some((_, short, long, ours)) => renamed(rest, short, long, ours),
        None => rest,
    };
    let own = std::iter::once("argosy").chain(words.iter().copied()).map(OsString::from);
    own.chain(rest).collect()
}

/// Says an option in our words, with its value behind it.
fn renamed(arguments: Vec<OsString>, short: &str, long: &str, ours: &str) -> Vec<OsString> {
    let mut result = Vec::new();
    let own = || Some(OsString::from(ours)).filter(|it| !it.is_empty());
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        if text == short || text == long {
            result.extend(own());
            continue;
        }
        let value = text.strip_prefix(long).and_then(|it| it.strip_prefix('='));
        let value =
            value.or_else(|| text.strip_prefix(short).map(|it| it.strip_prefix('=').unwrap_or(it)));
        match value {
            Some(value) => {
                result.extend(own());
                result.push(value.into());
            }
            None => result.push(argument),
        }
    }
    result
}

/// Tells whether a command line is that of `run`, whose exit status is docker's also when it is
/// wrong.
pub(crate) fn is_run(line: &[OsString]) -> bool {
    let mut words = line.iter().skip_while(|it| *it != "container").skip(1);
    words.find(|it| !it.to_string_lossy().starts_with('-')).is_some_and(|it| it == "run")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Vec<OsString> {
        as_docker(line.split(' ').map(Into::into).collect())
    }

    #[test]
    fn docker_s_words_become_ours() {
        for (line, ours) in [
            ("/usr/bin/docker run --rm x y", "argosy container run --rm x y"),
            ("docker images -q", "argosy image list -q"),
            ("docker container ls", "argosy container ls"),
            ("docker volume rm a", "argosy volume rm a"),
            ("docker", "argosy container"),
            ("docker inspect -f x y", "argosy container inspect --docker -f x y"),
            ("docker image inspect y", "argosy image inspect --docker y"),
            ("docker save -o a.tar x", "argosy image save --to a.tar x"),
            ("docker image save --output=a.tar x", "argosy image save --to a.tar x"),
            ("docker load -i a.tar", "argosy image load a.tar"),
            ("docker load --input=a.tar", "argosy image load a.tar"),
            ("docker run -o x", "argosy container run -o x"),
            ("docker version", "argosy container version"),
            ("docker --version", "argosy container version"),
            ("docker help run", "argosy container help run"),
            ("argosy run", "argosy run"),
        ] {
            let words = told(line);
            let words: Vec<_> = words.iter().map(|it| it.to_str().unwrap()).collect();
            assert_eq!(words.join(" "), ours);
        }
    }

    #[test]
    fn a_run_is_known_also_when_it_is_wrong() {
        assert!(is_run(&told("docker run --bogus x")));
        assert!(is_run(&told("docker container run")));
        assert!(!is_run(&told("docker rm run")));
        assert!(!is_run(&told("docker pull run")));
    }
}
