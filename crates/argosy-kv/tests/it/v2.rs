//! Lines of scripts about v2: writes, and what a watch is told of them.

use std::fmt::Write as _;

use argosy_kv::v2::{Change, Node, Verb, Write, changes_at};
use argosy_kv::{SpaceId, State};

use crate::line::Words;

/// `v2 VERB PATH [VALUE] [ttl=] [prev=] [index=] [dir] [recursive] [refresh]`.
pub(crate) fn write(words: &Words) -> Write {
    let verb = match words.place(1) {
        "set" => Verb::Set,
        "create" => Verb::Create,
        "post" => Verb::CreateInOrder,
        "update" => Verb::Update,
        "swap" => Verb::CompareAndSwap,
        "delete" => Verb::Delete,
        "compare-delete" => Verb::CompareAndDelete,
        other => panic!("verb {other}"),
    };
    let value = words.place(3).to_owned();
    let plain = !matches!(value.as_str(), "dir" | "recursive" | "refresh");
    Write {
        verb,
        path: words.place(2).to_owned(),
        value: if plain { value.into() } else { "".into() },
        dir: words.has("dir"),
        recursive: words.has("recursive"),
        ttl_seconds: words.text("ttl").map(|ttl| ttl.parse().unwrap()),
        refresh: words.has("refresh"),
        prev_value: words.text("prev").unwrap_or_default().to_owned().into(),
        prev_index: words.number("index"),
    }
}

/// `v2 watch PATH [recursive] from=`: everything that such a watch is told up to now.
pub(crate) fn show_watch(state: &State, words: &Words, out: &mut String) {
    for revision in words.number("from")..=state.revision(SpaceId::User) {
        match changes_at(state, revision) {
            Ok(changes) => {
                let wanted =
                    |change: &&Change| change.concerns(words.place(2), words.has("recursive"));
                changes.iter().filter(wanted).for_each(|change| show_change(change, out));
            }
            Err(error) => writeln!(out, "error {}: {error} ({})", error.code, error.cause).unwrap(),
        }
    }
}

pub(crate) fn show_change(change: &Change, out: &mut String) {
    let made = if change.is_creation() { " (made)" } else { "" };
    let prev = change.prev.as_ref().map(|prev| format!(", was {}", show_node(prev)));
    let node = show_node(&change.node);
    writeln!(out, "{}{made} {node}{}", change.action.name(), prev.unwrap_or_default()).unwrap();
}

fn show_node(node: &Node) -> String {
    let slash = if node.dir { "/" } else { "" };
    let value = node.value.as_ref().map(|value| format!(" = {}", value.escape_ascii()));
    let leased = if node.lease == 0 { "" } else { ", leased" };
    let Node { key, created_index, modified_index, .. } = node;
    format!("{key}{slash}{} [{created_index}-{modified_index}{leased}]", value.unwrap_or_default())
}
