//! How far an image is, in one line for people, and where it came from.

use std::collections::{BTreeMap, BTreeSet};

use argosy_image::{Digest, Event};

/// What a pull has told.
#[derive(Debug, Default)]
pub(super) struct Shown {
    bytes: Option<u64>,
    have: BTreeMap<Digest, u64>,
    /// Where each layer comes from that is not the registry.
    from: BTreeMap<Digest, String>,
    /// Layers that came, from wherever.
    came: BTreeSet<Digest>,
    /// Who was named last.
    last: Option<String>,
}

impl Shown {
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Resolved { bytes, .. } => self.bytes = Some(*bytes),
            Event::Present { layer, bytes } => drop(self.have.insert(layer.clone(), *bytes)),
            Event::Begun { layer, .. } => {
                // What was here from before is read again, and counted then.
                self.have.insert(layer.clone(), 0);
                self.came.insert(layer.clone());
                self.last = None;
            }
            Event::From { layer, peer } => {
                self.from.insert(layer.clone(), peer.clone());
                self.last = Some(format!(" from {peer}"));
            }
            Event::Coming { peer, .. } => self.last = Some(format!(", {peer} brings more")),
            Event::Moved { layer, bytes } => {
                *self.have.entry(layer.clone()).or_default() += bytes;
            }
            Event::Retried { layer, .. } => drop(self.from.remove(layer)),
            Event::Waiting { .. } => self.last = Some(", another pull brings more".to_owned()),
            Event::Done { .. } => {}
            Event::Finishing => self.last = Some(", syncing to the disk".to_owned()),
        }
    }

    /// Whether there was anything to bring.
    pub(super) const fn is_begun(&self) -> bool {
        self.bytes.is_some()
    }

    /// How long it is as it travels.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.unwrap_or_default()
    }

    /// How far it is, once that is known.
    pub(super) fn text(&self) -> Option<String> {
        let bytes = self.bytes?;
        let have = self.have.values().sum::<u64>().min(bytes);
        let last = self.last.as_deref().unwrap_or_default();
        Some(format!("{} of {} MB{last}", megabytes(have), megabytes(bytes)))
    }

    /// Where it came from.
    pub(super) fn sources(&self) -> String {
        let mut sources: BTreeSet<&str> = self.from.values().map(String::as_str).collect();
        if self.came.iter().any(|layer| !self.from.contains_key(layer)) {
            sources.insert("the registry");
        }
        if sources.is_empty() {
            return "layers that were here".to_owned();
        }
        sources.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// Rounded up: what is not nothing is not shown as nothing.
const fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_it_is_and_from_whom() {
        let (one, other) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let mut shown = Shown::default();
        assert_eq!(shown.text(), None);
        let platform = "linux/amd64".parse().unwrap();
        let bytes = 40_000_000;
        shown.take(&Event::Resolved { manifest: one.clone(), platform, layers: 2, bytes });
        assert_eq!(shown.text().unwrap(), "0 of 40 MB");
        for layer in [&one, &other] {
            shown.take(&Event::Begun { layer: layer.clone(), bytes: 20_000_000, have: 5 });
        }
        shown.take(&Event::From { layer: one.clone(), peer: "m2".to_owned() });
        shown.take(&Event::Moved { layer: one.clone(), bytes: 12_000_000 });
        assert_eq!(shown.text().unwrap(), "12 of 40 MB from m2");
        assert_eq!(shown.sources(), "m2, the registry");
        shown.take(&Event::Retried { layer: one, error: "no".to_owned() });
        assert_eq!(shown.sources(), "the registry");
    }
}
