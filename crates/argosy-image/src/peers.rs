//! The port to other machines: who has a content of an image, and the content itself from there.
//!
//! Whatever comes from another machine is verified by its digest, as what comes from a registry is.
//! So a machine that lies, breaks off or hangs costs time and nothing else.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use thiserror::Error;

use crate::digest::Digest;
use crate::reference::Reference;

/// An answer on its way.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sought {
    /// A manifest, a configuration or a layer as it travels.
    Blob(Digest),
    /// What a registry has under a name.
    Name(Reference),
}

/// Another machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// By which it is asked.
    pub id: String,
    /// By which people know it.
    pub name: String,
}

/// What a registry had under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The manifest, or the index.
    pub digest: Digest,
    /// When it was asked, in seconds since 1970.
    pub pulled: u64,
}

/// That somebody brings something. Others count on it until it is dropped; what was brought is in
/// the store by then, or they look elsewhere.
pub struct Errand(#[expect(dead_code, reason = "it is held, and dropped")] Box<dyn Send + Sync>);

impl Errand {
    /// Ends when `held` is dropped with it.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errand")
    }
}

/// What is known of something that is looked for.
#[derive(Debug)]
pub enum Found {
    /// Nothing, and nobody counts on the one who asks.
    Nobody,
    /// These have it, the one to be asked first in front.
    At { peers: Vec<Peer>, errand: Errand },
    /// Who asks is to bring it from the registry; others wait for that.
    Yours(Errand),
    /// A machine is bringing it, or those that have it are busy. Ask again.
    Coming(Peer),
    /// What a name means.
    Named(Named),
}

/// Why another machine does not give something.
#[derive(Debug, Error)]
pub enum PeerError {
    #[error("{peer} serves as many as it can at once")]
    Busy { peer: String },
    #[error("{peer} does not give it")]
    Failed { peer: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{peer} has sent something else")]
    Wrong { peer: String },
    #[error("{peer} sends nothing for {seconds} s")]
    Silent { peer: String, seconds: u64 },
}

/// A blob as another machine sends it.
pub trait PeerBlob: Send {
    /// The next piece; nothing at the end, which the receiver has to judge.
    fn next(&mut self) -> Answering<'_, Result<Option<Bytes>, PeerError>>;
}

/// Other machines, as far as this one can ask them.
pub trait Peers: fmt::Debug + Send + Sync {
    /// Asks who has something, or is to bring it. What the machines in `without` say or have does
    /// not count. Answers within seconds, whatever happens.
    fn seek<'a>(&'a self, sought: &'a Sought, without: &'a BTreeSet<Peer>) -> Answering<'a, Found>;

    /// Opens a blob of another machine from a byte on.
    fn open<'a>(
        &'a self,
        digest: &'a Digest,
        from: u64,
        peer: &'a Peer,
    ) -> Answering<'a, Result<Box<dyn PeerBlob>, PeerError>>;

    /// Says what a registry has under a name. Its manifest is in the store.
    fn named<'a>(&'a self, name: &'a Reference, named: &'a Named) -> Answering<'a, ()>;
}
