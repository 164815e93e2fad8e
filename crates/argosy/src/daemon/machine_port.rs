//! Reaching other machines: one authenticated connection per purpose, for the store and for HTTP.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use argosy_api::{Client, Connect, Connecting, Stream};
use argosy_model::MachineId;
use argosy_peer::{DialTimeouts, Dialer, Service, TlsConfigs};
use argosy_store::{Dial, Dialing, MemberId, PeerStream, Purpose};

use super::book::{Book, Place};
use crate::failure::chain;

/// Connects to the machines in the book. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MachinePort {
    dialer: Dialer,
    tls: Arc<TlsConfigs>,
    book: Arc<Book>,
}

/// Whom a client is to reach.
#[derive(Debug, Clone, Copy)]
enum Target {
    Machine(MachineId),
    Member(MemberId),
}

impl MachinePort {
    pub(crate) fn new(tls: Arc<TlsConfigs>, book: Arc<Book>) -> MachinePort {
        let dialer = Dialer::new(Arc::clone(&tls), DialTimeouts::default());
        MachinePort { dialer, tls, book }
    }

    pub(crate) fn book(&self) -> &Arc<Book> {
        &self.book
    }

    pub(crate) fn tls(&self) -> &Arc<TlsConfigs> {
        &self.tls
    }

    /// Returns until when this machine's certificate is valid.
    pub(crate) fn certificate_ends(&self) -> SystemTime {
        self.tls.identity().expires
    }

    /// Returns an HTTP client of a machine.
    pub(crate) fn client_of(&self, machine: MachineId) -> Client {
        self.client(Target::Machine(machine))
    }

    /// Returns an HTTP client of the machine that holds a store member.
    pub(crate) fn client_of_member(&self, member: MemberId) -> Client {
        self.client(Target::Member(member))
    }

    fn client(&self, target: Target) -> Client {
        Client::over(Arc::new(HttpTo { port: self.clone(), target }))
    }

    async fn open(
        &self,
        place: Option<Place>,
        service: Service,
    ) -> io::Result<argosy_peer::PeerStream> {
        let Some(place) = place else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the machine is not known here"));
        };
        match self.dialer.connect(place.address, service, Some(place.machine)).await {
            Ok(dialled) => Ok(dialled.stream),
            Err(error) => Err(io::Error::other(chain(&error))),
        }
    }

    /// Connects to the machine that holds a store member, within limits of its own.
    pub(crate) async fn connect_within(
        &self,
        member: MemberId,
        service: Service,
        timeouts: DialTimeouts,
    ) -> io::Result<argosy_peer::PeerStream> {
        let hasty = MachinePort { dialer: self.dialer.with_timeouts(timeouts), ..self.clone() };
        hasty.open(self.book.member(member), service).await
    }
}

/// HTTP to one machine, wherever it is when it is asked.
struct HttpTo {
    port: MachinePort,
    target: Target,
}

impl HttpTo {
    fn place(&self) -> Option<Place> {
        match self.target {
            Target::Machine(machine) => self.port.book.machine(machine),
            Target::Member(member) => self.port.book.member(member),
        }
    }
}

impl Connect for HttpTo {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let stream = self.port.open(self.place(), Service::Http).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn name(&self) -> String {
        match (self.place(), self.target) {
            (Some(place), _) => format!("machine {} at {}", place.machine.short(), place.address),
            (None, Target::Machine(machine)) => format!("machine {}", machine.short()),
            (None, Target::Member(member)) => format!("the machine of store member {}", member.0),
        }
    }
}

impl Dial for MachinePort {
    fn dial(&self, to: MemberId, purpose: Purpose) -> Dialing {
        let service = match purpose {
            Purpose::Raft => Service::Raft,
            Purpose::Snapshot => Service::Snapshot,
        };
        let port = self.clone();
        Box::pin(async move {
            let stream = port.open(port.book.member(to), service).await?;
            Ok(Box::new(stream) as PeerStream)
        })
    }
}
