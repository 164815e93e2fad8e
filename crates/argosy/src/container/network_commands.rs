//! `argosy network`.

use std::net::IpAddr;
use std::process::ExitCode;

use argosy_network::{Driver, NetworkSpec, Subnet};
use serde_json::{Value, json};

use super::network::failed;
use super::options::{bad, pairs};
use super::{Engine, each, inspect};
use crate::args::{Global, Network as NetworkOptions, NetworkAction, NetworkCreate};
use crate::failure::Failure;
use crate::printer::{Printer, table};
use crate::template::{Columns, print_lines};

/// docker's fields of `ls`, and its names of columns.
const COLUMNS: &Columns = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Internal", "INTERNAL"),
    ("IPv6", "IPV6"),
    ("Labels", "LABELS"),
];

pub(crate) fn main(
    options: &NetworkOptions,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let engine = Engine::of(global, &options.data.data_dir)?;
    let networks = &engine.networks;
    match &options.action {
        NetworkAction::Create(options) => {
            let made = networks.create(&spec(options)?, options.ignore);
            printer.line(&made.map_err(|error| failed(&error))?.name)?;
        }
        NetworkAction::Ls { quiet, format } => {
            let found = networks.list().map_err(|error| failed(&error))?;
            if let Some(format) = format.as_deref().filter(|_| !quiet) {
                let lines: Vec<_> = found.iter().map(fields).collect();
                if print_lines(format, COLUMNS, &lines, printer)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            if *quiet {
                found.iter().try_for_each(|network| printer.line(&network.name))?;
                return Ok(ExitCode::SUCCESS);
            }
            printer.show(&found, |found| {
                let rows = found.iter().map(|it| {
                    let kind = if it.internal { "internal" } else { "" };
                    vec![it.name.clone(), it.net.to_string(), it.interface.clone(), kind.to_owned()]
                });
                table(&["NAME", "ADDRESSES", "BRIDGE", "KIND"], rows.collect())
            })?;
        }
        NetworkAction::Inspect { docker, format, networks: names } => {
            let value = |name: &String| {
                let network = networks.find(name).map_err(|error| failed(&error))?;
                match *docker || format.is_some() {
                    true => Ok(inspect::network_value(&network)),
                    false => Ok(serde_json::to_value(&network).unwrap_or_default()),
                }
            };
            let found = names.iter().map(value).collect::<Result<Vec<_>, Failure>>()?;
            inspect::show(&found, format.as_deref(), printer)?;
        }
        NetworkAction::Rm { force, networks: names } => {
            super::network::sweep(&engine)?;
            return each(names, printer, |name| match networks.find(name) {
                Err(_) if *force => Ok(()),
                found => {
                    let name = found.map_err(|error| failed(&error))?.name;
                    networks.remove(&name).map_err(|error| failed(&error))
                }
            });
        }
        NetworkAction::Prune { force: _ } => {
            super::network::sweep(&engine)?;
            let removed = networks.prune().map_err(|error| failed(&error))?;
            removed.iter().try_for_each(|name| printer.line(name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns docker's fields of a line, for templates.
fn fields(network: &argosy_network::Network) -> Value {
    let labels: Vec<String> =
        network.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "ID": network.id.get(..12).unwrap_or(&network.id),
        "Name": network.name,
        "Driver": "bridge",
        "Scope": "local",
        "Internal": network.internal.to_string(),
        "IPv6": "false",
        "Labels": labels.join(","),
    })
}

fn spec(options: &NetworkCreate) -> Result<NetworkSpec, Failure> {
    if options.driver != "bridge" {
        return Err(bad(
            format!("there is no driver {:?} of networks", options.driver),
            "there is `bridge`",
        ));
    }
    if !matches!(options.ipam_driver.as_deref(), None | Some("host-local" | "default")) {
        return Err(bad("addresses are given by this machine only", "leave --ipam-driver out"));
    }
    let address = |text: &String| {
        text.parse::<IpAddr>()
            .map_err(|_| bad(format!("{text:?} is no address"), "write it 10.89.0.1"))
    };
    let net = |text: &String| {
        text.parse().map_err(|_| bad(format!("{text:?} is no subnet"), "write it 10.89.0.0/24"))
    };
    let mut subnets = Vec::new();
    for (place, text) in options.subnet.iter().enumerate() {
        subnets.push(Subnet {
            net: net(text)?,
            gateway: options.gateway.get(place).map(address).transpose()?,
            range: options.ip_range.get(place).map(net).transpose()?,
        });
    }
    if options.gateway.len() > subnets.len() || options.ip_range.len() > subnets.len() {
        return Err(bad("a gateway or a range belongs to a --subnet", "name the subnet first"));
    }
    Ok(NetworkSpec {
        name: options.name.clone(),
        driver: Driver::Bridge,
        interface: options.interface_name.clone(),
        subnets,
        internal: options.internal,
        ipv6: options.ipv6,
        dns: !options.disable_dns,
        dns_servers: options.dns.iter().map(address).collect::<Result<_, _>>()?,
        labels: pairs(&options.label)?,
        options: pairs(&options.opt)?,
    })
}
