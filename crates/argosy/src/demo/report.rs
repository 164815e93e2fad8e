//! What the demonstration did and how long it took, for people as it happens and as JSON at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use argosy_testbed::{MachineInfo, Mode};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// How often a wanted state is looked for. It bounds the precision of the times.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Everything that is known at the end.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) failure: Option<String>,
    pub(super) mode: Mode,
    /// What this mode cannot show.
    pub(super) limits: Vec<&'static str>,
    /// How the units run: `containers` or `native`.
    pub(super) units: &'static str,
    /// Why they are no containers, if that was not asked for.
    pub(super) native_because: Option<String>,
    pub(super) machines: Vec<Place>,
    pub(super) steps: Vec<Step>,
    /// From the start of the program to the first HTTP 200 through a load balancer.
    pub(super) first_answer_seconds: Option<f64>,
    pub(super) failover: Option<Failover>,
    pub(super) requests: Option<Balanced>,
}

/// One machine.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) zone: String,
    pub(super) address: String,
    /// For `argosy --runtime-dir`, from any terminal of the same user.
    pub(super) runtime_directory: String,
    /// Where this computer reaches the machine's load balancer.
    pub(super) load_balancer: String,
    /// Of all the machine's processes, while it has no units.
    pub(super) idle_pss_bytes: Option<u64>,
}

impl Place {
    pub(super) fn new(info: &MachineInfo, zone: &str, balancer: SocketAddr) -> Place {
        Place {
            name: info.name.clone(),
            zone: zone.to_owned(),
            address: info.address.to_string(),
            runtime_directory: info.runtime_directory.display().to_string(),
            load_balancer: format!("http://{balancer}"),
            idle_pss_bytes: None,
        }
    }
}

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) step: &'static str,
    pub(super) done: bool,
    /// From the moment that `since` names.
    pub(super) seconds: f64,
    pub(super) since: &'static str,
    pub(super) limit_seconds: u64,
    pub(super) text: String,
}

/// What the outside client saw of a machine's loss, until everything answered again.
#[derive(Debug, Serialize)]
pub(super) struct Failover {
    pub(super) lost: String,
    pub(super) was_leader: bool,
    /// Units that were on it.
    pub(super) units_lost: Vec<String>,
    /// From the loss until every unit that could go elsewhere had answered from there.
    pub(super) seconds: f64,
    /// The same for each of them.
    pub(super) unit_seconds: BTreeMap<&'static str, f64>,
}

/// What became of the requests through the load balancers of machines that were not lost, from
/// before the loss to the end of the story.
#[derive(Debug, Serialize)]
pub(super) struct Balanced {
    pub(super) machines: Vec<String>,
    pub(super) answered: usize,
    pub(super) failed: usize,
    pub(super) longest_seconds: f64,
    /// One line for each that failed.
    pub(super) failures: Vec<String>,
}

/// Keeps the report and tells people of each step.
pub(super) struct Recorder {
    pub(super) report: Report,
    printer: Printer,
    started: Instant,
    begun: Instant,
    since: &'static str,
}

impl Recorder {
    pub(super) fn new(mode: Mode, printer: Printer, begun: Instant) -> Recorder {
        let report = Report {
            ok: false,
            failure: None,
            mode,
            limits: mode.limits(),
            units: "native",
            native_because: None,
            machines: Vec::new(),
            steps: Vec::new(),
            first_answer_seconds: None,
            failover: None,
            requests: None,
        };
        Recorder { report, printer, started: begun, begun, since: "the start of the program" }
    }

    /// Lets the times of the next steps begin here.
    pub(super) fn begin(&mut self, since: &'static str) {
        (self.begun, self.since) = (Instant::now(), since);
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// Time since the start of the program.
    pub(super) fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says something to people.
    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        if self.printer.json() { Ok(()) } else { self.printer.line(text) }
    }

    /// Waits until `look` finds what is wanted and returns it; the step's text may use it.
    pub(super) fn wait<T>(
        &mut self,
        step: &'static str,
        limit: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Failure>,
        text: impl FnOnce(&T) -> String,
    ) -> Result<T, Failure> {
        loop {
            let found = look();
            let elapsed = self.begun.elapsed();
            let late = elapsed > limit;
            match found {
                Ok(Some(found)) if !late => {
                    self.record(step, true, elapsed, limit, text(&found))?;
                    return Ok(found);
                }
                Ok(_) if !late => std::thread::sleep(LOOK_INTERVAL),
                Ok(_) => {
                    let text = format!("not within {} s of {}", limit.as_secs(), self.since);
                    self.record(step, false, elapsed, limit, text.clone())?;
                    return Err(Failure::new(Exit::BadInput, format!("{step}: {text}")));
                }
                Err(failure) => {
                    self.record(step, false, elapsed, limit, failure.message.clone())?;
                    return Err(failure);
                }
            }
        }
    }

    fn record(
        &mut self,
        step: &'static str,
        done: bool,
        elapsed: Duration,
        limit: Duration,
        text: String,
    ) -> Result<(), Failure> {
        let seconds = rounded(elapsed);
        let word = if done { "" } else { "FAILED: " };
        self.say(&format!("{seconds:8.3} s  {word}{step}: {text}"))?;
        let (since, limit_seconds) = (self.since, limit.as_secs());
        self.report.steps.push(Step { step, done, seconds, since, limit_seconds, text });
        Ok(())
    }
}

/// Milliseconds are as precise as these times are.
pub(super) fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
