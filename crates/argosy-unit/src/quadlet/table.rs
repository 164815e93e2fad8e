//! Every key of podman-systemd.unit(5) and what it becomes: the one table.

mod container;
mod pod;
mod resource;

use super::checks::Check;
use super::names::QuadletKind;
use crate::directives::{Harmless, Support, nearest};

/// How the values of a key become words of the command line.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// The last value behind the flag.
    Last(&'static str, Check),
    /// Each value behind a flag of its own.
    Each(&'static str, Check),
    /// Each word of the values, where a backslash is a character like any other.
    Words(&'static str, Check),
    /// Each such word in lower case.
    Lower(&'static str, Check),
    /// Each word of the values, where a backslash begins an escape.
    Args(&'static str, Check),
    /// The flag if true, the flag with `=false` if false.
    Switch(&'static str),
    /// The flag if true.
    Set(&'static str),
    /// Each `NAME=value` behind a flag of its own, sorted; the last of a name counts.
    Pairs(&'static str, Check),
    /// What this says, by code of its own.
    Own(&'static str),
}

impl Form {
    /// Says what the key becomes, for the documentation.
    pub fn describe(&self) -> String {
        match self {
            Form::Last(flag, Check::OneOf(choices)) => {
                format!("`{flag}VALUE`, one of `{}`", choices.join("`, `"))
            }
            Form::Last(flag, _) => format!("`{flag}VALUE`"),
            Form::Each(flag, _) => format!("`{flag}VALUE` for each"),
            Form::Words(flag, _) | Form::Args(flag, _) => format!("`{flag}WORD` for each word"),
            Form::Lower(flag, _) => format!("`{flag}WORD` for each word, in lower case"),
            Form::Switch(flag) => format!("`{flag}` or `{flag}=false`"),
            Form::Set(flag) => format!("`{flag}` if true"),
            Form::Pairs(flag, _) => format!("`{flag}NAME=VALUE` for each"),
            Form::Own(text) => (*text).to_owned(),
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct QuadletRule {
    /// The key.
    pub key: &'static str,
    /// What happens to it.
    pub support: Support,
    /// The values accepted although it is refused.
    pub harmless: Harmless,
    /// What it becomes.
    pub form: Form,
}

/// The keys of one section.
#[derive(Debug, Clone, Copy)]
pub struct QuadletGroup {
    /// The section, without brackets.
    pub section: &'static str,
    /// Its rows, in the order of the flags.
    pub rules: &'static [QuadletRule],
}

/// The table: every key that may stand in a section of Quadlet's own.
pub const QUADLET_KEYS: &[QuadletGroup] = &[
    container::CONTAINER,
    pod::POD,
    resource::VOLUME,
    resource::NETWORK,
    resource::IMAGE,
    QuadletGroup {
        section: "Quadlet",
        rules: &[own("DefaultDependencies", "`Wants=` and `After=network-online.target` if true")],
    },
];

const PODMAN_ARGS: &str = "the flags of podman are not those of the engine; use the key that \
    stands for the flag";
const GLOBAL_ARGS: &str = "podman's global flags have no meaning here";
const MODULE: &str = "there is no containers.conf here";
const REMAP: &str = "Podman itself calls it deprecated; use UserNS=, UIDMap= and GIDMap=";

const fn row(key: &'static str, form: Form) -> QuadletRule {
    QuadletRule { key, support: Support::Supported, harmless: Harmless::Empty, form }
}

const fn last(key: &'static str, flag: &'static str, check: Check) -> QuadletRule {
    row(key, Form::Last(flag, check))
}

const fn each(key: &'static str, flag: &'static str, check: Check) -> QuadletRule {
    row(key, Form::Each(flag, check))
}

const fn words(key: &'static str, flag: &'static str, check: Check) -> QuadletRule {
    row(key, Form::Words(flag, check))
}

const fn switch(key: &'static str, flag: &'static str) -> QuadletRule {
    row(key, Form::Switch(flag))
}

const fn own(key: &'static str, becomes: &'static str) -> QuadletRule {
    row(key, Form::Own(becomes))
}

const fn refused(key: &'static str, why: &'static str, harmless: Harmless) -> QuadletRule {
    QuadletRule { key, support: Support::Refused(why), harmless, form: Form::Own("") }
}

const fn noted(key: &'static str, why: &'static str) -> QuadletRule {
    QuadletRule {
        key,
        support: Support::SystemdOnly(why),
        harmless: Harmless::Empty,
        form: Form::Own(""),
    }
}

/// Finds the row for a key of a section.
pub(super) fn find(section: &str, key: &str) -> Option<&'static QuadletRule> {
    rules(section).find(|rule| rule.key == key)
}

/// Returns the rows of a section.
pub(super) fn rules(section: &str) -> impl Iterator<Item = &'static QuadletRule> {
    QUADLET_KEYS.iter().filter(move |group| group.section == section).flat_map(|group| group.rules)
}

/// Returns the key of a section that `key` was probably meant to be.
pub(super) fn nearest_key(section: &str, key: &str) -> Option<&'static str> {
    nearest(key, rules(section), |rule| rule.key).map(|rule| rule.key)
}

/// Returns the first flag in `args` that a key of the section stands for, and that key.
pub(super) fn key_for(section: &str, args: &str) -> Option<(String, &'static str)> {
    args.split_whitespace().filter(|word| word.starts_with('-')).find_map(|word| {
        let flag = word.split('=').next().unwrap_or_default();
        let long = match flag {
            "-v" => "--volume",
            "-p" => "--publish",
            "-e" => "--env",
            "-l" => "--label",
            "-u" => "--user",
            "-w" => "--workdir",
            "-h" => "--hostname",
            "-m" => "--memory",
            flag => flag,
        };
        let stands_for = |rule: &&QuadletRule| {
            let text = rule.form.describe();
            let rest = text.strip_prefix('`').and_then(|text| text.strip_prefix(long));
            rest.is_some_and(|rest| rest.starts_with(['=', '`']))
        };
        rules(section).find(stands_for).map(|rule| (flag.to_owned(), rule.key))
    })
}

/// Returns another kind of file whose section has this key.
pub(super) fn kind_with(key: &str) -> Option<QuadletKind> {
    QuadletKind::ALL.into_iter().find(|kind| find(kind.section(), key).is_some())
}

#[cfg(test)]
mod tests;
