//! Instructions of a Dockerfile that change how containers of an image run.

use serde_json::{Map, Value, json};

use super::super::options::bad;
use crate::failure::Failure;

/// What `--change` can be, as docker has it.
const KNOWN: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR";

/// One instruction, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A text or list in place of the one before.
    Set(&'static str, Value),
    /// Variables, each in place of the one of its name.
    Variables(Vec<(String, String)>),
    Labels(Vec<(String, String)>),
    /// More names in a set.
    Add(&'static str, Vec<String>),
}

impl Change {
    /// Reads `INSTRUCTION ARGUMENTS`.
    pub(super) fn read(text: &str) -> Result<Change, Failure> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let wrong =
            |why: &str| bad(format!("--change {text:?}: {why}"), "write it as in a Dockerfile");
        if rest.is_empty() {
            return Err(wrong("nothing follows the instruction"));
        }
        let one = |key| Ok(Change::Set(key, rest.into()));
        match word.to_ascii_uppercase().as_str() {
            "CMD" => Ok(Change::Set("Cmd", command(rest).into())),
            "ENTRYPOINT" => Ok(Change::Set("Entrypoint", command(rest).into())),
            "USER" => one("User"),
            "WORKDIR" if !rest.starts_with('/') => Err(wrong("the directory has to begin with /")),
            "WORKDIR" => one("WorkingDir"),
            "STOPSIGNAL" => {
                super::super::options::signal(rest)?;
                one("StopSignal")
            }
            "ENV" => pairs(rest).map(Change::Variables).ok_or_else(|| wrong("a value is missing")),
            "LABEL" => pairs(rest).map(Change::Labels).ok_or_else(|| wrong("a value is missing")),
            "EXPOSE" => {
                let port = |it: String| if it.contains('/') { it } else { format!("{it}/tcp") };
                let ports: Vec<String> = words(rest).into_iter().map(port).collect();
                let is_port = |it: &String| {
                    it.split(['/', '-']).next().is_some_and(|it| it.parse::<u16>().is_ok())
                };
                match ports.iter().all(is_port) {
                    true => Ok(Change::Add("ExposedPorts", ports)),
                    false => Err(wrong("that is no port")),
                }
            }
            "VOLUME" => Ok(Change::Add("Volumes", listed(rest).unwrap_or_else(|| words(rest)))),
            _ => Err(bad(
                format!("--change {text:?}: there is no instruction {word} here"),
                &format!("there are {KNOWN}"),
            )),
        }
    }

    /// Changes how containers run.
    pub(super) fn apply(&self, run: &mut Map<String, Value>) {
        match self {
            Change::Set(key, value) => {
                run.insert((*key).to_owned(), value.clone());
                // What the one before had as its arguments are not this one's.
                if *key == "Entrypoint" {
                    run.remove("Cmd");
                }
            }
            Change::Variables(pairs) => {
                let list = run.entry("Env").or_insert_with(|| json!([]));
                let mut env: Vec<String> = list
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|it| it.as_str().map(str::to_owned))
                    .collect();
                for (name, value) in pairs {
                    env.retain(|it| it.split('=').next() != Some(name));
                    env.push(format!("{name}={value}"));
                }
                *list = env.into();
            }
            Change::Labels(pairs) => {
                let labels = run.entry("Labels").or_insert_with(|| json!({}));
                for (name, value) in pairs {
                    labels[name.as_str()] = value.as_str().into();
                }
            }
            Change::Add(key, names) => {
                let set = run.entry(*key).or_insert_with(|| json!({}));
                for name in names {
                    set[name.as_str()] = json!({});
                }
            }
        }
    }
}

/// Reads a list in JSON.
fn listed(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// Reads a command: a list in JSON, or a line for a shell.
fn command(text: &str) -> Vec<String> {
    let shell = || ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
    listed(text).unwrap_or_else(shell)
}

/// Splits words, of which those in quotes are one, and a backslash takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match (next, quote) {
            ('\\', Some('"') | None) => {
                begun = true;
                word.extend(rest.next());
            }
            (it, Some(end)) if it == end => quote = None,
            (it @ ('"' | '\''), None) => (quote, begun) = (Some(it), true),
            (it, None) if it.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (it, _) => {
                begun = true;
                word.push(it);
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Reads `NAME=VALUE ...`, or `NAME VALUE` with all that follows as the value.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text);
    if !words.first()?.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_those_of_a_dockerfile() {
        let mut run = json!({ "Env": ["A=1", "B=2"], "Cmd": ["old"], "Labels": { "k": "v" } });
        let run = run.as_object_mut().unwrap();
        for text in [
            "ENTRYPOINT [\"/bin/app\", \"-x\"]",
            "CMD serve --all",
            "ENV A=\"one two\" C=3",
            "env D all of it",
            "EXPOSE 80 53/udp",
            "LABEL k=w 'long key'=x\\ y",
            "USER 33:33",
            "WORKDIR /srv",
            "VOLUME [\"/data\"]",
            "VOLUME /a /b",
            "STOPSIGNAL SIGINT",
        ] {
            Change::read(text).unwrap().apply(run);
        }
        let expected = json!({
            "Entrypoint": ["/bin/app", "-x"],
            "Cmd": ["/bin/sh", "-c", "serve --all"],
            "Env": ["B=2", "A=one two", "C=3", "D=all of it"],
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
            "Labels": { "k": "w", "long key": "x y" },
            "User": "33:33",
            "WorkingDir": "/srv",
            "Volumes": { "/data": {}, "/a": {}, "/b": {} },
            "StopSignal": "SIGINT"
        });
        assert_eq!(*run, *expected.as_object().unwrap());
        for (wrong, said) in [
            ("RUN make", "no instruction RUN"),
            ("ONBUILD USER x", "no instruction ONBUILD"),
            ("CMD", "nothing follows"),
            ("ENV A", "a value is missing"),
            ("ENV A=1 B", "a value is missing"),
            ("EXPOSE web", "no port"),
            ("WORKDIR here", "begin with /"),
            ("STOPSIGNAL SIGNONE", "no signal"),
        ] {
            let why = Change::read(wrong).unwrap_err().message;
            assert!(why.contains(said), "{wrong}: {why}");
        }
        // A new entrypoint takes the old one's arguments along.
        let mut run = json!({ "Cmd": ["old"] });
        Change::read("ENTRYPOINT new").unwrap().apply(run.as_object_mut().unwrap());
        assert_eq!(run, json!({ "Entrypoint": ["/bin/sh", "-c", "new"] }));
    }
}
