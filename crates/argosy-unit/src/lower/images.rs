//! The images that a unit's commands name: what its machine has to have before it is started.
//!
//! Only what is certain on every machine is taken: the words of a command line of the engine, not
//! those of a shell, a variable or a specifier that differs by machine. What is not seen here is
//! brought by the command itself when it runs.

use std::collections::BTreeSet;

use argosy_model::{ExecCommand, IMAGE_NAME_BYTES_MAX, ImageEngine, UnitImage};

/// Options without a value of the engine's commands that name images; what is not here has one. The
/// command line's own definitions are compared with it by a test of the program.
pub const ENGINE_FLAGS: &[(&[&str], &[&str])] = &[
    (
        &["container", "run"],
        &[
            "-P",
            "-d",
            "-i",
            "-t",
            "--detach",
            "--env-host",
            "--help",
            "--http-proxy",
            "--init",
            "--interactive",
            "--local",
            "--no-healthcheck",
            "--privileged",
            "--publish-all",
            "--read-only",
            "--read-only-tmpfs",
            "--replace",
            "--rm",
            "--tty",
        ],
    ),
    (&["image", "pull"], &["-h", "-q", "--help", "--local", "--missing", "--quiet"]),
    (&["volume", "create"], &["-h", "--help", "--ignore", "--local"]),
];

/// Options of `image pull` with which it brings what any other pull does.
const PLAIN_PULL: [&str; 6] =
    ["-q", "--quiet", "--missing", "--policy", "--retry", "--retry-delay"];

/// Options of `container run` with which the image is another than its name says, or not to be
/// brought at all; but for `--pull`, which says by its value.
const OWN_WAYS: [&str; 2] = ["--platform", "--data-dir"];

/// Where a docker is ours if there is none: on the search path of units. One elsewhere is somebody's.
const DOCKER_PLACES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Most images of one unit: a container, its volumes and its mounts have a few.
const IMAGES_MAX: usize = 32;

/// What the command lines of a unit name, list by list: an empty assignment takes it back.
#[derive(Debug, Default)]
pub(super) struct ImagesDraft {
    pub(super) before: Vec<Named>,
    pub(super) start: Vec<Named>,
}

/// What one command line names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    images: Vec<UnitImage>,
    /// Images that it brings in a way of its own, such as with credentials.
    by_itself: Vec<UnitImage>,
    /// It runs as root whatever `User=` says.
    privileged: bool,
}

impl ImagesDraft {
    /// Returns the images of the unit. Those of another `User=` are in an engine of his own.
    pub(super) fn finish(self, user: Option<&str>) -> BTreeSet<UnitImage> {
        let is_root = user.is_none_or(|user| matches!(user, "root" | "0"));
        let named = || self.before.iter().chain(&self.start);
        let by_itself: Vec<&UnitImage> = named().flat_map(|named| &named.by_itself).collect();
        let counted = named().filter(|named| is_root || named.privileged);
        let images = counted.flat_map(|named| &named.images);
        images.filter(|image| !by_itself.contains(image)).take(IMAGES_MAX).cloned().collect()
    }
}

/// One word behind the program.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    /// It is the same on every machine.
    is_certain: bool,
    /// It may become several words, or none.
    may_split: bool,
}

/// Reads a command line; `varies` are the places in its words that differ by machine.
pub(crate) fn of_command(command: &ExecCommand, varies: &[usize]) -> Named {
    let mut named = Named { privileged: command.prefix.privileged, ..Named::default() };
    let engine = match command.program.rsplit_once('/') {
        Some((_, "argosy")) => ImageEngine::Argosy,
        Some((place, "docker")) if DOCKER_PLACES.contains(&place) => ImageEngine::Docker,
        None if command.program == "argosy" => ImageEngine::Argosy,
        None if command.program == "docker" => ImageEngine::Docker,
        _ => return named,
    };
    let literal = command.prefix.no_environment;
    let words = command.argv.iter().enumerate().skip(1).map(|(place, text)| Word {
        text,
        is_certain: !varies.contains(&place) && (literal || !text.contains('$')),
        may_split: !literal && text.starts_with('$') && !text.starts_with("${"),
    });
    let words: Vec<Word<'_>> = words.collect();
    let Some((verb, skipped)) = verb(engine, &words) else { return named };
    let flags = ENGINE_FLAGS.iter().find(|(of, _)| *of == verb);
    let runs = verb == ["container", "run"];
    let Some(line) = flags.and_then(|(_, flags)| Line::read(&words[skipped..], flags, runs)) else {
        return named;
    };
    let image = |name: &str| is_image(name).then(|| UnitImage { name: name.to_owned(), engine });
    let certain = |word: &Word<'_>| image(word.text).filter(|_| word.is_certain);
    match verb {
        ["container", "run"] => {
            if !line.options.iter().any(|(name, _)| OWN_WAYS.contains(name)) {
                let is_brought = line.values("--pull").all(|when| when.text != "never");
                let first = line.operands.first().filter(|_| is_brought);
                named.images.extend(first.and_then(certain));
                let mounts = line.values("--mount").filter(|word| word.is_certain);
                named.images.extend(mounts.filter_map(|word| mounted(word.text)).filter_map(image));
            }
        }
        ["image", "pull"] => {
            let is_plain = line.options.iter().all(|(name, _)| PLAIN_PULL.contains(name));
            let images = line.operands.iter().filter_map(certain);
            if is_plain { named.images.extend(images) } else { named.by_itself.extend(images) }
        }
        _ => {
            let options = line.values("--opt").chain(line.values("-o"));
            let options = options.filter(|word| word.is_certain);
            let names = options.filter_map(|word| word.text.strip_prefix("image="));
            named.images.extend(names.filter_map(image));
        }
    }
    named
}

/// Returns which command it is, in the words of this program, and how many words that took.
fn verb(engine: ImageEngine, words: &[Word<'_>]) -> Option<(&'static [&'static str], usize)> {
    const RUN: &[&str] = &["container", "run"];
    const PULL: &[&str] = &["image", "pull"];
    const VOLUME: &[&str] = &["volume", "create"];
    let text = |place: usize| words.get(place).filter(|word| word.is_certain).map(|it| it.text);
    Some(match (engine, text(0)?, text(1)) {
        (_, "container", Some("run")) => (RUN, 2),
        (_, "image", Some("pull")) => (PULL, 2),
        (_, "volume", Some("create")) => (VOLUME, 2),
        (ImageEngine::Docker, "run", _) => (RUN, 1),
        (_, "pull", _) => (PULL, 1),
        _ => return None,
    })
}

/// A command line taken apart.
#[derive(Default)]
struct Line<'a> {
    /// Options by their names, with their values.
    options: Vec<(&'a str, Option<Word<'a>>)>,
    /// What is no option; of `run` the image alone.
    operands: Vec<Word<'a>>,
}

impl<'a> Line<'a> {
    /// Reads a line; `run` has no options behind its image. `None` if a variable may become several
    /// words before that: then nobody knows which is which.
    fn read(words: &[Word<'a>], flags: &[&str], runs: bool) -> Option<Line<'a>> {
        let mut line = Line::default();
        let mut rest = words.iter().copied();
        while let Some(word) = rest.next() {
            if word.may_split {
                return None;
            }
            if word.text == "--" {
                line.operands.extend(rest);
                return Some(line);
            }
            if !word.text.starts_with('-') {
                line.operands.push(word);
                if runs {
                    return Some(line);
                }
                continue;
            }
            let takes = line.option(word, flags)?;
            if takes {
                let value = rest.next().filter(|value| !value.may_split)?;
                if let Some((_, last)) = line.options.last_mut() {
                    *last = Some(value);
                }
            }
        }
        Some(line)
    }

    /// Takes an option; tells whether the next word is its value. `None` if its name is not certain.
    fn option(&mut self, word: Word<'a>, flags: &[&str]) -> Option<bool> {
        if word.text.starts_with("--") {
            let (name, value) = match word.text.split_once('=') {
                Some((name, text)) => (name, Some(Word { text, ..word })),
                None => (word.text, None),
            };
            if name.contains('$') || (value.is_none() && !word.is_certain) {
                return None;
            }
            let takes = value.is_none() && !flags.contains(&name);
            self.options.push((name, value));
            return Some(takes);
        }
        // Short ones stand together; the first that has a value takes the rest of the word.
        for (at, letter) in word.text.char_indices().skip(1) {
            let (end, short) = (at + letter.len_utf8(), format!("-{letter}"));
            let rest = &word.text[end..];
            if flags.contains(&short.as_str()) && !rest.starts_with('=') {
                continue;
            }
            let value = Some(rest.strip_prefix('=').unwrap_or(rest)).filter(|it| !it.is_empty());
            if value.is_none() && !word.is_certain {
                return None;
            }
            // None of those that are asked for by name stands behind others.
            let name = if at == 1 { &word.text[..end] } else { word.text };
            self.options.push((name, value.map(|text| Word { text, ..word })));
            return Some(value.is_none());
        }
        self.options.push((word.text, None));
        Some(false)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = Word<'a>> {
        let named = self.options.iter().filter(move |(other, _)| *other == name);
        named.filter_map(|(_, value)| *value).collect::<Vec<_>>().into_iter()
    }
}

/// Returns the image of a `--mount` that mounts one.
fn mounted(text: &str) -> Option<&str> {
    let fields = || text.split(',').filter_map(|field| field.split_once('='));
    let source = fields().find(|(name, _)| matches!(*name, "source" | "src"));
    let is_image = fields().any(|(name, value)| name == "type" && value == "image");
    source.filter(|_| is_image).map(|(_, value)| value)
}

fn is_image(name: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let is_option = name.starts_with('-');
    !name.is_empty() && !is_option && name.len() <= IMAGE_NAME_BYTES_MAX && !name.contains(odd)
}

#[cfg(test)]
mod tests;
