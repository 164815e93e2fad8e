//! What went wrong in a TLS handshake, in words of this port, on whichever side it is noticed.
//!
//! Each cause has one alert (RFC 8446 6.2), so the other side can name it too.

use std::io;

use argosy_model::{ClusterId, MachineId};
use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::KeyHash;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The other side speaks no TLS.
    #[error("the other side does not speak TLS; this port has no plain-text mode")]
    NotTls,
    /// The other side offers no service that is known here.
    #[error("the two sides have no service in common")]
    NoService,
    /// The other side showed no certificate.
    #[error("the other side presented no certificate")]
    NoCertificate,
    /// Another authority signed the other side's certificate.
    #[error("the other side's certificate is not signed by this cluster's authority")]
    ForeignAuthority,
    /// The other side's certificate is outside its validity.
    #[error(
        "the other side's certificate has expired or is not valid yet; compare the clocks; that machine's own log and `argosy status` say more"
    )]
    Expired,
    /// The other side belongs to another cluster.
    #[error("the other side's certificate is for cluster {found}, this is cluster {ours}")]
    WrongCluster {
        /// What it names.
        found: ClusterId,
        /// This cluster.
        ours: ClusterId,
    },
    /// Another machine answered than the one that was dialled.
    #[error("the other side is machine {found}, not {expected}")]
    WrongMachine {
        /// What it names.
        found: MachineId,
        /// Who was wanted.
        expected: MachineId,
    },
    /// The server is not of the cluster that the join token is for.
    #[error(
        "the other side cannot show the authority with key {expected} that the join token names"
    )]
    WrongPin {
        /// What the token names.
        expected: KeyHash,
    },
    /// The other side's certificate cannot be used.
    #[error("the other side's certificate cannot be used: {detail}")]
    BadCertificate {
        /// Why.
        detail: String,
    },
    /// The other side ended the handshake.
    #[error("the other side ended the handshake: {0}")]
    Rejected(RejectedFor),
    /// The connection broke.
    #[error("the connection broke during the handshake: {detail}")]
    Broken {
        /// How.
        detail: String,
    },
    /// TLS failed in another way.
    #[error("TLS failed: {detail}")]
    Other {
        /// How.
        detail: String,
    },
}

/// What the other side's alert means here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectedFor {
    /// It wants a certificate.
    #[error("it wants a certificate")]
    NoCertificate,
    /// Its authority is another one.
    #[error("this machine's certificate is not signed by its cluster's authority")]
    ForeignAuthority,
    /// By its clock, this machine's certificate is outside its validity.
    #[error("this machine's certificate has expired or is not valid yet by its clock")]
    Expired,
    /// It expected another machine, cluster or join token.
    #[error("it expected another machine or cluster here")]
    WrongIdentity,
    /// It does not know the service.
    #[error("it does not know the service")]
    NoService,
    /// Something else.
    #[error("alert {alert}")]
    Other {
        /// The alert's name.
        alert: String,
    },
}

impl TlsFault {
    /// Reads the cause out of what tokio-rustls returns.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => TlsFault::from_rustls(error),
            None => TlsFault::Broken { detail: error.to_string() },
        }
    }

    fn from_rustls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => TlsFault::NotTls,
            rustls::Error::NoApplicationProtocol => TlsFault::NoService,
            rustls::Error::NoCertificatesPresented => TlsFault::NoCertificate,
            rustls::Error::InvalidCertificate(error) => TlsFault::from_certificate(error),
            rustls::Error::AlertReceived(alert) => TlsFault::Rejected(RejectedFor::alert(*alert)),
            error => TlsFault::Other { detail: error.to_string() },
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Other(other) => match other.0.downcast_ref::<TlsFault>() {
                Some(fault) => fault.clone(),
                None => TlsFault::BadCertificate { detail: other.to_string() },
            },
            // A foreign authority of the same subject shows as a bad signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsFault::ForeignAuthority
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFault::Expired,
            error => TlsFault::BadCertificate { detail: error.to_string() },
        }
    }

    /// Wraps a verdict of our own for rustls, which sends `certificate_unknown` for it.
    pub(crate) fn into_rustls(self) -> rustls::Error {
        let other = rustls::OtherError(std::sync::Arc::new(self));
        rustls::Error::InvalidCertificate(CertificateError::Other(other))
    }
}

impl RejectedFor {
    fn alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired => RejectedFor::NoCertificate,
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                RejectedFor::ForeignAuthority
            }
            AlertDescription::CertificateExpired => RejectedFor::Expired,
            AlertDescription::CertificateUnknown => RejectedFor::WrongIdentity,
            AlertDescription::NoApplicationProtocol => RejectedFor::NoService,
            alert => RejectedFor::Other { alert: format!("{alert:?}") },
        }
    }
}
