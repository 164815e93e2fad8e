//! What is said on the daemon's socket about images that other machines have; for root and the
//! daemon's own user only.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `POST /v1/images/seek` | `SeekRequest` | a line, `FoundView`; then nothing for as long as others count on the one who asks, who ends it by hanging up |
//! | `GET /v1/images/blobs/DIGEST?machine=ID` with `Range: bytes=N-` | | the bytes, from the machine |
//! | `POST /v1/images/named` | `NamedRequest` | 204 |

use serde::{Deserialize, Serialize};

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SoughtView {
    /// A blob by its digest.
    Blob(String),
    /// What a registry has under a name.
    Name(String),
}

/// What a registry has, or had, under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedView {
    /// The digest of its manifest or index.
    pub digest: String,
    /// When it was asked, in seconds since 1970.
    pub pulled: u64,
}

/// Another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Asks who has something, or is to bring it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeekRequest {
    /// Which store of images it is for: device and number of its directory. For another store than
    /// the daemon's nothing is known.
    pub store: String,
    /// What is looked for.
    pub what: SoughtView,
    /// Ids of machines that were asked in vain.
    #[serde(default)]
    pub without: Vec<String>,
}

/// What is known of something that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundView {
    /// Nothing.
    Nobody,
    /// These have it.
    At(Vec<PeerView>),
    /// Who asks is to bring it from the registry.
    Yours,
    /// A machine is bringing it; ask again.
    Coming(PeerView),
    /// What a name means.
    Named(NamedView),
}

/// Says what a registry has under a name; the manifest is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRequest {
    /// As in [`SeekRequest`].
    pub store: String,
    /// The name.
    pub name: String,
    /// What it means.
    pub named: NamedView,
}
