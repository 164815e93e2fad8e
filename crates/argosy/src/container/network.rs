//! The networks of a container: which it is on, and what of it the machine's ports lead to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use argosy_container::{Companion, ContainerId, ContainerSpec, Namespace, State};
use argosy_image::Image;
use argosy_network::{
    Attach, COMPANION_ROLE, CompanionRequest, DEFAULT_NETWORK, Endpoint, NetworkError, Networks,
    Publish, Published, PublishedPort, ReserveRequest, ResolverOptions, StorePort,
};

use super::Engine;
use super::options::bad;
use super::record::EngineRecord;
use crate::args::{ContainerRun, Wiring};
use crate::daemon::STORE_ADDRESSES;
use crate::failure::{Exit, Failure};

/// The companion's request, in the container's directory.
pub(super) const REQUEST: &str = "network.json";
/// Where this machine's name servers stand.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// The ports by which every container reaches the store on its own 127.0.0.1, as the machine's
/// programs do: etcd's today and in its first versions.
const STORE_PORTS: [u16; 2] = [4001, 2379];
/// What stands for the machine in `--add-host`.
const HOST_GATEWAY: &str = "host-gateway";

/// What a container has of networks.
#[derive(Debug)]
pub(super) enum Connection {
    /// Networks of its own, by addresses on bridges.
    Bridged(Vec<Attach>),
    /// The machine's, another container's, or only its own loopback.
    Other(Namespace),
}

pub(super) fn networks(global_runtime: &Path, data_dir: &Path) -> Networks {
    Networks { data_dir: data_dir.join("networks"), run_dir: global_runtime.join("networks") }
}

pub(super) fn failed(error: &NetworkError) -> Failure {
    let exit = match error {
        NetworkError::InUse { .. } | NetworkError::Exists { .. } => Exit::Refused,
        _ => Exit::BadInput,
    };
    let failure = Failure::from_error(exit, error);
    match error {
        NetworkError::NotFound { .. } => failure.with_help("list them: argosy network ls"),
        NetworkError::NeedsRoot => failure.with_help("take --network host or --network none"),
        _ => failure,
    }
}

/// Reads `--network`.
pub(super) fn connection(options: &Wiring, engine: &Engine) -> Result<Connection, Failure> {
    let mut attaches = Vec::new();
    for text in &options.network {
        let (name, more) = text.split_once(':').unwrap_or((text, ""));
        let other = match (name, more) {
            ("none" | "private", "") => Some(Namespace::Private),
            ("host", "") => Some(Namespace::Host),
            ("container", name) => Some(Namespace::Container(engine.find(name)?)),
            ("ns", path) => Some(Namespace::Path(path.into())),
            _ => None,
        };
        match other {
            Some(_) if options.network.len() > 1 => {
                let help = "several --network are several networks by name";
                return Err(bad(format!("--network {text} goes with no other"), help));
            }
            Some(namespace) => return Ok(Connection::Other(namespace)),
            None => attaches.push(attach(name, more)?),
        }
    }
    if attaches.is_empty() {
        // Whoever is not root has no bridges; the container then has its own loopback.
        if !rustix::process::geteuid().is_root() {
            return Ok(Connection::Other(Namespace::Private));
        }
        attaches.push(Attach { network: DEFAULT_NETWORK.to_owned(), ..Attach::default() });
    }
    if let [one] = &mut attaches[..] {
        one.ip = address(options.ip.as_deref())?.or(one.ip);
        if let Some(text) = &options.mac_address {
            one.mac =
                Some(text.parse().map_err(|_| bad(format!("{text:?} is no MAC address"), MAC))?);
        }
    } else if options.ip.is_some() || options.mac_address.is_some() {
        let help = "with several networks write --network NAME:ip=ADDRESS,mac=ADDRESS";
        return Err(bad("--ip and --mac-address are for one network", help));
    }
    for one in &mut attaches {
        one.aliases.extend(options.network_alias.iter().cloned());
    }
    Ok(Connection::Bridged(attaches))
}

const MAC: &str = "write it 02:42:ac:11:00:02";

/// Reads `NAME:ip=...,mac=...,alias=...,interface_name=...`.
fn attach(name: &str, more: &str) -> Result<Attach, Failure> {
    let network = if name == "podman" { DEFAULT_NETWORK } else { name };
    let mut attach = Attach { network: network.to_owned(), ..Attach::default() };
    for option in more.split(',').filter(|it| !it.is_empty()) {
        match option.split_once('=') {
            Some(("ip", value)) => attach.ip = address(Some(value))?,
            Some(("mac", value)) => {
                let wrong = |_| bad(format!("{value:?} is no MAC address"), MAC);
                attach.mac = Some(value.parse().map_err(wrong)?);
            }
            Some(("alias", value)) => attach.aliases.push(value.to_owned()),
            Some(("interface_name", value)) => attach.interface = Some(value.to_owned()),
            _ => {
                let help = "there are ip, mac, alias and interface_name";
                return Err(bad(
                    format!("{option:?} in --network {name}:{more} is no option"),
                    help,
                ));
            }
        }
    }
    Ok(attach)
}

fn address(text: Option<&str>) -> Result<Option<IpAddr>, Failure> {
    let read = |text: &str| {
        text.parse().map_err(|_| bad(format!("{text:?} is no address"), "write it 10.88.0.7"))
    };
    text.map(read).transpose()
}

/// Reads `--publish`.
pub(super) fn publish(texts: &[String]) -> Result<Vec<Publish>, Failure> {
    texts.iter().map(|text| publish_one(text)).collect()
}

fn publish_one(text: &str) -> Result<Publish, Failure> {
    text.parse::<Publish>().map_err(|error| {
        Failure::from_error(Exit::BadInput, &error)
            .with_help("write it [ADDRESS:][PORT:]PORT[/PROTO]: 8080:80, 127.0.0.1:53:53/udp")
    })
}

/// Reads `--publish`, and with `--publish-all` what the image and `--expose` name.
pub(super) fn publish_with(options: &ContainerRun, image: &Image) -> Result<Vec<Publish>, Failure> {
    let mut published = publish(&options.publish)?;
    if options.publish_all {
        let config = image.config.config().as_ref();
        let exposed = config.and_then(|it| it.exposed_ports().clone()).unwrap_or_default();
        for text in exposed.iter().chain(&options.expose) {
            let one = publish_one(text)?;
            let is_there =
                |it: &Publish| (it.container, it.protocol) == (one.container, one.protocol);
            if !published.iter().any(is_there) {
                published.push(Publish { host: None, ..one });
            }
        }
    }
    Ok(published)
}

/// Connects a container: reserves its addresses and says what its companion is to do.
pub(super) fn connect(
    options: &Wiring,
    published: Vec<Publish>,
    engine: &Engine,
    name: &str,
    spec: &mut ContainerSpec,
) -> Result<Option<CompanionRequest>, Failure> {
    let dns = options.dns.iter().map(|text| {
        text.parse::<IpAddr>()
            .map_err(|_| bad(format!("{text:?} is no address"), "name a server by its address"))
    });
    let resolver = ResolverOptions {
        servers: dns.collect::<Result<_, _>>()?,
        search: options.dns_search.clone(),
        options: options.dns_option.clone(),
    };
    let of_machine = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let attaches = match connection(options, engine)? {
        Connection::Bridged(attaches) => attaches,
        Connection::Other(namespace) => {
            if !published.is_empty() {
                crate::printer::note(
                    "note: nothing is published: the container is on no network of its own",
                );
            }
            unbridged(options, namespace, spec, (&resolver, &of_machine))?;
            return Ok(None);
        }
    };
    let hostname = spec.hostname();
    let request = ReserveRequest {
        id: spec.id.to_string(),
        name: name.to_owned(),
        aliases: vec![hostname.clone()],
        networks: attaches,
    };
    let endpoints = engine.networks.reserve(&request).map_err(|error| failed(&error))?;
    let gateway = endpoints.iter().find(|it| !it.internal).map(|it| it.gateway);
    let added = added_hosts(options, gateway)?;
    let mut names = vec![hostname.as_str()];
    if name != hostname {
        names.push(name);
    }
    spec.hosts = Some(argosy_network::hosts(&endpoints, &names, &added));
    spec.resolv_conf = Some(argosy_network::resolv_conf(&endpoints, &resolver, &of_machine));
    spec.companion = Some(Companion {
        role: COMPANION_ROLE.to_owned(),
        request: request_path(engine, &spec.id),
    });
    Ok(Some(CompanionRequest {
        container_id: spec.id.to_string(),
        run_dir: engine.networks.run_dir.clone(),
        endpoints,
        publish: published,
        dns_servers: resolver.servers,
        resolv_conf: RESOLV_CONF.into(),
        store_ports: store_ports(&engine.runtime_dir),
    }))
}

/// Returns where the ports of the store lead: to where this machine's daemon answers, or would.
fn store_ports(runtime_dir: &Path) -> Vec<StorePort> {
    let text = std::fs::read_to_string(runtime_dir.join(STORE_ADDRESSES)).unwrap_or_default();
    let told: Vec<SocketAddr> = text.lines().filter_map(|line| line.parse().ok()).collect();
    STORE_PORTS.map(|port| StorePort { port, to: store_address(&told, port) }).to_vec()
}

/// Chooses, of the store's addresses, the one with this port, or else any.
fn store_address(told: &[SocketAddr], port: u16) -> SocketAddr {
    let same = told.iter().find(|it| it.port() == port).or(told.first());
    let mut address = same.copied().unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into());
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// A container that is on no bridge.
fn unbridged(
    options: &Wiring,
    namespace: Namespace,
    spec: &mut ContainerSpec,
    (resolver, of_machine): (&ResolverOptions, &str),
) -> Result<(), Failure> {
    let added =
        added_hosts(options, (namespace == Namespace::Host).then_some(Ipv4Addr::LOCALHOST))?;
    if namespace == Namespace::Host {
        let lines = added.iter().map(|(name, address)| format!("{address}\t{name}\n"));
        let own = std::fs::read_to_string(HOSTS).unwrap_or_default();
        spec.hosts = Some(own.trim_end().to_owned() + "\n" + &lines.collect::<String>());
    } else if !added.is_empty() {
        spec.hosts = Some(argosy_network::hosts(&[], &[], &added));
    }
    let is_told =
        !resolver.servers.is_empty() || !resolver.search.is_empty() || !resolver.options.is_empty();
    if is_told {
        spec.resolv_conf = Some(argosy_network::resolv_conf(&[], resolver, of_machine));
    }
    spec.namespaces.net = namespace;
    Ok(())
}

/// Reads `--add-host`.
fn added_hosts(
    options: &Wiring,
    gateway: Option<Ipv4Addr>,
) -> Result<Vec<(String, IpAddr)>, Failure> {
    let read = |text: &String| {
        let wrong =
            || bad(format!("--add-host {text} is no line of /etc/hosts"), "write it NAME:ADDRESS");
        let (name, address) = text.split_once(':').ok_or_else(wrong)?;
        let address = match address {
            HOST_GATEWAY => gateway.map(IpAddr::V4).ok_or_else(|| {
                bad(
                    format!("--add-host {text}: this container cannot reach the machine"),
                    "take another network",
                )
            })?,
            text => text.trim_matches(['[', ']']).parse().map_err(|_| wrong())?,
        };
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
        // Podman has several names before one address.
        let names: Vec<String> = name.split(';').map(str::to_owned).collect();
        if names.iter().any(|name| name.is_empty() || !name.chars().all(is_plain)) {
            return Err(wrong());
        }
        Ok(names.into_iter().map(move |name| (name, address)).collect::<Vec<_>>())
    };
    let lines = options.add_host.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().flatten().collect())
}

fn request_path(engine: &Engine, id: &ContainerId) -> PathBuf {
    engine.containers.data_dir.join(id.as_str()).join(REQUEST)
}

/// Returns what of a container is published while it runs.
pub(super) fn published(engine: &Engine, id: &ContainerId) -> Published {
    let path = request_path(engine, id);
    // What cannot be read is shown as nothing; the container's own record says more.
    argosy_network::published(&path).ok().flatten().unwrap_or_default()
}

/// Returns the addresses of a container.
pub(super) fn endpoints(engine: &Engine, id: &ContainerId) -> Vec<Endpoint> {
    engine.networks.endpoints(id.as_str()).unwrap_or_default()
}

/// Returns the names of a container's networks, also of one that does not run any more.
pub(super) fn names(engine: &Engine, id: &ContainerId, spec: &ContainerSpec) -> Vec<String> {
    let asked = spec.companion.as_ref().and_then(|_| asked(engine, id));
    let endpoints = asked.map(|it| it.endpoints);
    names_of(&endpoints.unwrap_or_default(), spec)
}

/// Returns the names of the networks by their endpoints; without any, what docker says instead.
fn names_of(endpoints: &[Endpoint], spec: &ContainerSpec) -> Vec<String> {
    if !endpoints.is_empty() {
        return endpoints.iter().map(|it| it.network.clone()).collect();
    }
    vec![match &spec.namespaces.net {
        Namespace::Private => "none".to_owned(),
        Namespace::Host => "host".to_owned(),
        Namespace::Container(id) => format!("container:{id}"),
        Namespace::Path(path) => format!("ns:{}", path.display()),
    }]
}

/// Writes published ports as docker does: `0.0.0.0:8080->80/tcp`.
pub(super) fn ports_text(ports: &[PublishedPort]) -> String {
    let text = |it: &PublishedPort| {
        format!(
            "{}->{}/{}",
            SocketAddr::from((it.address, it.port)),
            it.container_port,
            it.protocol
        )
    };
    ports.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Gives back the addresses of a container that does not run yet.
pub(super) fn let_go(engine: &Engine, id: &ContainerId) -> Result<(), Failure> {
    match engine.networks.release(id.as_str()) {
        Ok(()) | Err(NetworkError::NeedsRoot) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// Connects a container for its next run, with what was said when it was made.
pub(super) fn connect_again(
    engine: &Engine,
    record: &EngineRecord,
    spec: &mut ContainerSpec,
) -> Result<Option<CompanionRequest>, Failure> {
    if spec.companion.is_none() {
        return Ok(None);
    }
    let before = asked(engine, &spec.id);
    let (Some(wiring), Some(before)) = (&record.runs.wiring, before) else {
        let message = format!("it is not on record what networks container {} is on", record.name);
        return Err(Failure::new(Exit::BadInput, message).with_help(format!(
            "an earlier version has made it; make it anew: argosy container run --name {} --replace",
            record.name
        )));
    };
    connect(wiring, before.publish, engine, &record.name, spec)
}

/// Returns what the companion of a container is asked for.
fn asked(engine: &Engine, id: &ContainerId) -> Option<CompanionRequest> {
    serde_json::from_slice(&std::fs::read(request_path(engine, id)).ok()?).ok()
}

/// Gives back what containers had that have ended.
pub(super) fn sweep(engine: &Engine) -> Result<(), Failure> {
    let is_alive = |id: &str| {
        let Ok(id) = ContainerId::new(id) else { return false };
        match engine.containers.inspect(&id).map(|it| it.state) {
            // Unless somebody starts it again just now.
            Ok(State::Created | State::Exited(_) | State::Lost) => {
                engine.containers.is_held(&id) || super::ids::is_being_made(&id)
            }
            Ok(_) => true,
            Err(_) => super::ids::is_being_made(&id),
        }
    };
    match engine.networks.collect(is_alive) {
        Ok(_) | Err(NetworkError::NeedsRoot) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use argosy_network::Protocol;

    use super::*;

    #[test]
    fn options_of_a_network_are_podmans() {
        let read = attach("web", "ip=10.1.2.3,alias=a,alias=b,interface_name=net0").unwrap();
        assert_eq!(read.network, "web");
        assert_eq!(read.ip, Some("10.1.2.3".parse().unwrap()));
        assert_eq!(read.aliases, ["a", "b"]);
        assert_eq!(read.interface.as_deref(), Some("net0"));
        assert!(attach("web", "speed=9").is_err());
        assert_eq!(attach("podman", "").unwrap().network, DEFAULT_NETWORK);
    }

    #[test]
    fn the_store_is_where_the_daemon_says() {
        let told =
            |text: &str| text.split(' ').filter_map(|it| it.parse().ok()).collect::<Vec<_>>();
        let to = |list: &str, port| store_address(&told(list), port).to_string();
        assert_eq!(to("", 4001), "127.0.0.1:4001");
        assert_eq!(to("127.0.0.1:2379 127.0.0.1:4001", 4001), "127.0.0.1:4001");
        assert_eq!(to("0.0.0.0:9000", 2379), "127.0.0.1:9000");
    }

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        let port = |address: &str, port| PublishedPort {
            address: address.parse().unwrap(),
            port,
            container_port: 80,
            protocol: Protocol::Tcp,
        };
        let ports = [port("0.0.0.0", 8080), port("::", 81)];
        assert_eq!(ports_text(&ports), "0.0.0.0:8080->80/tcp, [::]:81->80/tcp");
    }
}
