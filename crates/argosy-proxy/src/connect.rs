//! Opening a connection to an endpoint, and to another one beside it when the first keeps silent.
//!
//! Nothing of a request is written before there is a connection, so this is for every request.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::retry::{Failure, TRIES_MAX};
use crate::tcp;
use crate::worker::{Busy, LocalEndpoint, OpenClient, Tried};

/// How long a connection may be away until another endpoint is tried as well: far above what it
/// takes between two machines on one continent, and far below what people notice. A lost SYN is
/// repeated only after 1 s.
const BESIDE_AFTER: Duration = Duration::from_millis(250);

/// A connection, and the endpoint that it leads to.
pub(crate) struct Connected {
    pub(crate) endpoint: Rc<LocalEndpoint>,
    pub(crate) busy: Busy,
    pub(crate) stream: TcpStream,
}

/// What came of two connections that were opened beside each other.
enum Raced {
    /// The first opened, perhaps after the second had failed.
    First(TcpStream, Option<Failure>),
    /// The second opened; the first had failed or was later.
    Second(TcpStream, Failure),
    /// Both failed.
    Neither(Failure, Failure),
}

/// Opens a connection to an endpoint, or to another one if that is quicker after a while. Those
/// that gave none are added to `tried`, and to their records.
pub(crate) async fn connect(
    client: &OpenClient,
    first: Rc<LocalEndpoint>,
    tried: &mut Vec<Tried>,
) -> Result<Connected, Failure> {
    let limits = &client.listener.worker.shared.config.limits;
    let busy = client.busy(&first);
    let mut opening = pin!(tcp::connect(&first, limits));
    let early = timeout(BESIDE_AFTER, &mut opening).await.ok();
    let second = if early.is_none() { beside(client, &first, tried) } else { None };
    let raced = match (early, &second) {
        (Some(opened), _) => opened.map(|stream| Raced::First(stream, None)),
        (None, None) => opening.await.map(|stream| Raced::First(stream, None)),
        (None, Some(second)) => {
            client.listener.cell().retries.fetch_add(1, Ordering::Relaxed);
            Ok(race(opening, pin!(tcp::connect(second, limits))).await)
        }
    };
    let mut miss = |endpoint: &Rc<LocalEndpoint>, failure| {
        endpoint.cell.failed();
        let silent = failure == Failure::ConnectTimeout;
        tried.push(Tried { endpoint: Rc::clone(endpoint), silent });
        failure
    };
    match (raced, &second) {
        (Ok(Raced::First(stream, other)), _) => {
            if let (Some(failure), Some(second)) = (other, &second) {
                miss(second, failure);
            }
            Ok(Connected { endpoint: Rc::clone(&first), busy, stream })
        }
        (Ok(Raced::Second(stream, failure)), Some(second)) => {
            miss(&first, failure);
            let busy = client.busy(second);
            Ok(Connected { endpoint: Rc::clone(second), busy, stream })
        }
        (Ok(Raced::Neither(failure, other)), Some(second)) => {
            miss(second, other);
            Err(miss(&first, failure))
        }
        (Ok(Raced::Second(_, failure) | Raced::Neither(failure, _)) | Err(failure), _) => {
            Err(miss(&first, failure))
        }
    }
}

/// Picks an endpoint to try beside a silent one: one that was not tried yet, on another host if
/// there is one. None once so many were tried that the service is down.
fn beside(
    client: &OpenClient,
    first: &Rc<LocalEndpoint>,
    tried: &mut Vec<Tried>,
) -> Option<Rc<LocalEndpoint>> {
    if tried.len() + 2 > TRIES_MAX as usize {
        return None;
    }
    tried.push(Tried { endpoint: Rc::clone(first), silent: true });
    let other = client.listener.pick(tried);
    let is_new = |other: &Rc<LocalEndpoint>| {
        !tried.iter().any(|one| std::sync::Arc::ptr_eq(&one.endpoint.cell, &other.cell))
    };
    let other = other.filter(is_new);
    tried.pop();
    other
}

/// Waits for the first of two connections to open.
async fn race<F, S>(mut first: Pin<&mut F>, mut second: Pin<&mut S>) -> Raced
where
    F: Future<Output = Result<TcpStream, Failure>>,
    S: Future<Output = Result<TcpStream, Failure>>,
{
    tokio::select! {
        biased;
        opened = &mut first => match opened {
            Ok(stream) => Raced::First(stream, None),
            Err(failure) => match second.await {
                Ok(stream) => Raced::Second(stream, failure),
                Err(other) => Raced::Neither(failure, other),
            },
        },
        opened = &mut second => match opened {
            // Whoever is there takes a connection sooner than the first has.
            Ok(stream) => Raced::Second(stream, Failure::ConnectTimeout),
            Err(other) => match first.await {
                Ok(stream) => Raced::First(stream, Some(other)),
                Err(failure) => Raced::Neither(failure, other),
            },
        },
    }
}
