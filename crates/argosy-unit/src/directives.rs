//! Every directive and what it means here: the one table.

mod argosy;
mod exec;
mod resource;
mod service;
mod unit;

use crate::values::boolean;

/// What happens to a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does what its page says.
    Supported,
    /// Accepted with a note, which says why it changes nothing here.
    SystemdOnly(&'static str),
    /// Ignoring it would change what the unit does: refused, with the reason.
    Refused(&'static str),
}

/// The values with which a refused directive asks for what is so anyway; with them it is
/// accepted. An empty value always is such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harmless {
    /// No other value.
    Empty,
    /// A boolean that is false.
    False,
    /// A boolean that is true.
    True,
    /// One of these.
    Values(&'static [&'static str]),
}

impl Harmless {
    /// Tells whether `value` is one of them.
    pub fn holds(self, value: &str) -> bool {
        value.is_empty()
            || match self {
                Harmless::Empty => false,
                Harmless::False => boolean(value) == Some(false),
                Harmless::True => boolean(value) == Some(true),
                Harmless::Values(values) => values.contains(&value),
            }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectiveRule {
    /// The key. A `*` at its end stands for any rest.
    pub key: &'static str,
    /// What happens to it.
    pub support: Support,
    /// The values accepted although it is refused.
    pub harmless: Harmless,
}

/// Rows that share a section and a manual page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectiveGroup {
    /// The section, without brackets.
    pub section: &'static str,
    /// Where its directives are documented.
    pub page: &'static str,
    /// Its rows.
    pub rules: &'static [DirectiveRule],
}

/// The table: every directive that may stand in a `.service` file.
pub const DIRECTIVES: &[DirectiveGroup] = &[
    unit::RELATIONS,
    unit::CONDITIONS,
    service::SERVICE,
    service::KILL,
    exec::PROCESS,
    exec::SANDBOX,
    exec::FILES,
    resource::RESOURCES,
    unit::INSTALL,
    argosy::FLEET,
    argosy::ARGOSY,
];

const fn supported(key: &'static str) -> DirectiveRule {
    DirectiveRule { key, support: Support::Supported, harmless: Harmless::Empty }
}

const fn noted(key: &'static str, why: &'static str) -> DirectiveRule {
    DirectiveRule { key, support: Support::SystemdOnly(why), harmless: Harmless::Empty }
}

const fn refused(key: &'static str, why: &'static str, harmless: Harmless) -> DirectiveRule {
    DirectiveRule { key, support: Support::Refused(why), harmless }
}

/// Finds the row for a key of a section.
pub(crate) fn find(section: &str, key: &str) -> Option<&'static DirectiveRule> {
    groups(section).flat_map(|group| group.rules).find(|rule| match rule.key.strip_suffix('*') {
        Some(beginning) => key.starts_with(beginning),
        None => rule.key == key,
    })
}

/// Tells whether the table has rows for a section.
pub(crate) fn is_section(section: &str) -> bool {
    groups(section).next().is_some()
}

/// Returns the sections in which `key` is a directive.
pub(crate) fn sections_of(key: &str) -> Vec<&'static str> {
    let mut sections: Vec<&'static str> = Vec::new();
    for group in DIRECTIVES {
        if !sections.contains(&group.section) && find(group.section, key).is_some() {
            sections.push(group.section);
        }
    }
    sections
}

/// Returns the key nearest to `key`: of its own section if one is near, else of any.
pub(crate) fn nearest_key(section: &str, key: &str) -> Option<(&'static str, &'static str)> {
    let keys = |group: &'static DirectiveGroup| {
        group.rules.iter().map(move |rule| (group.section, rule.key))
    };
    let own = nearest(key, groups(section).flat_map(keys), |(_, key)| *key);
    own.or_else(|| nearest(key, DIRECTIVES.iter().flat_map(keys), |(_, key)| *key))
}

/// Returns the section nearest to `section`.
pub(crate) fn nearest_section(section: &str) -> Option<&'static str> {
    nearest(section, DIRECTIVES.iter().map(|group| group.section), |section| *section)
}

/// Returns the one of `candidates` that `text` was probably meant to be.
pub(crate) fn nearest<T>(
    text: &str,
    candidates: impl Iterator<Item = T>,
    name: impl Fn(&T) -> &str,
) -> Option<T> {
    // A third of the letters wrong is a typing error; more is another word.
    let limit = (text.chars().count() / 3).clamp(1, 4);
    if text.len() > NEAREST_BYTES_MAX {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let distance =
        |candidate: &T| strsim::damerau_levenshtein(&text, &name(candidate).to_ascii_lowercase());
    candidates
        .map(|candidate| (distance(&candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longest text compared with known names: the comparison is quadratic, and no directive or
/// value is nearly so long.
const NEAREST_BYTES_MAX: usize = 80;

fn groups(section: &str) -> impl Iterator<Item = &'static DirectiveGroup> {
    DIRECTIVES.iter().filter(move |group| group.section == section)
}

#[cfg(test)]
mod tests;
