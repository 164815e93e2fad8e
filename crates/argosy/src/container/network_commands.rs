//! `argosy network`.

use std::net::IpAddr;
use std::process::ExitCode;

use argosy_network::{Driver, NetworkSpec, Subnet};

use super::network::failed;
use super::options::{bad, pairs};
use super::{Engine, each};
use crate::args::{Global, Network as NetworkOptions, NetworkAction, NetworkCreate};
use crate::failure::Failure;
use crate::printer::{Printer, table};

pub(crate) fn main(
    options: &NetworkOptions,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let engine = Engine::of(global, &options.data.data_dir);
    let networks = &engine.networks;
    match &options.action {
        NetworkAction::Create(options) => {
            let made = networks.create(&spec(options)?, options.ignore);
            printer.line(&made.map_err(|error| failed(&error))?.name)?;
        }
        NetworkAction::Ls { quiet } => {
            let found = networks.list().map_err(|error| failed(&error))?;
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
        NetworkAction::Inspect { networks: names } => {
            let found = names
                .iter()
                .map(|name| networks.find(name).map_err(|error| failed(&error)))
                .collect::<Result<Vec<_>, _>>()?;
            printer.line(&serde_json::to_string_pretty(&found).unwrap_or_default())?;
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
        NetworkAction::Prune => {
            super::network::sweep(&engine)?;
            let removed = networks.prune().map_err(|error| failed(&error))?;
            removed.iter().try_for_each(|name| printer.line(name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
