//! The story from the loss on: units move, one waits, a new machine takes it.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_testbed::{MachineInfo, Mode};

use crate::args::Lose;
use crate::demo::client::Client;
use crate::demo::cluster::testbed;
use crate::demo::loss;
use crate::demo::outside::ANNOUNCED;
use crate::demo::report::{Failover, rounded};
use crate::demo::story::{
    APIS, CLUSTER_LIMIT, MACHINES, START_LIMIT, Story, UNITS_LIMIT, Wanted, answering, is_active,
    machine_of_each, placement, spread,
};
use crate::failure::Failure;

/// From the loss to units that answer elsewhere.
const LOSS_LIMIT: Duration = Duration::from_secs(30);
/// Two API servers move, one after the other is ready.
const SPREAD_LIMIT: Duration = Duration::from_secs(30);
/// API servers at the end.
const APIS_SCALED: u32 = 8;
/// Answers through each load balancer before the machine is lost, so that asking is known to work.
const ANSWERS_BEFORE: usize = 5;

/// The machine that is to be lost.
struct Doomed {
    machine: MachineInfo,
    zone: &'static str,
    leads: bool,
    units: Vec<String>,
}

impl Story<'_> {
    pub(super) fn loss_and_after(&mut self, wanted: Wanted) -> Result<(), Failure> {
        let doomed = self.doomed(wanted.lose)?;
        let client = self.client(&doomed)?;
        self.lose(&doomed, &client)?;
        let rest = if wanted.loss_only { Ok(()) } else { self.after(&doomed) };
        self.judge(client)?;
        rest
    }

    /// Chooses the machine, and takes it from those that the story goes on with.
    fn doomed(&mut self, lose: Lose) -> Result<Doomed, Failure> {
        let Some(leader) = self.cluster.report(&self.machines[0]).and_then(|it| it.cluster?.leader)
        else {
            return self.refuse("m1 knows no leader");
        };
        let wanted = |it: &MachineInfo| (it.name == leader) == (lose == Lose::Leader);
        let Some(position) = self.machines.iter().position(wanted) else {
            return self.refuse(format!("{leader} leads, which is none of the machines"));
        };
        let on = placement(&self.cluster, &self.machines[0]).unwrap_or_default();
        let (machine, zone) = (self.machines.remove(position), MACHINES[position].1);
        let units = on.into_iter().filter(|(_, it)| *it == machine.name).map(|(unit, _)| unit);
        Ok(Doomed { zone, leads: lose == Lose::Leader, units: units.collect(), machine })
    }

    /// Begins the requests and waits until they are answered.
    fn client(&mut self, doomed: &Doomed) -> Result<Client, Failure> {
        let survivors: Vec<String> = self.machines.iter().map(|it| it.name.clone()).collect();
        let moving = ANNOUNCED.iter().filter(|(unit, _)| doomed.units.iter().any(|it| it == unit));
        let moving: Vec<_> = moving.copied().collect();
        self.told.begin("the first request of the outside client");
        let client = Client::begin(self.outside.clone(), survivors.clone(), moving.clone());
        let works = || {
            let lines = client.lines();
            let good = lines.iter().filter(|line| line.result.is_ok());
            let mut answers: BTreeMap<String, usize> = BTreeMap::new();
            for line in good {
                *answers.entry(format!("{:?}", line.target)).or_default() += 1;
            }
            let asked = survivors.len() + moving.len();
            let enough = answers.values().filter(|count| **count >= ANSWERS_BEFORE).count();
            Ok((enough == asked).then_some(()))
        };
        let through = survivors.join(" and ");
        self.told.wait("outside client", UNITS_LIMIT, works, |()| {
            format!("GET / through the load balancers of {through} in turn, 5 s each, no retries")
        })?;
        Ok(client)
    }

    fn lose(&mut self, doomed: &Doomed, client: &Client) -> Result<(), Failure> {
        let name = doomed.machine.name.as_str();
        let short: Vec<&str> =
            doomed.units.iter().map(|unit| unit.trim_end_matches(".service")).collect();
        let leads = if doomed.leads { "leads" } else { "does not lead" };
        let how = if self.mode == Mode::Loopback { "" } else { "its cable is pulled, then " };
        let line = format!("{name}, which {leads}, is lost with {}", short.join(", "));
        self.told.say(&format!("\n            {line}:\n            {how}all of it is killed\n"))?;
        self.told.begin("the loss");
        if self.mode != Mode::Loopback {
            self.control.link(name, false).map_err(testbed)?;
        }
        self.control.kill(name).map_err(testbed)?;
        let at = self.told.begun();
        let units: Vec<&'static str> = ANNOUNCED
            .iter()
            .map(|(unit, _)| *unit)
            .filter(|unit| doomed.units.iter().any(|it| it == unit))
            .collect();
        let back = || Ok(loss::recovered(&client.lines(), &units, name, at));
        let seconds = |it: &std::time::Instant| rounded(*it - at);
        let back = self.told.wait("answering elsewhere", LOSS_LIMIT, back, |back| {
            let each: Vec<String> = back
                .iter()
                .map(|(unit, it)| {
                    format!("{} {:.2} s", unit.trim_end_matches(".service"), seconds(it))
                })
                .collect();
            each.join(", ")
        })?;
        self.told.report.failover = Some(Failover {
            lost: name.to_owned(),
            was_leader: doomed.leads,
            units_lost: doomed.units.clone(),
            seconds: back.values().map(seconds).fold(0.0, f64::max),
            unit_seconds: back.iter().map(|(unit, it)| (*unit, seconds(it))).collect(),
        });
        Ok(())
    }

    fn after(&mut self, doomed: &Doomed) -> Result<(), Failure> {
        let balancer = self.waits()?;
        self.fourth(doomed.zone)?;
        self.takes("m4", &balancer)?;
        self.spread_again()?;
        self.scaled()
    }

    /// The load balancer of the lost machine fits nowhere; returns its name.
    fn waits(&mut self) -> Result<String, Failure> {
        let (cluster, at) = (&self.cluster, &self.machines[0]);
        let waits = || {
            let units = cluster.units(at).unwrap_or_default();
            let mut balancers = units.into_iter().filter(|it| it.name.starts_with("lb@"));
            Ok(balancers.find_map(|it| {
                let reason = it.reason.filter(|why| why.contains("conflicts with"))?;
                Some((it.name, reason))
            }))
        };
        let (name, _) =
            self.told.wait("load balancer waits", LOSS_LIMIT, waits, |(name, why)| {
                format!("argosy why {name}: {why}")
            })?;
        Ok(name)
    }

    fn fourth(&mut self, zone: &'static str) -> Result<(), Failure> {
        self.told.say("")?;
        self.told.begin("the start of m4");
        let new = self.add("m4", zone)?;
        let (cluster, member) = (&self.cluster, &self.machines[0]);
        let up = || Ok(cluster.report(&new).map(drop));
        self.told.wait("m4 up", START_LIMIT, up, |()| "a fourth machine".into())?;
        cluster.join(member, &new, zone)?;
        let joined = || {
            let machines = cluster.machines(&new).unwrap_or_default();
            Ok(machines.iter().any(|it| it.name == "m4" && it.state == "ready").then_some(()))
        };
        self.told.wait("m4 joined", CLUSTER_LIMIT, joined, |()| {
            format!("with one token, in zone {zone}, where a machine was lost")
        })?;
        self.machines.push(new);
        Ok(())
    }

    /// The load balancer that waited runs on the new machine, and answers there.
    fn takes(&mut self, machine: &str, balancer: &str) -> Result<(), Failure> {
        let (cluster, at, outside) = (&self.cluster, &self.machines[0], &self.outside);
        let runs = || {
            let units = cluster.units(at).unwrap_or_default();
            let there = units.iter().any(|it| {
                it.name == balancer && it.machine.as_deref() == Some(machine) && is_active(it)
            });
            Ok(if there { outside.through(machine).ok() } else { None })
        };
        self.told.wait("load balancer placed", UNITS_LIMIT, runs, |answer| {
            format!("{balancer} runs on {machine} and passes on to {}", answer.unit)
        })?;
        Ok(())
    }

    /// As many API servers on each machine, and nothing else has moved.
    fn spread_again(&mut self) -> Result<(), Failure> {
        let (cluster, machines) = (&self.cluster, &self.machines);
        let even = || {
            let units = cluster.units(&machines[0]).unwrap_or_default();
            let running = units.iter().filter(|it| is_api(&it.name) && is_active(it));
            let mut on: BTreeMap<&str, usize> = BTreeMap::new();
            for unit in running {
                *on.entry(unit.machine.as_deref().unwrap_or_default()).or_default() += 1;
            }
            let is_even = |it: &MachineInfo| on.get(&*it.name) == Some(&(APIS / machines.len()));
            let is_even = machines.iter().all(is_even);
            Ok(is_even.then(|| machine_of_each(units)))
        };
        self.told.wait("spread again", SPREAD_LIMIT, even, |units| {
            format!("two API servers moved to m4, one after the other: {}", spread(units))
        })?;
        Ok(())
    }

    /// More API servers, which answer through every load balancer without any configuration.
    fn scaled(&mut self) -> Result<(), Failure> {
        let (cluster, machines, outside) = (&self.cluster, &self.machines, &self.outside);
        self.told.say("")?;
        self.told.begin("`argosy scale api 8`");
        cluster.scale(&machines[0], APIS_SCALED)?;
        let more = || {
            let seen = answering(outside, machines.iter().map(|it| it.name.as_str()));
            Ok((seen.len() == APIS_SCALED as usize).then_some(()))
        };
        self.told.wait("scaled up", UNITS_LIMIT, more, |()| {
            format!("argosy scale api {APIS_SCALED}: all answer through the load balancers")
        })
    }

    /// Ends the requests. One that failed is a failure of the whole story.
    fn judge(&mut self, client: Client) -> Result<(), Failure> {
        let lines = client.end();
        let begun = lines.iter().map(|line| line.begun).min().unwrap_or_else(|| self.told.begun());
        let survivors: Vec<String> =
            self.machines.iter().map(|it| it.name.clone()).filter(|it| it != "m4").collect();
        let counted = loss::balanced(&lines, survivors, begun);
        let summary = format!(
            "{} requests through the load balancers of {}, {} failed, the longest took {} s",
            counted.answered + counted.failed,
            counted.machines.join(" and "),
            counted.failed,
            counted.longest_seconds
        );
        self.told.say(&format!("\n            {summary}"))?;
        let failures = counted.failures.clone();
        self.told.report.requests = Some(counted);
        if failures.is_empty() {
            return Ok(());
        }
        self.refuse(format!("{summary}:\n{}", failures.join("\n")))
    }
}

fn is_api(unit: &str) -> bool {
    unit.starts_with("api@")
}
