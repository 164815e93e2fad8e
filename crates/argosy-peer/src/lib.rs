//! The machine-to-machine port: one TCP port per machine, mutual TLS always, the service chosen
//! by ALPN.
//!
//! [`ClusterCa`] issues what a machine proves itself with, [`JoinToken`] lets a machine in that
//! has nothing yet, [`PeerListener`] and [`Dialer`] are the two ends of the port. There is no
//! plain-text mode and no way to turn a check off.

mod access;
mod authority;
mod certificate;
mod detached;
mod dialer;
mod files;
mod greeting;
mod identity;
mod join;
mod listener;
mod service;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod tls_fault;
mod token;
mod verify;

pub use access::{AccessList, Authorise};
pub use authority::{
    AuthorityError, ClusterCa, MACHINE_CERTIFICATE_LIFE, SigningRequest, Validity,
};
pub use certificate::{CertificateError, KeyHash, PeerIdentity};
pub use detached::{DetachedStream, FrameStream};
pub use dialer::{DialError, DialTimeouts, Dialer, Dialled};
pub use files::FileError;
pub use greeting::{GreetingError, Refusal, RefusalKind};
pub use identity::{Identity, IdentityError, MachineKey};
pub use join::{
    JOIN_PAYLOAD_MAX, JoinAttempt, JoinError, JoinRefusal, JoinRefusalKind, JoinReply, JoinRequest,
    JoinResponder, JoinWireError, Joined, join, receive_join,
};
pub use listener::{
    AcceptError, Accepted, BindError, HandshakeError, ListenerLimits, PeerListener,
};
pub use service::Service;
pub use stream::PeerStream;
pub use tls::{TlsConfigs, TlsError};
pub use tls_fault::{RejectedFor, TlsFault};
pub use token::{InvalidToken, JoinRole, JoinToken, TOKEN_ADDRESSES_MAX, TokenSecret};
