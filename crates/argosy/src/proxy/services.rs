//! Follows the services that this machine's daemon knows, and tells it how far the proxy is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use argosy_api::traffic::{EndpointView, FollowRequest, TableView};
use argosy_api::{Client, ClientError, ErrorCode};
use argosy_model::{HealthCheck, MachineId};
use argosy_proxy::{Endpoint, Protocol, Published, Standing, Table};
use http::Method;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::failed;
use crate::failure::{Failure, chain};

/// The pause before a daemon that went away is asked again: it is back within a second.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// A daemon answers within 10 s, if only that nothing has changed; one that does not is asked anew.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// All threads follow a table at once; a proxy that does not says so, and goes on.
const APPLY_MAX: Duration = Duration::from_secs(2);
/// Questions without an answer until it is worth a warning: five seconds. A daemon that starts, or
/// starts anew, is there before.
const MISSED_MAX: u32 = 25;

/// A proxy's connection to the daemon.
pub(super) struct Follower {
    client: Client,
    request: FollowRequest,
    /// Questions in a row that got no answer.
    missed: u32,
}

impl Follower {
    pub(super) fn new(client: Client) -> Result<Follower, Failure> {
        let mut name = [0; 16];
        // getrandom(2) gives up to 256 bytes whole once it is seeded.
        rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| failed(&error))?;
        let proxy = format!("{:032x}", u128::from_le_bytes(name));
        let request = FollowRequest { proxy, ..FollowRequest::default() };
        Ok(Follower { client, request, missed: 0 })
    }

    /// Asks for the table after the one it has, until there is one. What is acknowledged meanwhile
    /// and what the proxy cannot do is said with the next question. Fails only for a user who may
    /// not follow services here: that does not pass.
    pub(super) async fn next(&mut self) -> Result<Table, Failure> {
        loop {
            match timeout(ANSWER_MAX, self.ask()).await {
                Ok(Ok(Some(table))) => {
                    self.missed = 0;
                    self.request.following = table.generation;
                    match read(table) {
                        Some(table) => return Ok(table),
                        None => tracing::error!("the daemon's table cannot be read"),
                    }
                }
                Ok(Ok(None)) => self.missed = 0,
                Ok(Err(ClientError::Refused(refusal)))
                    if refusal.code == ErrorCode::PermissionDenied =>
                {
                    return Err(refusal.into());
                }
                Ok(Err(error)) => {
                    self.missed = missed(self.missed, &error);
                    if self.missed == MISSED_MAX {
                        tracing::warn!(error = chain(&error), "the last table is used");
                    }
                    sleep(RETRY_AFTER).await;
                }
                Err(_) => {}
            }
        }
    }

    async fn ask(&self) -> Result<Option<TableView>, ClientError> {
        self.client.send(Method::POST, "/v1/traffic", &self.request).await
    }

    /// Says that a table is followed.
    pub(super) fn acknowledge(&mut self, generation: u64) {
        self.request.acknowledged = self.request.acknowledged.max(generation);
    }

    /// Keeps a running proxy's tables up to date, until the proxy has ended or may not.
    pub(super) async fn serve(
        mut self,
        tables: watch::Sender<Arc<Table>>,
        mut acknowledged: watch::Receiver<u64>,
        unopened: watch::Receiver<Vec<String>>,
    ) -> Result<(), Failure> {
        // It may have begun with a stored one, which it follows already.
        self.acknowledge(*acknowledged.borrow());
        self.request.following = self.request.following.max(self.request.acknowledged);
        let mut known = unopened;
        loop {
            self.request.problems = known.borrow_and_update().clone();
            let table = tokio::select! {
                table = self.next() => table?,
                changed = known.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(()),
                }
            };
            let generation = table.generation;
            tables.send_replace(Arc::new(table));
            let followed = acknowledged.wait_for(|reached| *reached >= generation);
            match timeout(APPLY_MAX, followed).await {
                Ok(Ok(reached)) => {
                    let reached = *reached;
                    self.acknowledge(reached);
                }
                Ok(Err(_)) => return Ok(()),
                Err(_) => tracing::warn!(generation, "not all threads follow the table"),
            }
        }
    }
}

/// Counts a question that got no table. A machine that belongs to no cluster has none, and says so:
/// that is an answer.
fn missed(before: u32, error: &ClientError) -> u32 {
    match error {
        ClientError::Refused(refusal) if refusal.code == ErrorCode::Conflict => 0,
        _ => before.saturating_add(1),
    }
}

/// Reads a daemon's table; none if it holds what it may not.
fn read(view: TableView) -> Option<Table> {
    let mut services = BTreeMap::new();
    for (name, endpoints) in view.services {
        let endpoints: Option<Vec<Endpoint>> = endpoints.into_iter().map(endpoint).collect();
        services.insert(name, endpoints?);
    }
    let published = view.published.into_iter().map(|one| {
        let protocol = match one.protocol.as_str() {
            "http" => Protocol::Http,
            "tcp" => Protocol::Tcp,
            _ => return None,
        };
        Some(Published { port: one.port, protocol, service: one.service })
    });
    let published = published.collect::<Option<Vec<_>>>()?;
    Some(Table { generation: view.generation, services, published })
}

fn endpoint(view: EndpointView) -> Option<Endpoint> {
    let machine: MachineId = view.machine.parse().ok()?;
    let (instance, zone, epoch) = (view.instance, view.zone, view.epoch.into());
    let address = view.address.parse().ok()?;
    // A kind of a newer daemon is as good as none.
    let (check, standing) = (HealthCheck::parse(&view.check), Standing::Held);
    Some(Endpoint { instance, machine, epoch, address, zone, check, standing })
}

#[cfg(test)]
mod tests {
    //! Tests of when a missing table is worth a warning.

    use argosy_api::ApiError;

    use super::*;

    #[test]
    fn only_a_daemon_that_stays_away_is_counted() {
        let none = ApiError::new(ErrorCode::Conflict, "this machine belongs to no cluster");
        assert_eq!(missed(MISSED_MAX - 1, &ClientError::Refused(none)), 0);
        let source = std::io::ErrorKind::NotFound.into();
        let away = ClientError::Connect { server: "api.sock".into(), source };
        assert_eq!((0..3).fold(0, |before, _| missed(before, &away)), 3);
        let busy = ApiError::new(ErrorCode::Unavailable, "no leader");
        assert_eq!(missed(0, &ClientError::Refused(busy)), 1);
    }
}
