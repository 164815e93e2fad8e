//! Changes as v2 clients see them: the answers of writes, and what watches tell.

use std::iter::once;
use std::sync::Arc;

use super::error::Code;
use super::{Error, Node, file, names};
use crate::{Action, Event, KeyKind, KeyValue, Revision, SpaceId, State};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was done.
    pub action: Action,
    /// What was made; of what was deleted, only key and indexes.
    pub node: Node,
    /// What was there before.
    pub prev: Option<Node>,
}

impl Change {
    /// Tells whether it made something where nothing was (HTTP status 201).
    pub fn is_creation(&self) -> bool {
        match self.action {
            Action::Create => true,
            Action::Set => self.prev.is_none(),
            _ => false,
        }
    }

    /// Tells whether a watch of a clean `path` is told of it. A watch is told of a directory above
    /// it that goes; a recursive one of everything below it but what is hidden there.
    pub fn concerns(&self, path: &str, recursive: bool) -> bool {
        if self.node.key == path {
            return true;
        }
        let below = |key: &str, path: &str| -> Option<bool> {
            let rest = if path == "/" { key } else { key.strip_prefix(path)? };
            rest.starts_with('/').then(|| rest.contains("/_"))
        };
        let ended = matches!(self.action, Action::Delete | Action::Expire);
        if self.node.dir && ended && below(path, &self.node.key).is_some() {
            return true;
        }
        recursive && below(&self.node.key, path) == Some(false)
    }
}

/// Returns the changes of one user revision, in order; none if v2 can see nothing of it. Error
/// 401 when it is compacted.
pub fn changes_at(state: &State, revision: Revision) -> Result<Vec<Change>, Error> {
    let space = state.space(SpaceId::User);
    if revision < space.compact_revision {
        let cause = format!(
            "the requested history has been cleared [{}/{revision}]",
            space.compact_revision
        );
        return Err(Code::EventIndexCleared.error(state, cause));
    }
    let Some(entry) = space.history.get(&revision) else { return Ok(Vec::new()) };
    let mut changes = changes(&entry.events);
    if revision == space.compact_revision {
        changes.iter_mut().for_each(|change| change.prev = None);
    }
    Ok(changes)
}

/// Makes changes of the events of one revision.
///
/// One change of v2 may be several events: a key may need directories above it, a key may make
/// room for a directory, and a directory ends with everything in it. v2 shows the one that was
/// asked for.
pub(super) fn changes(events: &[Event]) -> Vec<Change> {
    let mut changes = Vec::new();
    // The directory that ended last: what was in it follows it.
    let mut ended: Option<&[u8]> = None;
    // The key that made room for the directory that follows.
    let mut replaced: Option<&Event> = None;
    let followers = events.iter().skip(1).map(Some).chain(once(None));
    for (event, follower) in events.iter().zip(followers) {
        let key = &event.kv.key[..];
        if !names(key) || ended.is_some_and(|path| key == path || is_below(key, path)) {
            continue;
        }
        let before = replaced.take();
        let next = follower.map(|next| &*next.kv);
        match event.kv.kind {
            KeyKind::Directory if next.is_some_and(|next| is_below(&next.key, key)) => continue,
            KeyKind::Tombstone
                if next.is_some_and(|next| next.kind == KeyKind::Directory && next.key == key) =>
            {
                replaced = Some(event);
                continue;
            }
            KeyKind::DirectoryEnd => ended = Some(key),
            _ => {}
        }
        let prev = event.prev.as_ref().or_else(|| before.and_then(|event| event.prev.as_ref()));
        let node = node(&event.kv);
        let prev = match prev {
            Some(kv) => Some(stored_node(kv)),
            // A directory that nobody made.
            None if event.kv.kind == KeyKind::DirectoryEnd => {
                Some(Node { modified_index: node.created_index, ..node.clone() })
            }
            None => None,
        };
        changes.push(Change { action: event.kv.action, node, prev });
    }
    changes
}

fn is_below(key: &[u8], path: &[u8]) -> bool {
    key.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Returns what a change made as a node by itself.
fn node(kv: &Arc<KeyValue>) -> Node {
    Node {
        value: Some(kv.value.clone()).filter(|_| kv.kind == KeyKind::Value),
        dir: kv.is_directory(),
        ..file(kv)
    }
}

/// Returns a stored version as the node that a read shows.
pub(super) fn stored_node(kv: &Arc<KeyValue>) -> Node {
    let node = node(kv);
    let modified_index = if node.dir { node.created_index } else { node.modified_index };
    Node { modified_index, ..node }
}
