//! What a pull, load or push tells while it goes on.

use std::sync::Arc;

use crate::digest::Digest;
use crate::platform::Platform;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is known which image it is, and how many bytes its layers have as they travel.
    Resolved { manifest: Digest, platform: Platform, layers: usize, bytes: u64 },
    /// A layer is here already.
    Present { layer: Digest, bytes: u64 },
    /// Another operation brings a layer; it is waited for.
    Waiting { layer: Digest },
    /// A layer begins to arrive; some of it may be here from an earlier attempt.
    Begun { layer: Digest, bytes: u64, have: u64 },
    /// A layer comes from another machine from here on.
    From { layer: Digest, peer: String },
    /// Another machine is bringing a layer; it is waited for.
    Coming { layer: Digest, peer: String },
    /// More of a layer has been written and unpacked.
    Moved { layer: Digest, bytes: u64 },
    /// A registry or another machine failed, which is got over.
    Retried { layer: Digest, error: String },
    /// A layer is here, verified.
    Done { layer: Digest },
    /// All layers are here; they are synced and made visible.
    Finishing,
}

/// Takes events. It is called from several threads and must return at once; there is no queue.
pub type Progress = Arc<dyn Fn(Event) + Send + Sync>;

/// For those who do not want to know.
pub fn silent() -> Progress {
    Arc::new(|_| {})
}
