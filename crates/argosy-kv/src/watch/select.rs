//! Which events of a revision a watcher wants, shared where many want the same.

use std::cell::OnceCell;
use std::sync::Arc;

use super::WatchFilter;
use crate::{Event, EventKind, KeyRange};

/// The events of one revision within one range.
pub(super) struct Selection {
    full: Arc<[Event]>,
    /// The same without `prev`, made when first asked for.
    bare: OnceCell<Arc<[Event]>>,
}

impl Selection {
    /// Selects by range; `None` when nothing is in it.
    pub(super) fn of(events: &Arc<[Event]>, range: &KeyRange) -> Option<Selection> {
        let wanted = events.iter().filter(|event| range.contains(&event.kv.key)).count();
        let full = match wanted {
            0 => return None,
            all if all == events.len() => Arc::clone(events),
            _ => events.iter().filter(|e| range.contains(&e.kv.key)).cloned().collect(),
        };
        Some(Selection { full, bare: OnceCell::new() })
    }

    /// Returns what one watcher wants of it; `None` when its filter leaves nothing.
    pub(super) fn for_watcher(&self, filter: WatchFilter, prev_kv: bool) -> Option<Arc<[Event]>> {
        let events = if prev_kv { &self.full } else { self.bare() };
        let wanted = |event: &&Event| {
            let kind = match event.kind() {
                EventKind::Put => !filter.no_put,
                EventKind::Delete => !filter.no_delete,
            };
            kind && (filter.directories || !event.kv.is_directory())
        };
        match events.iter().filter(wanted).count() {
            0 => None,
            all if all == events.len() => Some(Arc::clone(events)),
            _ => Some(events.iter().filter(wanted).cloned().collect()),
        }
    }

    fn bare(&self) -> &Arc<[Event]> {
        self.bare.get_or_init(|| {
            if self.full.iter().all(|event| event.prev.is_none()) {
                return Arc::clone(&self.full);
            }
            let without = |event: &Event| Event { kv: Arc::clone(&event.kv), prev: None };
            self.full.iter().map(without).collect()
        })
    }
}
