//! The story: a cluster of three, units on it, the loss of its leader, and a fourth machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use argosy_testbed::{Control, MachineInfo, Mode};

use crate::demo::cluster::{Cluster, testbed};
use crate::demo::loss;
use crate::demo::outside::{Asking, Outside, TARGETS, address_of};
use crate::demo::report::{Place, Recorder};
use crate::failure::{Exit, Failure};

/// Processes of three machines start on a busy computer with two cores.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Two joins and two votes about members.
const CLUSTER_LIMIT: Duration = Duration::from_secs(60);
/// From the unit files to seven answering units.
const UNITS_LIMIT: Duration = Duration::from_secs(30);
/// From the loss, three seconds of which are the wait for a report, to units running elsewhere.
const LOSS_LIMIT: Duration = Duration::from_secs(30);
/// Two instances move, one after the other is ready.
const SPREAD_LIMIT: Duration = Duration::from_secs(30);
/// Answers of each unit before the machine is lost, so that asking is known to work.
const ANSWERS_BEFORE: usize = 3;

/// The machines and their zones.
const MACHINES: [(&str, &str); 3] = [("m1", "a"), ("m2", "b"), ("m3", "c")];

struct Story<'a> {
    control: Control,
    mode: Mode,
    cluster: Cluster,
    outside: Outside,
    machines: Vec<MachineInfo>,
    told: &'a mut Recorder,
}

/// Tells the whole story; every step waits for a state and has a limit.
pub(super) fn tell(control: &Control, mode: Mode, told: &mut Recorder) -> Result<(), Failure> {
    let cluster = Cluster::new(control.clone(), mode)?;
    let mut story = Story {
        control: control.clone(),
        mode,
        cluster,
        outside: Outside::default(),
        machines: Vec::new(),
        told,
    };
    let result = story.run();
    result.map_err(|failure| {
        let message = format!("{}\n{}", failure.message, story.cluster.logs().trim_end());
        Failure { message, ..failure }
    })
}

impl Story<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        self.machines_up()?;
        self.cluster_of_three()?;
        self.units()?;
        let lost_zone = self.loss()?;
        self.fourth(lost_zone)
    }

    fn add(&mut self, name: &str, zone: &str) -> Result<MachineInfo, Failure> {
        let info = self.cluster.start(name)?;
        self.outside.add(&self.control, self.mode, &info)?;
        self.told.report.machines.push(Place::new(&info, zone));
        Ok(info)
    }

    fn machines_up(&mut self) -> Result<(), Failure> {
        for (name, zone) in MACHINES {
            let info = self.add(name, zone)?;
            self.machines.push(info);
        }
        let (cluster, machines) = (&self.cluster, &self.machines);
        let up = || Ok(machines.iter().all(|it| cluster.report(it).is_some()).then_some(()));
        self.told.wait("machines up", START_LIMIT, up, |()| {
            "three machines, each with `argosy supervisor`".into()
        })
    }

    fn cluster_of_three(&mut self) -> Result<(), Failure> {
        self.told.begin("`argosy cluster init` on m1");
        let (cluster, machines) = (&self.cluster, &self.machines);
        cluster.init(&machines[0], MACHINES[0].1)?;
        for (machine, (_, zone)) in machines.iter().zip(MACHINES).skip(1) {
            cluster.join(&machines[0], machine, zone)?;
        }
        let three = || {
            let voters = |at| cluster.report(at)?.cluster.map(|cluster| cluster.voters);
            let ready = |at| {
                let machines = cluster.machines(at).unwrap_or_default();
                machines.iter().filter(|it| it.state == "ready").count() == 3
            };
            Ok(machines.iter().all(|at| voters(at) == Some(3) && ready(at)).then_some(()))
        };
        self.told.wait("cluster of three", CLUSTER_LIMIT, three, |()| {
            "m2 and m3 joined with tokens; all three vote".into()
        })
    }

    fn units(&mut self) -> Result<(), Failure> {
        let (cluster, at, outside) = (&self.cluster, &self.machines[0], &self.outside);
        self.told.begin("`argosy apply` of database.service and api@.service");
        cluster.apply(at)?;
        let placed = || Ok(placement(cluster, at).filter(|units| units.len() == TARGETS.len()));
        self.told.wait("placed", UNITS_LIMIT, placed, spread)?;
        let active = || {
            let units = cluster.units(at).unwrap_or_default();
            let is_active = |it: &&argosy_api::operator::UnitView| {
                it.status.as_ref().is_some_and(|status| status.active == "active")
            };
            Ok((units.iter().filter(is_active).count() == TARGETS.len()).then_some(()))
        };
        self.told.wait("active", UNITS_LIMIT, active, |()| "all seven units run".into())?;
        let registered = || {
            let keys = TARGETS.iter().map(|(_, key, _)| outside.key("m3", key));
            Ok(keys.collect::<Option<Vec<_>>>())
        };
        let keys = self.told.wait("registered", UNITS_LIMIT, registered, |keys| {
            format!("m3's store says services/api/1 = {}, database = {}", keys[0], keys[6])
        })?;
        for place in &keys {
            let known = address_of(place)
                .is_some_and(|address| self.machines.iter().any(|it| it.address == address));
            if !known {
                let message = format!("{place} is announced, which is no machine's address");
                return Err(Failure::new(Exit::Refused, message));
            }
        }
        let first = || Ok(TARGETS.iter().find_map(|(_, key, port)| outside.ask("m2", key, *port)));
        self.told.wait("first answer", UNITS_LIMIT, first, |answer| {
            format!("HTTP 200 from {}", answer.machine)
        })?;
        let all = || {
            let mut answers = TARGETS.iter().map(|(_, key, port)| outside.ask("m2", key, *port));
            let database = Some(&keys[6]);
            let apis = answers
                .by_ref()
                .take(6)
                .all(|answer| answer.is_some_and(|answer| answer.database.as_ref() == database));
            Ok((apis && answers.all(|answer| answer.is_some())).then_some(()))
        };
        self.told.wait("all answer", UNITS_LIMIT, all, |()| {
            format!("all six know the database at {}, which answers too", keys[6])
        })
    }

    /// Loses the leader's machine and returns its zone.
    fn loss(&mut self) -> Result<&'static str, Failure> {
        let cluster = &self.cluster;
        let before = placement(cluster, &self.machines[0]).unwrap_or_default();
        let leader = cluster.report(&self.machines[0]).and_then(|it| it.cluster?.leader);
        let Some(lost) =
            leader.and_then(|name| self.machines.iter().position(|it| it.name == name))
        else {
            return Err(Failure::new(Exit::Refused, "m1 knows no leader"));
        };
        let (lost, zone) = (self.machines.remove(lost), MACHINES[lost].1);
        let name = lost.name.as_str();
        let witness = self.machines[0].name.clone();
        let on_it = before.into_iter().filter(|(_, machine)| machine == name);
        let units_lost: BTreeSet<String> = on_it.map(|(unit, _)| unit).collect();
        self.told.say(&format!(
            "            now {name}, which leads, is lost with {}",
            Vec::from_iter(units_lost.iter().map(String::as_str)).join(", ")
        ))?;
        let asking = Asking::begin(&self.outside, &witness);
        self.told.begin("the first request of the outside client");
        let works = || {
            let lines = asking.lines();
            let answers = |unit| {
                lines.iter().filter(|line| line.unit == unit && line.machine.is_some()).count()
            };
            Ok(TARGETS.iter().all(|(unit, ..)| answers(*unit) >= ANSWERS_BEFORE).then_some(()))
        };
        self.told.wait("outside client", UNITS_LIMIT, works, |()| {
            format!("asks {witness}'s store, then the unit, pauses 100 ms, and retries nothing")
        })?;
        self.told.begin("the loss");
        if self.mode != Mode::Loopback {
            self.control.link(name, false).map_err(testbed)?;
        }
        self.control.kill(name).map_err(testbed)?;
        let at = self.told.begun();
        let back = || Ok(loss::recovered(&asking.lines(), name, at));
        let until = self.told.wait("answering elsewhere", LOSS_LIMIT, back, |_| {
            format!("all six and the database answer without {name}")
        })?;
        let counted = loss::count(&asking.end(), name, &units_lost, at, until);
        self.told.say(&format!(
            "            {} s: {} requests answered, {} failed; {} of the failed were to units that \
             did not move,\n            which were silent for {} s at most. Three seconds are the \
             wait for a report of {name}.",
            counted.seconds,
            counted.answered,
            counted.failed,
            counted.failed_of_others,
            counted.longest_gap_of_others
        ))?;
        self.told.report.failover = Some(counted);
        Ok(zone)
    }

    fn fourth(&mut self, zone: &'static str) -> Result<(), Failure> {
        self.told.begin("the start of m4");
        let new = self.add("m4", zone)?;
        let (cluster, member) = (&self.cluster, &self.machines[0]);
        let before = placement(cluster, member);
        let up = || Ok(cluster.report(&new).map(drop));
        self.told.wait("m4 up", START_LIMIT, up, |()| "a fourth machine".into())?;
        cluster.join(member, &new, zone)?;
        let joined = || {
            let machines = cluster.machines(&new).unwrap_or_default();
            Ok(machines.iter().any(|it| it.name == "m4" && it.state == "ready").then_some(()))
        };
        self.told.wait("m4 joined", CLUSTER_LIMIT, joined, |()| {
            format!("it is in zone {zone}, where a machine was lost")
        })?;
        self.told.begin("m4 was ready");
        let even = || {
            let Some(now) = placement(cluster, member) else { return Ok(None) };
            let moved = |(unit, machine): (&String, &String)| {
                machine != "m4" && before.as_ref().is_some_and(|b| b.get(unit) != Some(machine))
            };
            if now.iter().any(moved) {
                let message = format!("a unit moved without need: {before:?} became {now:?}");
                return Err(Failure::new(Exit::Refused, message));
            }
            let here = now.iter().filter(|(_, machine)| *machine == "m4").count();
            Ok((here == 2 && now.len() == TARGETS.len()).then_some(now))
        };
        self.told.wait("spread again", SPREAD_LIMIT, even, |units| {
            format!("one after the other, two of six API servers moved to m4: {}", spread(units))
        })?;
        self.machines.push(new);
        Ok(())
    }
}

/// The machine of every unit that has one.
fn placement(cluster: &Cluster, at: &MachineInfo) -> Option<BTreeMap<String, String>> {
    let units = cluster.units(at)?;
    Some(units.into_iter().filter_map(|unit| Some((unit.name, unit.machine?))).collect())
}

fn spread(units: &BTreeMap<String, String>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in units.values() {
        *counts.entry(machine).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.iter().map(|(machine, count)| format!("{count} on {machine}")).collect();
    counts.join(", ")
}
