//! A machine that belongs to a cluster: its store, its ports, its control loop.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argosy_api::operator::ClusterReport;
use argosy_api::{ApiError, Client, ErrorCode};
use argosy_keeper::FenceSender;
use argosy_kv::SpaceId;
use argosy_model::{ActiveState, MachineId, UnitName};
use argosy_native::NativeBackend;
use argosy_peer::{AccessList, Identity, TlsConfigs};
use argosy_reconcile::Timing;
use argosy_registry::Wanted;
use argosy_store::{LinkState, Store, StoreHandle};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use super::admission::Admission;
use super::app::App;
use super::book::Book;
use super::control::{Control, Ends};
use super::followers::Followers;
use super::identity::Membership;
use super::listeners::Ports;
use super::liveness::{self, Liveness};
use super::machine_port::MachinePort;
use super::machine_routes::{self, REPORTS_WAITING_MAX};
use super::machine_server::MachineServer;
use super::picture::Picture;
use super::tables::Tables;
use super::traffic::Whom;
use super::{begin, reporter};
use crate::failure::chain;

/// How long a request waits for the cluster to have a leader, or for the loop to see a write.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How long a new member waits for its first state: a large store takes a while to arrive.
const FIRST_STATE_MAX: Duration = Duration::from_secs(60);

/// A supervisor that lists its units slower than this has a problem that is worth showing.
const SUPERVISOR_ANSWER_MAX: Duration = Duration::from_secs(2);

/// What a node needs before it has a store.
pub(crate) struct Parts {
    pub(crate) port: MachinePort,
    access: Arc<AccessList>,
    ports: Ports,
}

impl Parts {
    /// Binds the ports and takes up the machine's identity.
    pub(crate) async fn prepare(
        app: &App,
        membership: &Membership,
        identity: Identity,
    ) -> Result<Parts, ApiError> {
        let tls = TlsConfigs::new(identity).map_err(|error| begin::internal(&error))?;
        let address: IpAddr = membership.address.parse().map_err(|_| {
            let message = format!("{:?} is not an IP address", membership.address);
            ApiError::new(ErrorCode::Internal, message)
        })?;
        let book = Arc::new(Book::new(membership.members.iter().copied()));
        let access = Arc::new(AccessList::new());
        access.set(book.members().iter().map(|place| place.machine).collect(), Default::default());
        let ports = app.listen.bind(address, Arc::clone(&tls), Arc::clone(&access)).await?;
        Ok(Parts { port: MachinePort::new(tls, book), access, ports })
    }
}

/// A running node.
pub(crate) struct Node {
    machine_id: MachineId,
    membership: Membership,
    client_urls: Vec<String>,
    store: StoreHandle,
    port: MachinePort,
    picture: watch::Receiver<Picture>,
    supervisor: Client,
    /// Whether this machine may run fenced units.
    granted: watch::Receiver<bool>,
    followers: Arc<Followers>,
    running: Mutex<Option<Running>>,
}

/// What has to be ended in order.
struct Running {
    store: Store,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

/// The tasks that a node cannot be without. One that ends by itself ends the daemon: the keeper
/// starts it anew, and a half-dead one would only look alive.
struct Tasks {
    set: JoinSet<()>,
    stopped: watch::Receiver<bool>,
    broken: mpsc::Sender<&'static str>,
}

impl Tasks {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stopped, broken) = (self.stopped.clone(), self.broken.clone());
        self.set.spawn(async move {
            let ended = tokio::spawn(task).await;
            if !*stopped.borrow() {
                tracing::error!(task = name, panicked = ended.is_err(), "a task ended by itself");
                // One report is enough to end the daemon.
                let _ = broken.try_send(name);
            }
        });
    }
}

impl Node {
    /// Starts the ports, the backend and the control loop.
    pub(crate) fn start(
        app: &Arc<App>,
        membership: Membership,
        store: Store,
        parts: Parts,
    ) -> Result<Arc<Node>, ApiError> {
        let failed = |error: std::io::Error| begin::internal(&error);
        let Parts { port, access, ports } = parts;
        let handle = store.handle();
        let (stop, stopped) = watch::channel(false);
        let mut tasks =
            Tasks { set: JoinSet::new(), stopped: stopped.clone(), broken: app.broken.clone() };
        let client_urls = app.listen.client_urls();
        let info = argosy_etcd::ServerInfo {
            name: membership.name.clone(),
            client_urls: client_urls.clone(),
            peer_urls: vec![format!("https://{}:{}", membership.address, membership.port)],
        };
        let server = argosy_etcd::Server::new(handle.clone(), info);
        let mut until = stopped.clone();
        tasks.spawn("client ports", async move {
            let stopped = async move { drop(until.wait_for(|stop| *stop).await) };
            if let Err(error) = server.serve(ports.clients, stopped).await {
                tracing::error!(error = chain(&error), "the store's client ports failed");
            }
        });
        let backend = NativeBackend::start(app.places.supervisor_socket.clone());
        let mut until = stopped.clone();
        tasks.spawn("backend", async move {
            tokio::select! {
                () = backend.task => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
        let (picture, pictures) = watch::channel(Picture::default());
        let (report, reports) = mpsc::channel(REPORTS_WAITING_MAX);
        let (own_report, own_reports) = watch::channel(None);
        let (liveness, beating) = Liveness::start(
            liveness::Parts {
                machine: app.machine_id,
                timing: Timing::of(membership.timing),
                store: handle.clone(),
                port: port.clone(),
                fence: FenceSender::open(&app.places.runtime_dir).map_err(failed)?,
            },
            stopped.clone(),
        )
        .map_err(failed)?;
        let granted = liveness.granted();
        tasks.spawn("beats", async move {
            // It ends with `stopped`, or by a panic.
            drop(tokio::task::spawn_blocking(move || beating.join()).await);
        });
        let (newest, tables) = Tables::new();
        let stored = app.places.data_dir.join(crate::proxy::STORED_TABLE);
        let followers = Arc::new(Followers::new(tables, &stored));
        let whom = Whom {
            port: port.clone(),
            leadership: handle.leadership(),
            pictures: pictures.clone(),
            followed: followers.followed(),
        };
        let mut until = stopped.clone();
        let look = Arc::clone(&followers).look();
        tasks.spawn("followers", async move {
            tokio::select! {
                () = look => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
        let ends = Ends {
            requests: backend.requests,
            events: backend.events,
            reports,
            own_report,
            picture,
            book: Arc::clone(port.book()),
            access,
            liveness: liveness.clone(),
            tables: newest,
            whom,
        };
        let environment = app.places.told_to_units();
        let control = Control::new(app.machine_id, &membership, environment, handle.clone(), ends);
        tasks.spawn("control loop", control.run(stopped.clone()));
        tasks.spawn("reporter", reporter::run(port.clone(), own_reports, handle.leadership()));
        let admission = Arc::new(Admission::default());
        let server = MachineServer {
            store: handle.clone(),
            port: port.clone(),
            router: machine_routes::router(Arc::clone(app), report, stopped.clone()),
            admission: Arc::clone(&admission),
            liveness,
        };
        tasks.spawn("machine port", server.run(ports.machines, stopped));
        let node = Arc::new(Node {
            machine_id: app.machine_id,
            membership,
            client_urls,
            store: handle,
            port,
            picture: pictures,
            supervisor: Client::new(app.places.supervisor_socket.clone()),
            granted,
            followers,
            running: Mutex::new(Some(Running { store, stop, tasks })),
        });
        admission.serve(&node);
        Ok(node)
    }

    pub(crate) fn port(&self) -> &MachinePort {
        &self.port
    }

    /// Returns a client of the machine that leads, if it is another one.
    pub(crate) fn other_leader(&self) -> Option<Client> {
        let leadership = *self.store.leadership().borrow();
        let leader = leadership.leader.filter(|_| !leadership.is_leader)?;
        (leader.0 != self.membership.member_id).then(|| self.port.client_of_member(leader))
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Tells whether this machine leads.
    pub(crate) fn leads(&self) -> bool {
        self.store.leadership().borrow().is_leader
    }

    pub(crate) fn store(&self) -> &StoreHandle {
        &self.store
    }

    pub(crate) fn supervisor(&self) -> &Client {
        &self.supervisor
    }

    /// Returns the proxies that follow services here.
    pub(crate) fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// Returns a client that has a unit's journal: of the machine the unit is on, else of this
    /// one.
    pub(crate) fn journal_of(&self, unit: &UnitName) -> Client {
        match self.picture.borrow().machine_of(unit) {
            Some((machine, _)) if machine != self.machine_id => self.port.client_of(machine),
            _ => self.supervisor.clone(),
        }
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

    /// Waits until this machine's own record has reached it.
    pub(crate) async fn until_known(&self) -> Result<(), ApiError> {
        let mut pictures = self.picture.clone();
        let known =
            pictures.wait_for(|picture| picture.view.machines().contains_key(&self.machine_id));
        match tokio::time::timeout(FIRST_STATE_MAX, known).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ApiError::new(ErrorCode::Unavailable, "the daemon is stopping")),
            Err(_) => {
                let message = "the machine belongs to the cluster, but no state has arrived yet";
                Err(ApiError::new(ErrorCode::TimedOut, message)
                    .with_help("it goes on; watch it: argosy cluster status"))
            }
        }
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
        let asked = self.supervisor.get::<serde_json::Value>("/v1/units");
        match tokio::time::timeout(SUPERVISOR_ANSWER_MAX, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                problems.push(format!("the supervisor does not answer: {}", chain(&error)));
            }
            Err(_) => problems.push("the supervisor does not answer in time".to_owned()),
        }
        for link in self.store.links() {
            if let LinkState::Down { why } = &link.state {
                let machine = self.port.book().member(link.member);
                let name = machine.map(|place| picture.machine_name(place.machine));
                let name = name.unwrap_or_else(|| format!("member {}", link.member.0));
                problems.push(format!("{name} cannot be reached by the store: {why}"));
            }
        }
        for (key, problem) in picture.view.unreadable() {
            problems.push(format!("the record {key} cannot be read: {problem}"));
        }
        problems.extend(self.followers.problems());
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
        let leader = leadership.leader.map(|member| match self.port.book().member(member) {
            Some(place) => picture.machine_name(place.machine),
            None => format!("member {}", member.0),
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
            timing: self.membership.timing.to_string(),
            granted: *self.granted.borrow(),
        };
        Ok((report, problems))
    }

    /// Ends the tasks, then the store. Units run on.
    pub(crate) async fn shutdown(&self) {
        let Some(Running { store, stop, mut tasks }) = self.running.lock().await.take() else {
            return;
        };
        stop.send_replace(true);
        while tasks.set.join_next().await.is_some() {}
        let ended = tokio::task::spawn_blocking(move || store.shutdown()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the store did not end in order");
        }
    }
}
