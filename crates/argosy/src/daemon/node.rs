//! A machine that belongs to a cluster: its store, its client ports, its control loop.

use std::time::Duration;

use argosy_api::operator::ClusterReport;
use argosy_api::{ApiError, Client, ErrorCode};
use argosy_kv::SpaceId;
use argosy_model::{ActiveState, MachineId};
use argosy_native::NativeBackend;
use argosy_registry::{StoredMachine, Wanted};
use argosy_store::{Store, StoreHandle};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::Places;
use super::control::{BackendEnds, Control};
use super::edit;
use super::identity::Membership;
use super::picture::Picture;
use crate::failure::chain;

/// How long a request waits for the cluster to have a leader, or for the loop to see a write.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// A running node.
pub(crate) struct Node {
    machine_id: MachineId,
    membership: Membership,
    client_urls: Vec<String>,
    store: StoreHandle,
    picture: watch::Receiver<Picture>,
    supervisor: Client,
    running: Mutex<Option<Running>>,
}

/// What has to be ended in order.
struct Running {
    store: Store,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Node {
    /// Starts the store's client ports, the backend and the control loop.
    pub(crate) fn start(
        machine_id: MachineId,
        membership: Membership,
        store: Store,
        (listeners, client_urls): (Vec<TcpListener>, Vec<String>),
        places: &Places,
    ) -> Node {
        let handle = store.handle();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let info = argosy_etcd::ServerInfo {
            name: membership.name.clone(),
            client_urls: client_urls.clone(),
            // No other member exists yet that could reach this one.
            peer_urls: Vec::new(),
        };
        let server = argosy_etcd::Server::new(handle.clone(), info);
        let mut until = stopped.clone();
        tasks.spawn(async move {
            let stopped = async move { drop(until.wait_for(|stop| *stop).await) };
            if let Err(error) = server.serve(listeners, stopped).await {
                tracing::error!(error = chain(&error), "the store's client ports failed");
            }
        });
        let backend = NativeBackend::start(places.supervisor_socket.clone());
        let ends = BackendEnds { requests: backend.requests, events: backend.events };
        let mut until = stopped.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = backend.task => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
        let (picture, pictures) = watch::channel(Picture::default());
        let control = Control::new(machine_id, &membership, handle.clone(), ends, picture);
        tasks.spawn(control.run(stopped));
        Node {
            machine_id,
            membership,
            client_urls,
            store: handle,
            picture: pictures,
            supervisor: Client::new(places.supervisor_socket.clone()),
            running: Mutex::new(Some(Running { store, stop, tasks })),
        }
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    pub(crate) fn store(&self) -> &StoreHandle {
        &self.store
    }

    pub(crate) fn supervisor(&self) -> &Client {
        &self.supervisor
    }

    /// Returns the latest picture.
    pub(crate) fn picture(&self) -> Picture {
        self.picture.borrow().clone()
    }

    /// Returns a receiver that sees every later picture.
    pub(crate) fn pictures(&self) -> watch::Receiver<Picture> {
        self.picture.clone()
    }

    /// Waits until the control loop has seen everything that is committed now.
    pub(crate) async fn fresh_picture(&self) -> Result<Picture, ApiError> {
        let fresh = async {
            self.store.read_barrier().await.map_err(|error| {
                ApiError::new(ErrorCode::Unavailable, format!("the store does not answer: {error}"))
                    .with_help("see whether the cluster has a leader: argosy cluster status")
            })?;
            let wanted = self.store.view().revision(SpaceId::Registry);
            let mut pictures = self.picture.clone();
            let reached = pictures
                .wait_for(|picture| picture.view.revision() >= wanted)
                .await
                .map_err(|_| ApiError::new(ErrorCode::Unavailable, "the daemon is stopping"))?;
            Ok(reached.clone())
        };
        tokio::time::timeout(CATCH_UP_MAX, fresh).await.unwrap_or_else(|_| {
            Err(ApiError::new(ErrorCode::TimedOut, "the cluster has no leader that answers")
                .with_help("see who is missing: argosy cluster status"))
        })
    }

    /// Stores or refreshes this machine's own record.
    pub(crate) async fn announce_machine(&self) -> Result<(), ApiError> {
        let machine = StoredMachine {
            id: self.machine_id,
            name: self.membership.name.clone(),
            address: self.membership.address.clone(),
            metadata: self.membership.metadata.clone(),
            cordoned: false,
            lost: false,
            port: 0,
            member: self.membership.member_id,
        };
        edit::change(self, |edit| edit.put_machine(machine.clone())).await
    }

    /// Returns the cluster at a glance, and what is wrong with it.
    pub(crate) async fn report(&self) -> Result<(ClusterReport, Vec<String>), ApiError> {
        let picture = self.picture();
        let status = self.store.status();
        let leadership = *self.store.leadership().borrow();
        let mut problems = Vec::new();
        if leadership.leader.is_none() {
            problems.push("the store has no leader: nothing can be changed".to_owned());
        }
        if let Err(error) = self.supervisor.get::<serde_json::Value>("/v1/units").await {
            problems.push(format!("the supervisor does not answer: {}", chain(&error)));
        }
        for (key, problem) in picture.view.unreadable() {
            problems.push(format!("the record {key} cannot be read: {problem}"));
        }
        for report in picture.reports.values() {
            let machine = picture.machine_name(report.machine);
            let orphan = |unit| format!("{unit} runs on {machine} and belongs to nobody");
            problems.extend(report.orphans.iter().map(orphan));
        }
        let (mut wanted, mut active) = (0, 0);
        for name in picture.view.unit_names() {
            let runs = picture.view.look_up(&name).is_some_and(|u| u.wanted == Wanted::Run);
            if !runs {
                continue;
            }
            wanted += 1;
            let machine = picture.machine_of(&name).map(|(machine, _)| machine);
            let status = machine.and_then(|machine| picture.status(machine, &name));
            let is_active = status.is_some_and(|status| status.active() == ActiveState::Active);
            active += u32::from(is_active);
        }
        let leader = leadership.leader.map(|member| {
            if member.0 == self.membership.member_id {
                self.membership.name.clone()
            } else {
                format!("member {}", member.0)
            }
        });
        let report = ClusterReport {
            cluster_id: self.membership.cluster_id.to_string(),
            machine_name: self.membership.name.clone(),
            voters: u32::try_from(status.replica.membership.voters.len()).unwrap_or(u32::MAX),
            leader,
            term: leadership.term.0,
            revision: status.revisions.user.try_into().unwrap_or_default(),
            units_wanted: wanted,
            units_active: active,
            client_urls: self.client_urls.clone(),
        };
        Ok((report, problems))
    }

    /// Ends the tasks, then the store. Units run on.
    pub(crate) async fn shutdown(&self) {
        let Some(Running { store, stop, mut tasks }) = self.running.lock().await.take() else {
            return;
        };
        stop.send_replace(true);
        while tasks.join_next().await.is_some() {}
        let ended = tokio::task::spawn_blocking(move || store.shutdown()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the store did not end in order");
        }
    }
}
