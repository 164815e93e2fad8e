//! `argosy demo list`: the machines of a demonstration, and where this computer reaches them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use argosy_testbed::{Control, MachineState, Mode, Status};
use serde::Serialize;

use crate::demo::cluster::{Cluster, testbed};
use crate::demo::outside::BALANCER_PORT;
use crate::failure::Failure;
use crate::printer::{Printer, table};

/// A demonstration, as `-o json` shows it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    mode: Mode,
    /// The process whose end ends it.
    owner_pid: u32,
    machines: Vec<Machine>,
}

/// One machine.
#[derive(Debug, Serialize)]
struct Machine {
    name: String,
    state: MachineState,
    /// None while no machine says where it stands.
    zone: Option<String>,
    address: Ipv4Addr,
    link: &'static str,
    /// Where this computer reaches its load balancer.
    load_balancer: Option<String>,
    runtime_directory: PathBuf,
    data_directory: PathBuf,
}

/// Lists the machines.
pub(super) fn run(control: &Control, printer: &Printer) -> Result<(), Failure> {
    let status = control.status().map_err(testbed)?;
    let zones = zones(control, &status)?;
    printer.show(&shown(status, &zones), |shown| {
        let none = || "-".to_owned();
        let rows = shown.machines.iter().map(|machine| {
            // A name that serde gives, so that both forms say the same.
            let state = serde_json::to_value(machine.state).unwrap_or_default();
            vec![
                machine.name.clone(),
                state.as_str().unwrap_or("-").to_owned(),
                machine.zone.clone().unwrap_or_else(none),
                machine.address.to_string(),
                machine.link.to_owned(),
                machine.load_balancer.clone().unwrap_or_else(none),
                machine.runtime_directory.display().to_string(),
            ]
        });
        let head =
            ["MACHINE", "STATE", "ZONE", "ADDRESS", "LINK", "LOAD BALANCER", "RUNTIME DIRECTORY"];
        table(&head, rows.collect())
    })
}

/// The zone of each machine, as those that answer know it: one that has just come back may not have
/// heard of others yet, so it is asked on until all are known.
fn zones(control: &Control, status: &Status) -> Result<BTreeMap<String, String>, Failure> {
    let cluster = Cluster::new(control.clone(), status.mode)?;
    // One that is cut off knows what was, not what is.
    let running = status.machines.iter().filter(|it| it.state == MachineState::Running);
    let (connected, cut): (Vec<_>, Vec<_>) = running.partition(|it| it.link_up);
    let mut zones = BTreeMap::new();
    for at in connected.into_iter().chain(cut) {
        for machine in cluster.machines(at).into_iter().flatten() {
            let zone = machine.metadata.into_iter().find(|(key, _)| key == "zone");
            if let Some((_, zone)) = zone {
                zones.entry(machine.name).or_insert(zone);
            }
        }
        if status.machines.iter().all(|it| zones.contains_key(&it.name)) {
            break;
        }
    }
    Ok(zones)
}

fn shown(status: Status, zones: &BTreeMap<String, String>) -> Shown {
    let balancer = |machine: &str| {
        let mut ways = status.forwards.iter();
        let way = ways.find(|it| it.machine == machine && it.port == BALANCER_PORT);
        way.map(|way| format!("http://{}", way.listen))
    };
    let machines = status.machines.iter().map(|machine| Machine {
        name: machine.name.clone(),
        state: machine.state,
        zone: zones.get(&machine.name).cloned(),
        address: machine.address,
        link: if machine.link_up { "up" } else { "down" },
        load_balancer: balancer(&machine.name),
        runtime_directory: machine.runtime_directory.clone(),
        data_directory: machine.data_directory.clone(),
    });
    let machines = machines.collect();
    Shown { name: status.name.clone(), mode: status.mode, owner_pid: status.owner_pid, machines }
}
