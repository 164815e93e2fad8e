//! The story up to the loss: a cluster of three, units on it, and everything answers.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_api::operator::UnitView;
use argosy_reconcile::Preset;
use argosy_testbed::{Control, MachineInfo, Mode};

use crate::args::Lose;
use crate::demo::cluster::Cluster;
use crate::demo::image::{Form, Preparation, spread as spread_image};
use crate::demo::outside::{ANNOUNCED, Outside};
use crate::demo::report::{Place, Recorder, rounded};
use crate::demo::{context, memory};
use crate::failure::{Exit, Failure};
use crate::session::API_SOCKET;

/// Processes of three machines start on a busy computer with two cores.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);
/// Two joins and two votes about members.
pub(super) const CLUSTER_LIMIT: Duration = Duration::from_secs(60);
/// From the unit files to ten answering units.
pub(super) const UNITS_LIMIT: Duration = Duration::from_secs(30);

/// The machines and their zones.
pub(super) const MACHINES: [(&str, &str); 3] = [("m1", "a"), ("m2", "b"), ("m3", "c")];
/// A database, six API servers, three load balancers.
const UNITS: usize = 10;
/// API servers of the first part.
pub(super) const APIS: usize = 6;
/// Requests through each load balancer in one look for answers of all API servers.
const ROUND: usize = 12;

pub(super) struct Story<'a> {
    pub(super) name: &'a str,
    pub(super) control: Control,
    pub(super) mode: Mode,
    pub(super) cluster: Cluster,
    pub(super) outside: Outside,
    pub(super) machines: Vec<MachineInfo>,
    /// Nothing if units run natively anyway.
    preparation: Option<Preparation>,
    pub(super) told: &'a mut Recorder,
}

/// What the story is to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) lose: Lose,
    /// The time limits of the cluster.
    pub(super) timing: Preset,
    /// Nothing after the loss.
    pub(super) loss_only: bool,
    /// No containers.
    pub(super) native: bool,
    /// Whether units may run natively where containers cannot.
    pub(super) less_is_fine: bool,
}

/// Tells the whole story; every step waits for a state and has a limit.
pub(super) fn tell(
    name: &str,
    control: &Control,
    mode: Mode,
    wanted: Wanted,
    told: &mut Recorder,
) -> Result<(), Failure> {
    let mut story = Story {
        name,
        control: control.clone(),
        mode,
        cluster: Cluster::new(control.clone(), mode)?,
        outside: Outside::new(control.clone(), mode),
        machines: Vec::new(),
        preparation: None,
        told,
    };
    let result = story.run(wanted);
    result.map_err(|failure| {
        let message = format!("{}\n{}", failure.message, story.cluster.logs().trim_end());
        Failure { message, ..failure }
    })
}

impl Story<'_> {
    fn run(&mut self, wanted: Wanted) -> Result<(), Failure> {
        self.machines_up(!wanted.native && self.mode != Mode::Loopback)?;
        self.cluster_of_three(wanted.timing)?;
        let form = self.form(wanted)?;
        self.units(form)?;
        self.answers()?;
        self.loss_and_after(wanted)
    }

    /// Starts a machine and makes the ways to it.
    pub(super) fn add(&mut self, name: &str, zone: &str) -> Result<MachineInfo, Failure> {
        let info = self.cluster.start(name)?;
        let balancer = self.outside.add(&info)?;
        // The story does without the context; whoever looks for it is told that it is missing.
        drop(context::add_socket(self.name, info.runtime_directory.join(API_SOCKET)));
        self.told.report.machines.push(Place::new(&info, zone, balancer));
        Ok(info)
    }

    fn machines_up(&mut self, containers: bool) -> Result<(), Failure> {
        for (name, zone) in MACHINES {
            let info = self.add(name, zone)?;
            if containers && self.preparation.is_none() {
                self.preparation = Some(self.cluster.prepare(&info));
            }
            self.machines.push(info);
        }
        let (cluster, machines) = (&self.cluster, &self.machines);
        let up = || Ok(machines.iter().all(|it| cluster.report(it).is_some()).then_some(()));
        self.told.wait("machines up", START_LIMIT, up, |()| {
            "m1, m2 and m3 in the zones a, b and c, each with `argosy supervisor`".into()
        })
    }

    fn cluster_of_three(&mut self, timing: Preset) -> Result<(), Failure> {
        self.told.begin("`argosy cluster init` on m1");
        let (cluster, machines) = (&self.cluster, &self.machines);
        cluster.init(&machines[0], MACHINES[0].1, timing)?;
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
        })?;
        for place in &mut self.told.report.machines {
            let machine = self.machines.iter().find(|it| it.name == place.name);
            place.idle_pss_bytes = machine.and_then(|it| it.init_pid).and_then(memory::pss_bytes);
        }
        Ok(())
    }

    /// Decides how units run, and says why if they cannot run as containers.
    fn form(&mut self, wanted: Wanted) -> Result<Form, Failure> {
        let prepared = match self.preparation.take() {
            Some(preparation) => {
                preparation.finish().and_then(|bytes| spread_image(&self.control).map(|()| bytes))
            }
            None if wanted.native => return Ok(Form::Native),
            None => self.refuse("machines in loopback mode may be where no namespace can be made"),
        };
        let why = match prepared {
            Ok(bytes) => {
                let megabytes = bytes.div_ceil(1_000_000);
                self.told.say(&format!(
                    "            units are containers, of an image that is this program: \
                     {megabytes} MB"
                ))?;
                self.told.report.units = "containers";
                return Ok(Form::Containers);
            }
            Err(failure) => failure.message,
        };
        if !wanted.less_is_fine {
            let message = format!("units cannot run as containers here: {why}");
            return Err(Failure::new(Exit::BadInput, message)
                .with_help("ask for units without: argosy demo --once --native"));
        }
        self.told.say(&format!("            units run natively, without containers: {why}"))?;
        self.told.report.native_because = Some(why);
        Ok(Form::Native)
    }

    fn units(&mut self, form: Form) -> Result<(), Failure> {
        let (cluster, at, outside) = (&self.cluster, &self.machines[0], &self.outside);
        self.told.begin(form.applied());
        cluster.apply(at, form)?;
        let placed = || Ok(placement(cluster, at).filter(|units| units.len() == UNITS));
        self.told.wait("placed", UNITS_LIMIT, placed, spread)?;
        let active = || {
            let units = cluster.units(at).unwrap_or_default();
            Ok((units.iter().filter(|it| is_active(it)).count() == UNITS).then_some(()))
        };
        self.told.wait("active", UNITS_LIMIT, active, |()| {
            "database.service, api@1 to api@6, lb@1 to lb@3 run".into()
        })?;
        let registered = || {
            let keys = ANNOUNCED.iter().map(|(_, key)| outside.key("m3", key).ok());
            Ok(keys.collect::<Option<Vec<_>>>())
        };
        self.told.wait("registered", UNITS_LIMIT, registered, |keys| {
            format!("m3's store says /services/api/1 = {}, /database = {}", keys[0], keys[6])
        })?;
        Ok(())
    }

    fn answers(&mut self) -> Result<(), Failure> {
        let outside = &self.outside;
        let first = || Ok(outside.through("m2").ok());
        self.told.wait("first HTTP 200", UNITS_LIMIT, first, |answer| {
            format!("through the load balancer of m2, from {} on {}", answer.unit, answer.machine)
        })?;
        self.told.report.first_answer_seconds = Some(rounded(self.told.since_start()));
        let database = |machine| outside.key(machine, "database").ok();
        let all = || {
            let place = database("m2");
            let machines = MACHINES.map(|(name, _)| name);
            let mut seen = answering(outside, machines);
            seen.retain(|_, database| database.is_some() && *database == place);
            Ok((seen.len() == APIS && outside.ask("m2", "database").is_ok()).then_some(place))
        };
        self.told.wait("all six answer", UNITS_LIMIT, all, |place| {
            let place = place.as_deref().unwrap_or("-");
            format!("and know the database at {place}, which answers too")
        })?;
        let inside = || Ok(outside.store("m3", "database").ok());
        let way = match self.mode {
            Mode::Loopback => format!("{}:4001", self.machines[2].address),
            Mode::Root | Mode::User => "127.0.0.1:4001".to_owned(),
        };
        self.told.wait("key", UNITS_LIMIT, inside, |answer| {
            format!("m3$ curl http://{way}/v1/keys/database\n            {}", answer.trim_end())
        })?;
        Ok(())
    }

    /// Fails with what the machines say.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Result<T, Failure> {
        Err(Failure::new(Exit::Refused, message))
    }
}

/// The units that answer through the load balancers of these machines now, each with where it
/// says that the database is.
pub(super) fn answering<'a>(
    outside: &Outside,
    machines: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, Option<String>> {
    let round = |machine| (0..ROUND).map_while(move |_| outside.through(machine).ok());
    machines.into_iter().flat_map(round).map(|it| (it.unit, it.database)).collect()
}

pub(super) fn is_active(unit: &UnitView) -> bool {
    unit.status.as_ref().is_some_and(|status| status.active == "active")
}

/// The machine of every unit that has one.
pub(super) fn placement(cluster: &Cluster, at: &MachineInfo) -> Option<BTreeMap<String, String>> {
    Some(machine_of_each(cluster.units(at)?))
}

/// The machine of each of these units that has one.
pub(super) fn machine_of_each(units: Vec<UnitView>) -> BTreeMap<String, String> {
    units.into_iter().filter_map(|unit| Some((unit.name, unit.machine?))).collect()
}

pub(super) fn spread(units: &BTreeMap<String, String>) -> String {
    let mut on: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (unit, machine) in units {
        on.entry(machine).or_default().push(unit.trim_end_matches(".service"));
    }
    let on: Vec<String> =
        on.iter().map(|(machine, units)| format!("{machine}: {}", units.join(" "))).collect();
    on.join("; ")
}
