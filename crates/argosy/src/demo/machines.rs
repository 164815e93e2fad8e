//! Machines that come and go at the word of another terminal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use argosy_api::operator::MachineView;
use argosy_testbed::{Control, MachineInfo, MachineState};

use crate::demo::cluster::{Cluster, testbed};
use crate::demo::report::LOOK_INTERVAL;
use crate::demo::story::{MACHINES, START_LIMIT};
use crate::demo::{context, outside};
use crate::failure::{Exit, Failure};
use crate::session::API_SOCKET;

/// How long a machine may take to stop its units and itself in order.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// Switches a machine off in order.
pub(super) fn stop(control: &Control, machine: &str) -> Result<(), Failure> {
    control.stop(machine, STOP_GRACE).map_err(testbed)
}

/// Adds a machine to the cluster, or switches a stopped one on; returns what was done.
pub(super) fn add(
    control: &Control,
    demo: &str,
    machine: Option<String>,
    zone: Option<String>,
) -> Result<String, Failure> {
    let status = control.status().map_err(testbed)?;
    let cluster = Cluster::new(control.clone(), status.mode)?;
    let there = |name: &str| status.machines.iter().find(|it| it.name == name);
    let free = || (1..).map(|number| format!("m{number}")).find(|name| there(name).is_none());
    let name = machine.or_else(free).unwrap_or_default();
    if let Some(stopped) = there(&name).filter(|it| it.state == MachineState::Stopped) {
        let info = control.start(&stopped.name).map_err(testbed)?;
        // One that was lost was cut off first.
        control.link(&stopped.name, true).map_err(testbed)?;
        cluster.supervise(&info)?;
        until_up(&cluster, &info)?;
        return Ok(format!("{name} is on again"));
    }
    let leads = |at: &&MachineInfo| {
        at.state == MachineState::Running
            && cluster.report(at).and_then(|it| it.cluster?.leader).is_some()
    };
    let Some(member) = status.machines.iter().find(leads) else {
        return Err(Failure::new(Exit::Refused, "no machine of the cluster knows a leader now")
            .with_help("more than half of the voters must run and reach each other"));
    };
    let zone = match zone {
        Some(zone) => zone,
        None => thinnest_zone(&cluster.machines(member).unwrap_or_default()),
    };
    let info = cluster.start(&name)?;
    until_up(&cluster, &info)?;
    cluster.join(member, &info, &zone)?;
    let balancer = outside::balancer_way(control, &info)?;
    context::add_socket(demo, info.runtime_directory.join(API_SOCKET))?;
    Ok(format!(
        "{name} is part of the cluster, in zone {zone} at {}\na load balancer there answers at \
         http://{balancer}",
        info.address
    ))
}

fn until_up(cluster: &Cluster, machine: &MachineInfo) -> Result<(), Failure> {
    let begun = Instant::now();
    while cluster.report(machine).is_none() {
        if begun.elapsed() > START_LIMIT {
            let message = format!("{} does not answer\n{}", machine.name, cluster.logs());
            return Err(Failure::new(Exit::Unreachable, message));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// The zone that has the fewest machines ready, the first by name of several.
fn thinnest_zone(machines: &[MachineView]) -> String {
    let mut counts: BTreeMap<&str, usize> = MACHINES.iter().map(|(_, zone)| (*zone, 0)).collect();
    for machine in machines.iter().filter(|it| it.state == "ready") {
        let zone = machine.metadata.iter().find(|(key, _)| key == "zone");
        *counts.entry(zone.map_or("", |(_, zone)| zone)).or_default() += 1;
    }
    counts.remove("");
    let thinnest = counts.into_iter().min_by_key(|(zone, count)| (*count, *zone));
    thinnest.map_or_else(String::new, |(zone, _)| zone.to_owned())
}

#[cfg(test)]
mod tests {
    //! Tests of the zone that a new machine is put in.

    use super::*;

    fn machine(state: &str, zone: &str) -> MachineView {
        MachineView {
            id: String::new(),
            name: String::new(),
            address: String::new(),
            state: state.into(),
            metadata: vec![("zone".into(), zone.into())],
            units: 0,
            disk_full: false,
            disk_used_percent: None,
        }
    }

    #[test]
    fn a_new_machine_goes_where_the_fewest_are() {
        assert_eq!(thinnest_zone(&[]), "a");
        let three = [machine("ready", "a"), machine("ready", "b"), machine("lost", "c")];
        assert_eq!(thinnest_zone(&three), "c");
        let four = [machine("ready", "a"), machine("ready", "c"), machine("ready", "d")];
        assert_eq!(thinnest_zone(&four), "b");
    }
}
