//! Networks.

use std::collections::BTreeMap;

use argosy_network::{Driver, Network, NetworkSpec, Subnet};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::inspect::network_value;
use super::super::network::sweep;
use super::Server;
use super::answer::{Answer, Refusal, done, in_thread, json, with_status};
use super::call::Call;
use crate::container::Engine;

/// Returns a network in docker's shape, with who is on it.
fn value(engine: &Engine, network: &Network) -> Value {
    let mut value = network_value(network);
    let mut containers = Map::new();
    for it in engine.networks.containers(&network.name).unwrap_or_default() {
        let one = json!({
            "Name": it.name,
            "MacAddress": it.endpoint.mac.to_string(),
            "IPv4Address": format!("{}/{}", it.endpoint.address, it.endpoint.prefix),
            "IPv6Address": "",
        });
        containers.insert(it.id, one);
    }
    value["Containers"] = containers.into();
    for key in ["Attachable", "Ingress", "ConfigOnly"] {
        value[key] = false.into();
    }
    value
}

/// What docker has beside networks with bridges, and clients look for.
fn without_bridge(name: &str) -> Value {
    json!({
        "Name": name, "Id": name, "Scope": "local", "Driver": if name == "none" { "null" } else { name },
        "EnableIPv6": false, "IPAM": { "Driver": "default", "Config": [] }, "Internal": false,
        "Attachable": false, "Ingress": false, "ConfigOnly": false,
        "Containers": {}, "Options": {}, "Labels": {},
    })
}

const WITHOUT_BRIDGE: [&str; 2] = ["host", "none"];

pub(super) async fn list(server: &Server, call: &Call) -> Answer {
    let filters = call.query.filters()?;
    let wanted = filters
        .iter()
        .map(|filter| match filter.split_once('=') {
            Some((key @ ("name" | "id" | "driver"), part)) => Ok((key.to_owned(), part.to_owned())),
            _ => Err(Refusal::not_there(&format!("networks with the filter {filter}"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let engine = server.engine.clone();
    in_thread(move || {
        let mut values: Vec<Value> =
            engine.networks.list()?.iter().map(|it| value(&engine, it)).collect();
        values.extend(WITHOUT_BRIDGE.map(without_bridge));
        values.retain(|it| is_wanted(&wanted, it));
        Ok(json(&values.into()))
    })
    .await
}

/// Tells whether a network is asked for: of one key any, of each key one.
fn is_wanted(wanted: &[(String, String)], value: &Value) -> bool {
    let matches = |key: &str, part: &str| {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        match key {
            "name" => text("Name").contains(part),
            "id" => text("Id").starts_with(part),
            _ => text("Driver") == part,
        }
    };
    wanted.iter().all(|(key, _)| {
        wanted.iter().filter(|it| it.0 == *key).any(|(key, part)| matches(key, part))
    })
}

pub(super) async fn inspect(server: &Server, name: &str) -> Answer {
    let (engine, name) = (server.engine.clone(), name.to_owned());
    in_thread(move || match engine.networks.find(&name) {
        Err(_) if WITHOUT_BRIDGE.contains(&name.as_str()) => Ok(json(&without_bridge(&name))),
        found => Ok(json(&value(&engine, &found?))),
    })
    .await
}

/// What docker's clients say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    name: String,
    driver: Option<String>,
    internal: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    ingress: bool,
    config_only: bool,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipam {
    driver: Option<String>,
    config: Option<Vec<IpamConfig>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IpamConfig {
    #[serde(rename = "Subnet")]
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    range: Option<String>,
    #[serde(rename = "Gateway")]
    gateway: Option<String>,
}

pub(super) async fn create(server: &Server, call: Call) -> Answer {
    let body: Body = serde_json::from_value(call.json().await?)
        .map_err(|error| Refusal::bad(format!("the body is not understood: {error}")))?;
    let spec = spec(body)?;
    let engine = server.engine.clone();
    in_thread(move || {
        let made = engine.networks.create(&spec, false)?;
        Ok(with_status(StatusCode::CREATED, &json!({ "Id": made.id, "Warning": "" })))
    })
    .await
}

fn spec(body: Body) -> Result<NetworkSpec, Refusal> {
    let is_bridge = |it: &String| matches!(it.as_str(), "" | "bridge" | "default");
    if let Some(driver) = body.driver.filter(|it| !is_bridge(it)) {
        return Err(Refusal::bad(format!(
            "there is no driver {driver:?} of networks: there is bridge"
        )));
    }
    if body.ingress || body.config_only {
        return Err(Refusal::not_there("networks of a swarm, and configurations of networks"));
    }
    let ipam = body.ipam.unwrap_or_default();
    if let Some(driver) = ipam.driver.filter(|it| !matches!(it.as_str(), "" | "default")) {
        return Err(Refusal::bad(format!(
            "there is no driver {driver:?} of addresses: there is default"
        )));
    }
    let mut subnets = Vec::new();
    for config in ipam.config.unwrap_or_default() {
        let wrong = |text: &str| Refusal::bad(format!("{text:?} is no subnet or address"));
        let Some(net) = config.subnet.filter(|it| !it.is_empty()) else {
            return Err(Refusal::bad("IPAM.Config without a Subnet"));
        };
        subnets.push(Subnet {
            net: net.parse().map_err(|_| wrong(&net))?,
            gateway: config.gateway.map(|it| it.parse().map_err(|_| wrong(&it))).transpose()?,
            range: config.range.map(|it| it.parse().map_err(|_| wrong(&it))).transpose()?,
        });
    }
    Ok(NetworkSpec {
        name: body.name,
        driver: Driver::Bridge,
        interface: None,
        subnets,
        internal: body.internal,
        ipv6: body.enable_ipv6.unwrap_or(false),
        dns: true,
        dns_servers: Vec::new(),
        labels: body.labels.unwrap_or_default(),
        options: body.options.unwrap_or_default(),
    })
}

pub(super) async fn remove(server: &Server, name: &str) -> Answer {
    let (engine, name) = (server.engine.clone(), name.to_owned());
    in_thread(move || {
        sweep(&engine)?;
        let name = engine.networks.find(&name)?.name;
        engine.networks.remove(&name)?;
        Ok(done())
    })
    .await
}

pub(super) async fn prune(server: &Server) -> Answer {
    let engine = server.engine.clone();
    in_thread(move || {
        sweep(&engine)?;
        Ok(json(&json!({ "NetworksDeleted": engine.networks.prune()? })))
    })
    .await
}
