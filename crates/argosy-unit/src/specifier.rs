//! `%` specifiers of systemd.unit(5), "SPECIFIERS".

use std::ops::Range;

use argosy_model::UnitName;

/// What specifiers stand for on one machine.
///
/// [`Specifiers::default`] is what a check uses before a unit has a machine: every machine
/// field holds a valid sample, the rest is what systemd's system manager uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specifiers {
    /// `%m`: the machine's id, 32 hexadecimal digits.
    pub machine_id: String,
    /// `%H`, `%q`, and up to its first dot `%l`: the machine's name.
    pub machine_name: String,
    /// `%b`: the id of this boot, 32 hexadecimal digits.
    pub boot_id: String,
    /// `%v`: the kernel release, as `uname -r` prints it.
    pub kernel_release: String,
    /// `%a`: the architecture in systemd's words, `x86-64` or `arm64`.
    pub architecture: String,
    /// `%u`: the name of the user who runs the supervisor (not `User=`).
    pub user: String,
    /// `%U`: that user's number.
    pub user_id: u32,
    /// `%g`: that user's group.
    pub group: String,
    /// `%G`: that group's number.
    pub group_id: u32,
    /// `%h`: that user's home directory.
    pub home: String,
    /// `%s`: that user's shell.
    pub shell: String,
    /// `%t`: for what lives as long as this boot.
    pub runtime_dir: String,
    /// `%S`: for what units keep.
    pub state_dir: String,
    /// `%C`: for caches.
    pub cache_dir: String,
    /// `%L`: for logs.
    pub log_dir: String,
    /// `%E`: for configuration.
    pub config_dir: String,
    /// `%T`: for temporary files.
    pub temporary_dir: String,
    /// `%V`: for temporary files that outlive a boot.
    pub persistent_temporary_dir: String,
    /// `/etc/os-release`.
    pub os_release: OsRelease,
    /// `%y`, and its directory `%Y`: where the unit's text comes from.
    pub fragment_path: String,
}

/// The fields of os-release(5) that specifiers name; empty when not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `%o`: `ID=`.
    pub id: String,
    /// `%w`: `VERSION_ID=`.
    pub version_id: String,
    /// `%B`: `BUILD_ID=`.
    pub build_id: String,
    /// `%W`: `VARIANT_ID=`.
    pub variant_id: String,
    /// `%M`: `IMAGE_ID=`.
    pub image_id: String,
    /// `%A`: `IMAGE_VERSION=`.
    pub image_version: String,
}

impl Default for Specifiers {
    fn default() -> Specifiers {
        let text = str::to_owned;
        Specifiers {
            machine_id: "0".repeat(32),
            machine_name: text("machine"),
            boot_id: "0".repeat(32),
            kernel_release: text("6.0.0"),
            architecture: text("x86-64"),
            user: text("root"),
            user_id: 0,
            group: text("root"),
            group_id: 0,
            home: text("/root"),
            shell: text("/bin/sh"),
            runtime_dir: text("/run"),
            state_dir: text("/var/lib"),
            cache_dir: text("/var/cache"),
            log_dir: text("/var/log"),
            config_dir: text("/etc"),
            temporary_dir: text("/tmp"),
            persistent_temporary_dir: text("/var/tmp"),
            os_release: OsRelease::default(),
            fragment_path: text("/etc/argosy/units"),
        }
    }
}

/// Which specifiers a value may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of them: the value is used on the machine.
    Machine,
    /// Those of the unit's name: the value must mean the same before there is a machine.
    Name,
}

/// Something about a specifier that the reader must know; ranges are bytes of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SpecifierProblem {
    /// A percent sign before something that is no letter or digit: it is kept as it stands.
    Stray(Range<usize>),
    /// A letter or digit that is no specifier.
    Unknown(Range<usize>),
    /// Its value depends on the machine, which [`Scope::Name`] does not know.
    NotHere(Range<usize>),
    /// A name in it is not validly escaped.
    Escape(Range<usize>),
    /// It exists in systemd but stands for something that is not here.
    Unavailable(Range<usize>),
}

/// Expands the specifiers of `text` for the unit `name`.
///
/// For a template the instance is the sample `1`, the name of its first replica.
pub(crate) fn expand(
    text: &str,
    name: &UnitName,
    specifiers: &Specifiers,
    scope: Scope,
) -> (String, Vec<SpecifierProblem>) {
    let mut out = String::with_capacity(text.len());
    let mut problems = Vec::new();
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let Some((_, letter)) = rest.next() else {
            problems.push(SpecifierProblem::Stray(at..text.len()));
            out.push('%');
            break;
        };
        let span = at..at + 1 + letter.len_utf8();
        match resolve(letter, name, specifiers) {
            Found::Name(value) => out.push_str(&value),
            Found::Machine(value) => {
                out.push_str(&value);
                if scope == Scope::Name {
                    problems.push(SpecifierProblem::NotHere(span));
                }
            }
            Found::BadEscape => problems.push(SpecifierProblem::Escape(span)),
            Found::Unavailable => problems.push(SpecifierProblem::Unavailable(span)),
            Found::Nothing if letter.is_ascii_alphanumeric() => {
                problems.push(SpecifierProblem::Unknown(span));
            }
            Found::Nothing => {
                problems.push(SpecifierProblem::Stray(span));
                out.extend(['%', letter]);
            }
        }
    }
    (out, problems)
}

/// Replaces the specifiers of the unit's name and leaves all others as they stand.
///
/// `instance` is what stands for its instance, if that is not known yet.
pub(crate) fn expand_names(text: &str, name: &UnitName, instance: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let letter = match c {
            '%' => rest.next(),
            _ => None,
        };
        match (letter, instance) {
            (None, _) => out.push(c),
            (Some('i'), Some(instance)) => out.push_str(instance),
            (Some('N'), Some(instance)) => out.extend([name.prefix(), "@", instance]),
            (Some('n'), Some(instance)) => {
                out.extend([name.prefix(), "@", instance, ".", name.kind().suffix()]);
            }
            (Some('n' | 'N' | 'p' | 'P' | 'i' | 'I' | 'j' | 'J' | 'f'), _) => {
                let specifier = format!("%{}", letter.unwrap_or_default());
                out.push_str(&expand(&specifier, name, &Specifiers::default(), Scope::Name).0);
            }
            (Some(other), _) => out.extend(['%', other]),
        }
    }
    out
}

/// Tells whether `text` differs between the instances of a template.
pub(crate) fn names_instance(text: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '%' && matches!(rest.next(), Some('i' | 'I' | 'n' | 'N' | 'f')) {
            return true;
        }
    }
    false
}

/// Tells whether `text` may differ from machine to machine.
pub(crate) fn differs_by_machine(text: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let letter = if c == '%' { rest.next() } else { None };
        let of_name = |letter| "%nNpPiIjJf".contains(letter);
        if letter.is_some_and(|letter: char| letter.is_ascii_alphanumeric() && !of_name(letter)) {
            return true;
        }
    }
    false
}

enum Found {
    Name(String),
    Machine(String),
    BadEscape,
    Unavailable,
    Nothing,
}

fn resolve(letter: char, name: &UnitName, on: &Specifiers) -> Found {
    let instance = if name.is_template() { "1" } else { name.instance().unwrap_or_default() };
    let last_part = || name.prefix().rsplit('-').next().unwrap_or_default();
    match letter {
        '%' => Found::Name("%".to_owned()),
        'n' => Found::Name(match name.is_template() {
            true => format!("{}@1.{}", name.prefix(), name.kind().suffix()),
            false => name.as_str().to_owned(),
        }),
        'N' => Found::Name(match name.is_template() {
            true => format!("{}@1", name.prefix()),
            false => name.stem().to_owned(),
        }),
        'p' => Found::Name(name.prefix().to_owned()),
        'P' => unescaped(name.prefix()),
        'i' => Found::Name(instance.to_owned()),
        'I' => unescaped(instance),
        'j' => Found::Name(last_part().to_owned()),
        'J' => unescaped(last_part()),
        'f' => {
            let path = if instance.is_empty() { name.prefix() } else { instance };
            match unescape(path) {
                Some(path) => Found::Name(format!("/{}", path.trim_start_matches('/'))),
                None => Found::BadEscape,
            }
        }
        _ => machine(letter, on),
    }
}

fn machine(letter: char, on: &Specifiers) -> Found {
    let os = &on.os_release;
    Found::Machine(match letter {
        'a' => on.architecture.clone(),
        'A' => os.image_version.clone(),
        'b' => on.boot_id.clone(),
        'B' => os.build_id.clone(),
        'C' => on.cache_dir.clone(),
        'E' => on.config_dir.clone(),
        'g' => on.group.clone(),
        'G' => on.group_id.to_string(),
        'h' => on.home.clone(),
        'H' | 'q' => on.machine_name.clone(),
        'l' => on.machine_name.split('.').next().unwrap_or_default().to_owned(),
        'L' => on.log_dir.clone(),
        'm' => on.machine_id.clone(),
        'M' => os.image_id.clone(),
        'o' => os.id.clone(),
        's' => on.shell.clone(),
        'S' => on.state_dir.clone(),
        't' => on.runtime_dir.clone(),
        'T' => on.temporary_dir.clone(),
        'u' => on.user.clone(),
        'U' => on.user_id.to_string(),
        'v' => on.kernel_release.clone(),
        'V' => on.persistent_temporary_dir.clone(),
        'w' => os.version_id.clone(),
        'W' => os.variant_id.clone(),
        'y' => on.fragment_path.clone(),
        'Y' => match on.fragment_path.rsplit_once('/') {
            Some((directory, _)) => directory.to_owned(),
            None => String::new(),
        },
        // Credentials and the cgroup paths of long ago.
        'd' | 'c' | 'r' | 'R' => return Found::Unavailable,
        _ => return Found::Nothing,
    })
}

fn unescaped(text: &str) -> Found {
    unescape(text).map_or(Found::BadEscape, Found::Name)
}

/// Undoes the escaping of unit names (systemd.unit(5), "STRING ESCAPING FOR INCLUSION IN UNIT
/// NAMES"): `-` stands for `/`, `\xHH` for a byte.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'-' => out.push(b'/'),
            b'\\' => {
                if bytes.next() != Some(b'x') {
                    return None;
                }
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let value = digit()? * 16 + digit()?;
                out.push(u8::try_from(value).ok().filter(|value| *value != 0)?);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
