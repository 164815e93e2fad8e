//! `ps --filter`: which containers are listed.

use argosy_image::Reference;

use super::list::Found;
use super::options::bad;
use super::status;
use crate::failure::Failure;

/// Every filter there is.
const KEYS: &str = "name, id, status, label, ancestor, exited, health, volume and network";

/// docker's words for states; those that are never one of ours match nothing.
const STATES: [&str; 7] =
    ["created", "running", "paused", "exited", "restarting", "removing", "dead"];

const HEALTHS: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// What marks a pattern as more than a part of a name.
const PATTERN: [char; 10] = ['*', '+', '?', '[', ']', '(', ')', '{', '|', '\\'];

/// One filter, by what it looks at.
#[derive(Debug, Clone, PartialEq)]
enum Filter {
    Name { text: String, from_begin: bool, to_end: bool },
    Id(String),
    Status(String),
    Label(String, Option<String>),
    Ancestor(String),
    Exited(u8),
    Health(String),
    Volume(String),
    Network(String),
}

/// All filters of a command: of one kind any, of each kind one; of labels all.
#[derive(Debug, Default)]
pub(super) struct Filters(Vec<Filter>);

impl Filters {
    pub(super) fn read(texts: &[String]) -> Result<Filters, Failure> {
        texts.iter().map(|text| read(text)).collect::<Result<_, _>>().map(Filters)
    }

    /// Tells whether the state of containers is asked for: then also of those that do not run.
    pub(super) fn ask_for_state(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Filter::Status(_) | Filter::Exited(_)))
    }

    pub(super) fn match_with(&self, found: &Found) -> bool {
        self.0.iter().all(|filter| {
            let is_label = matches!(filter, Filter::Label(..));
            let same_kind =
                |it: &&Filter| std::mem::discriminant(*it) == std::mem::discriminant(filter);
            match is_label {
                true => matches(filter, found),
                false => self.0.iter().filter(same_kind).any(|it| matches(it, found)),
            }
        })
    }
}

fn read(text: &str) -> Result<Filter, Failure> {
    let help = format!("there are {KEYS}, each written KEY=VALUE");
    let Some((key, value)) = text.split_once('=') else {
        return Err(bad(format!("--filter {text} has no value"), &help));
    };
    let own = value.to_owned();
    let word = |known: &[&str]| match known.contains(&value) {
        true => Ok(own.clone()),
        false => Err(bad(
            format!("{value:?} in --filter {text} is no {key}"),
            &format!("there are {}", known.join(", ")),
        )),
    };
    Ok(match key {
        "name" => name(value)?,
        "id" => Filter::Id(own),
        "status" => Filter::Status(word(&STATES)?),
        "label" => match value.split_once('=') {
            Some((key, value)) => Filter::Label(key.to_owned(), Some(value.to_owned())),
            None => Filter::Label(own, None),
        },
        "ancestor" => Filter::Ancestor(own),
        "exited" => Filter::Exited(value.parse().map_err(|_| {
            bad(format!("{value:?} in --filter {text} is no exit status"), "write exited=0")
        })?),
        "health" => Filter::Health(word(&HEALTHS)?),
        "volume" => Filter::Volume(own),
        "network" => Filter::Network(own),
        _ => return Err(bad(format!("there is no filter {key}"), &help)),
    })
}

/// Reads a part of a name. docker takes a pattern; of those the ends of the name are understood, and
/// its slash before the name.
fn name(value: &str) -> Result<Filter, Failure> {
    let text = value.strip_prefix('^');
    let from_begin = text.is_some() || value.starts_with('/');
    let text = text.unwrap_or(value);
    let text = text.strip_prefix('/').unwrap_or(text);
    let to_end = text.strip_suffix('$');
    let (text, to_end) = (to_end.unwrap_or(text), to_end.is_some());
    if text.contains(PATTERN) {
        let help = "write a part of it, or its beginning ^web, or all of it ^web$";
        return Err(bad(format!("--filter name={value} is more than a part of a name"), help));
    }
    Ok(Filter::Name { text: text.to_owned(), from_begin, to_end })
}

fn matches(filter: &Filter, found: &Found) -> bool {
    match filter {
        Filter::Name { text, from_begin, to_end } => {
            let name = found.name();
            match (from_begin, to_end) {
                (true, true) => name == *text,
                (true, false) => name.starts_with(text.as_str()),
                (false, true) => name.ends_with(text.as_str()),
                (false, false) => name.contains(text.as_str()),
            }
        }
        Filter::Id(text) => found.id.as_str().starts_with(text.as_str()),
        Filter::Status(word) => status::word(&found.inspection.state) == word,
        Filter::Label(key, value) => {
            let label = found.record.as_ref().and_then(|it| it.labels.get(key));
            label.is_some_and(|it| value.as_ref().is_none_or(|value| it == value))
        }
        Filter::Ancestor(image) => found.record.as_ref().is_some_and(|record| {
            let digits = image.strip_prefix("sha256:").unwrap_or(image);
            let manifest = record.manifest.strip_prefix("sha256:").unwrap_or(&record.manifest);
            is_same_image(&record.image, image)
                || (digits.len() >= 12 && manifest.starts_with(digits))
        }),
        Filter::Exited(code) => {
            let state = &found.inspection.state;
            status::word(state) == "exited" && status::exit_code(state) == *code
        }
        Filter::Health(word) => {
            let health = status::health_of(&found.inspection);
            health.map_or("none", |it| status::health_word(&it)) == word
        }
        Filter::Volume(text) => {
            let is_named = |it: &super::record::EngineRecord| it.volumes.contains(text);
            found.record.as_ref().is_some_and(is_named)
                || found.inspection.spec.mounts.iter().any(|it| it.is_at(text))
        }
        Filter::Network(name) => found.networks.iter().any(|it| it == name),
    }
}

/// Tells whether two names are one image's: `busybox` and `docker.io/library/busybox:latest`.
fn is_same_image(one: &str, other: &str) -> bool {
    match (one.parse::<Reference>(), other.parse::<Reference>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_docker_writes_them() {
        let name = |text: &str| match read(text).unwrap() {
            Filter::Name { text, from_begin, to_end } => (text, from_begin, to_end),
            other => panic!("{other:?}"),
        };
        assert_eq!(name("name=web"), ("web".to_owned(), false, false));
        assert_eq!(name("name=^/web$"), ("web".to_owned(), true, true));
        assert_eq!(name("name=^web"), ("web".to_owned(), true, false));
        assert_eq!(name("name=/web"), ("web".to_owned(), true, false));
        assert_eq!(read("label=a=b").unwrap(), Filter::Label("a".into(), Some("b".into())));
        assert_eq!(read("label=a").unwrap(), Filter::Label("a".into(), None));
        for (wrong, said) in [
            ("name", "has no value"),
            ("colour=red", "no filter colour"),
            ("name=web|db", "more than a part"),
            ("status=up", "is no status"),
            ("exited=x", "no exit status"),
        ] {
            let failure = read(wrong).unwrap_err();
            assert!(failure.message.contains(said), "{wrong}: {}", failure.message);
        }
        assert!(is_same_image("busybox", "docker.io/library/busybox:latest"));
        assert!(!is_same_image("busybox", "busybox:1"));
    }
}
