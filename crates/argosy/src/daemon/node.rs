//! A machine that belongs to a cluster: its store, its ports, its control loop.

mod serving;
mod tasks;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argosy_api::operator::UnitView;
use argosy_api::{ApiError, Client, ClientError, ErrorCode};
use argosy_keeper::FenceSender;
use argosy_kv::SpaceId;
use argosy_model::{MachineId, UnitName};
use argosy_native::NativeBackend;
use argosy_peer::{AccessList, Identity, TlsConfigs};
use argosy_reconcile::Timing;
use argosy_store::{MemberId, Store, StoreHandle};
use tokio::sync::{Mutex, mpsc, watch};

use super::admission::Admission;
use super::app::App;
use super::book::Book;
use super::certificate::Renewal;
use super::control::{Control, Ends};
use super::feed::Feed;
use super::followers::Followers;
use super::identity::Membership;
use super::images::ImageDisk;
use super::listeners::{Opened, Ports};
use super::liveness::{self, Liveness};
use super::machine_port::MachinePort;
use super::machine_routes::{self, REPORTS_WAITING_MAX};
use super::machine_server::MachineServer;
use super::peers::{self, PeerImages};
use super::picture::Picture;
use super::store_access::StoreAccess;
use super::tables::Tables;
use super::traffic::Whom;
use super::{begin, images, reporter};

use serving::Serving;
use tasks::Tasks;

/// How long a request waits for the cluster to have a leader, or for the loop to see a write.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How long leadership is offered to others before this daemon ends: an election is as good then.
const HAND_ON_MAX: Duration = Duration::from_secs(1);
/// How long a new member waits for its first state: a large store takes a while to arrive.
const FIRST_STATE_MAX: Duration = Duration::from_secs(60);

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
        let address: IpAddr = membership.address.parse().map_err(|_| {
            let message = format!("{:?} is not an IP address", membership.address);
            ApiError::new(ErrorCode::Internal, message)
        })?;
        Parts::with(app.listen.bind(address).await?, membership, identity)
    }

    /// Takes up the machine's identity, with ports that are bound already.
    pub(crate) fn with(
        opened: Opened,
        membership: &Membership,
        identity: Identity,
    ) -> Result<Parts, ApiError> {
        let tls = TlsConfigs::new(identity).map_err(|error| begin::internal(&error))?;
        let book = Arc::new(Book::new(membership.members.iter().copied()));
        let access = Arc::new(AccessList::new());
        access.set(book.members().iter().map(|place| place.machine).collect(), Default::default());
        let ports = opened.serve(Arc::clone(&tls), Arc::clone(&access));
        Ok(Parts { port: MachinePort::new(tls, book), access, ports })
    }
}

/// How a daemon came to be of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Its machine has just become a part of it.
    Joined,
    /// Its machine was one before the daemon began, and may have missed things.
    Began,
}

/// A running node.
pub(crate) struct Node {
    machine_id: MachineId,
    membership: Membership,
    client_urls: Vec<String>,
    store: StoreAccess,
    port: MachinePort,
    picture: watch::Receiver<Picture>,
    supervisor: Client,
    /// Whether this machine may run fenced units.
    granted: watch::Receiver<bool>,
    liveness: Liveness,
    followers: Arc<Followers>,
    images: Arc<PeerImages>,
    running: Mutex<Option<Running>>,
}

/// What has to be ended in order.
struct Running {
    store: Option<Store>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

impl Node {
    /// Starts the ports, the backend and the control loop.
    pub(crate) fn start(
        app: &Arc<App>,
        membership: Membership,
        store: Option<Store>,
        parts: Parts,
        origin: Origin,
    ) -> Result<Arc<Node>, ApiError> {
        let failed = |error: std::io::Error| begin::internal(&error);
        let Parts { port, access: may_connect, ports } = parts;
        let access = match &store {
            Some(store) => StoreAccess::Member(store.handle()),
            None => StoreAccess::Worker(
                Feed::open(
                    &app.places.data_dir,
                    membership.cluster_id,
                    app.machine_id,
                    port.clone(),
                )
                .map_err(|error| begin::internal(&error))?,
            ),
        };
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped.clone(), app.broken.clone());
        let client_urls = app.listen.client_urls();
        let backend = NativeBackend::start(app.places.supervisor_socket.clone());
        tasks.spawn_until_stopped("backend", backend.task);
        let (picture, pictures) = watch::channel(Picture::default());
        let serving = Serving {
            membership: &membership,
            client_urls: &client_urls,
            port: &port,
            pictures: &pictures,
        };
        let for_workers = serving.begin(&access, ports.clients, &mut tasks);
        let (report, reports) = mpsc::channel(REPORTS_WAITING_MAX);
        let (own_report, own_reports) = watch::channel(None);
        let (liveness, beating) = Liveness::start(
            liveness::Parts {
                machine: app.machine_id,
                timing: Timing::of(membership.timing),
                store: access.clone(),
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
            leadership: access.leadership(),
            pictures: pictures.clone(),
            followed: followers.followed(),
        };
        tasks.spawn_until_stopped("followers", Arc::clone(&followers).look());
        let (peer_images, between) = PeerImages::new(peers::Parts {
            data_dir: app.places.data_dir.clone(),
            machine: app.machine_id,
            access: access.clone(),
            port: port.clone(),
            pictures: pictures.clone(),
        });
        tasks.spawn_until_stopped("images between machines", between.run());
        let bring = images::BringParts {
            data_dir: app.places.data_dir.clone(),
            limits: app.places.disk.limits(),
            peers: Arc::new(peer_images.neighbours()),
        };
        let brought = serving::bring_images(bring, &mut tasks);
        let (images, disk) = ImageDisk::new(images::Parts {
            data_dir: app.places.data_dir.clone(),
            limits: app.places.disk.limits(),
            machine: app.machine_id,
            pictures: pictures.clone(),
            supervisor: Client::new(app.places.supervisor_socket.clone()),
            wanted: brought.wanted.subscribe(),
        });
        tasks.spawn_until_stopped("images", images.run());
        let ends = Ends {
            requests: backend.requests,
            events: backend.events,
            reports,
            own_report,
            picture,
            book: Arc::clone(port.book()),
            access: may_connect,
            liveness: liveness.clone(),
            tables: newest,
            whom,
            disk,
            wanted_images: brought.wanted,
            images: brought.states,
        };
        let environment = app.places.told_to_units();
        let control = Control::new(app.machine_id, &membership, environment, access.clone(), ends);
        let control = if origin == Origin::Began { control.hold_starts() } else { control };
        let renewal = Renewal {
            folder: app.places.data_dir.join("tls"),
            machine: app.machine_id,
            access: access.clone(),
            port: port.clone(),
            tls: Arc::clone(port.tls()),
        };
        tasks.spawn_until_stopped("certificate", renewal.run());
        tasks.spawn("control loop", control.run(stopped.clone()));
        tasks.spawn("reporter", reporter::run(port.clone(), own_reports, access.leadership()));
        let admission = Arc::new(Admission::default());
        let server = MachineServer {
            store: access.clone(),
            for_workers,
            port: port.clone(),
            router: machine_routes::router(
                Arc::clone(app),
                report,
                Arc::clone(&peer_images),
                stopped.clone(),
            ),
            admission: Arc::clone(&admission),
            liveness: liveness.clone(),
        };
        tasks.spawn("machine port", server.run(ports.machines, stopped));
        let node = Arc::new(Node {
            machine_id: app.machine_id,
            membership,
            client_urls,
            store: access,
            port,
            picture: pictures,
            supervisor: Client::new(app.places.supervisor_socket.clone()),
            granted,
            liveness,
            followers,
            images: peer_images,
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

    /// Returns clients of the machines that know more than this one, in the order in which they
    /// are best asked: the leader; for a worker then every other member.
    pub(crate) fn better_informed(&self) -> Vec<Client> {
        match &self.store {
            StoreAccess::Member(_) => self.other_leader().into_iter().collect(),
            StoreAccess::Worker(feed) => {
                feed.members().into_iter().map(|id| self.port.client_of_member(id)).collect()
            }
        }
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Tells whether this machine leads.
    pub(crate) fn leads(&self) -> bool {
        self.store.leadership().borrow().is_leader
    }

    /// Returns the store, if this machine holds it; else an error that says so.
    pub(crate) fn store(&self) -> Result<&StoreHandle, ApiError> {
        self.store.held()
    }

    pub(crate) fn access(&self) -> &StoreAccess {
        &self.store
    }

    pub(crate) fn client_urls(&self) -> &[String] {
        &self.client_urls
    }

    /// Tells whether this machine may run units that stop on partition now.
    pub(crate) fn is_granted(&self) -> bool {
        *self.granted.borrow()
    }

    /// Asks the cluster to let this machine be away for a while. Returns until when it may, on
    /// CLOCK_BOOTTIME; `None` if nobody has said so within `patience`.
    pub(crate) async fn obtain_long_grant(&self, patience: Duration) -> Option<Duration> {
        self.liveness.obtain_long_grant(patience).await
    }

    pub(crate) fn supervisor(&self) -> &Client {
        &self.supervisor
    }

    /// Returns what there is of images between machines.
    pub(crate) fn images(&self) -> &Arc<PeerImages> {
        &self.images
    }

    /// Returns the proxies that follow services here.
    pub(crate) fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// Returns a client that has a unit's journal: of the machine the unit is on, else of this
    /// one.
    pub(crate) async fn journal_of(&self, unit: &UnitName) -> Result<Client, ApiError> {
        let known = self.picture.borrow().machine_of(unit).map(|(machine, _)| machine);
        let machine = match (known, self.store.member()) {
            // A worker knows of its own units only.
            (None, None) => self.ask_where(unit).await?,
            (known, _) => known,
        };
        Ok(match machine {
            Some(machine) if machine != self.machine_id => self.port.client_of(machine),
            _ => self.supervisor.clone(),
        })
    }

    /// Asks those who know which machine a unit is on; `None`: it is on none.
    async fn ask_where(&self, unit: &UnitName) -> Result<Option<MachineId>, ApiError> {
        let path = format!("/operator/v1/units/{unit}");
        for member in self.better_informed() {
            let name = match member.get::<UnitView>(&path).await {
                Ok(view) => view.machine,
                Err(ClientError::Refused(error)) if error.code == ErrorCode::NotFound => None,
                Err(_) => continue,
            };
            let picture = self.picture.borrow();
            let mut machines = picture.view.machines().values();
            let named = machines.find(|stored| Some(&stored.value.name) == name.as_ref());
            return Ok(named.map(|stored| stored.value.id));
        }
        self.store().map(|_| None)
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
        let store = self.store()?;
        let fresh = async {
            store.read_barrier().await.map_err(|error| {
                ApiError::new(ErrorCode::Unavailable, format!("the store does not answer: {error}"))
                    .with_help("see whether the cluster has a leader: argosy cluster status")
            })?;
            let wanted = store.view().revision(SpaceId::Registry);
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

    /// Has another voter lead, if this machine does: nobody then has to notice that it is gone.
    async fn hand_on(&self) {
        let Ok(store) = self.store() else { return };
        let picture = self.picture();
        let may_lead = |member: &MemberId| {
            let place = self.port.book().member(*member);
            let stored = place.and_then(|place| picture.view.machines().get(&place.machine));
            member.0 != self.membership.member_id && stored.is_some_and(|it| !it.value.lost)
        };
        for member in store.membership().voters.into_iter().filter(may_lead) {
            if !self.leads() {
                return;
            }
            match store.transfer_leader(member).await {
                Ok(()) => tracing::info!(%member, "leadership handed on"),
                Err(error) => tracing::debug!(%member, %error, "leadership not handed on"),
            }
        }
    }

    /// Ends the tasks, then the store. Units run on.
    pub(crate) async fn shutdown(&self) {
        let Some(Running { store, stop, mut tasks }) = self.running.lock().await.take() else {
            return;
        };
        drop(tokio::time::timeout(HAND_ON_MAX, self.hand_on()).await);
        stop.send_replace(true);
        tasks.ended().await;
        let Some(store) = store else { return };
        let ended = tokio::task::spawn_blocking(move || store.shutdown()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the store did not end in order");
        }
    }
}
