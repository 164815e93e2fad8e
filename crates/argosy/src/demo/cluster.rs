//! The machines of the demonstration: their supervisors, their cluster, and what it says.

use std::fs::File;
use std::future::Future;
use std::time::Duration;

use argosy_api::operator::{
    InitRequest, JoinRequest, MachineReport, MachineView, ScaleReply, ScaleRequest, SubmitReply,
    SubmitRequest, SubmittedFile, TokenReply, TokenRequest, UnitView, VerbRequest,
};
use argosy_api::{Client, ClientError};
use argosy_reconcile::Preset;
use argosy_testbed::{Control, MachineCommand, MachineInfo, Mode, TestbedError};
use http::Method;
use serde::de::DeserializeOwned;

use crate::demo::carried::PROGRAM;
use crate::demo::image::{self, Form, Preparation};
use crate::failure::{Exit, Failure};
use crate::session::API_SOCKET;

/// A question about a state: one that is not answered by then is asked again.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);
/// An order, such as a join: it is given once.
const ORDER_LIMIT: Duration = Duration::from_secs(60);
/// Seconds that a join token is good for.
const TOKEN_SECONDS: u64 = 600;
/// The last lines of a machine's log that a failure shows.
const LOG_LINES: usize = 15;
pub(super) fn testbed(error: TestbedError) -> Failure {
    Failure::from_error(Exit::BadInput, &error)
}

/// Speaks to the daemons of the machines, through sockets that are the same inside and outside.
pub(super) struct Cluster {
    control: Control,
    mode: Mode,
    program: String,
    runtime: tokio::runtime::Runtime,
}

impl Cluster {
    pub(super) fn new(control: Control, mode: Mode) -> Result<Cluster, Failure> {
        let failed = |what: &str, error: &std::io::Error| {
            Failure::new(Exit::BadInput, format!("cannot {what}: {error}"))
        };
        let program = std::env::current_exe().map_err(|error| failed("find itself", &error))?;
        let program = program.to_str().map(str::to_owned).ok_or_else(|| {
            Failure::new(Exit::BadInput, format!("{} is not UTF-8", program.display()))
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed("start a runtime", &error))?;
        Ok(Cluster { control, mode, program, runtime })
    }

    /// Adds a machine and starts `argosy supervisor` on it.
    pub(super) fn start(&self, name: &str) -> Result<MachineInfo, Failure> {
        let info = self.control.add_machine(name).map_err(testbed)?;
        self.supervise(&info)?;
        image::spread(&self.control)?;
        Ok(info)
    }

    /// Begins to make the image of the units' containers, on a machine that has just been added.
    pub(super) fn prepare(&self, info: &MachineInfo) -> Preparation {
        Preparation::begin(&self.control, info, &self.program)
    }

    /// Starts `argosy supervisor` on a machine that has just begun to run.
    pub(super) fn supervise(&self, info: &MachineInfo) -> Result<(), Failure> {
        let host = match self.mode {
            Mode::Loopback => info.address.to_string(),
            Mode::Root | Mode::User => "127.0.0.1".to_owned(),
        };
        let path = info.data_directory.join("supervisor.log");
        let failed = |error: std::io::Error| {
            Failure::new(Exit::BadInput, format!("cannot make {}: {error}", path.display()))
        };
        let log = File::options().create(true).append(true).open(&path).map_err(failed)?;
        let shown = |path: &std::path::Path| path.display().to_string();
        let mut command = MachineCommand::new([
            self.program.clone(),
            "supervisor".into(),
            "--data-dir".into(),
            shown(&info.data_directory),
            "--runtime-dir".into(),
            shown(&info.runtime_directory),
            // Units of the computer itself have no business here.
            "--unit-path".into(),
            shown(&info.data_directory.join("units")),
            "--client-listen".into(),
            format!("{host}:2379,{host}:4001"),
            // All machines share this computer's disk, and keep next to nothing there.
            "--disk-collect".into(),
            "100".into(),
            "--disk-limit".into(),
            "100".into(),
        ]);
        if self.mode == Mode::Loopback {
            // There may be no namespaces for units either.
            command.argv.push("--process-trees".into());
        }
        command.stdout = Some(log.try_clone().map_err(failed)?.into());
        command.stderr = Some(log.into());
        self.control.spawn(&info.name, command).map_err(testbed)?;
        Ok(())
    }

    fn client(info: &MachineInfo) -> Client {
        Client::new(info.runtime_directory.join(API_SOCKET))
    }

    /// Asks about a state; nothing when there is no answer now.
    fn ask<T: DeserializeOwned>(&self, at: &MachineInfo, target: &str) -> Option<T> {
        let asked = async {
            let client = Cluster::client(at);
            tokio::time::timeout(QUESTION_LIMIT, client.get(target)).await
        };
        self.runtime.block_on(asked).ok()?.ok()
    }

    fn order<T>(
        &self,
        what: &str,
        order: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Failure> {
        match self.runtime.block_on(async { tokio::time::timeout(ORDER_LIMIT, order).await }) {
            Ok(done) => done.map_err(|error| {
                let failure = Failure::from(error);
                Failure { message: format!("{what}: {}", failure.message), ..failure }
            }),
            Err(_) => Err(Failure::new(Exit::Unreachable, format!("{what}: no answer"))),
        }
    }

    pub(super) fn report(&self, at: &MachineInfo) -> Option<MachineReport> {
        self.ask(at, "/v1/status")
    }

    pub(super) fn machines(&self, at: &MachineInfo) -> Option<Vec<MachineView>> {
        self.ask(at, "/v1/machines")
    }

    /// The units that run, without the template.
    pub(super) fn units(&self, at: &MachineInfo) -> Option<Vec<UnitView>> {
        let units: Vec<UnitView> = self.ask(at, "/v1/units")?;
        Some(units.into_iter().filter(|unit| !unit.name.contains("@.")).collect())
    }

    pub(super) fn init(&self, at: &MachineInfo, zone: &str, timing: Preset) -> Result<(), Failure> {
        let timing = Some(timing.to_string());
        let request = InitRequest { timing, ..described(at, zone) };
        let client = Cluster::client(at);
        let order = client.send(Method::POST, "/v1/cluster/init", &request);
        self.order::<MachineReport>("cluster init", order).map(drop)
    }

    /// Makes a token on a member and joins with it.
    pub(super) fn join(
        &self,
        member: &MachineInfo,
        joiner: &MachineInfo,
        zone: &str,
    ) -> Result<(), Failure> {
        let request = TokenRequest { seconds: TOKEN_SECONDS };
        let client = Cluster::client(member);
        let order = client.send(Method::POST, "/v1/tokens", &request);
        let reply: TokenReply = self.order("token create", order)?;
        let request = JoinRequest { token: reply.token, machine: described(joiner, zone) };
        let client = Cluster::client(joiner);
        let order = client.send(Method::POST, "/v1/cluster/join", &request);
        self.order::<MachineReport>(&format!("cluster join of {}", joiner.name), order).map(drop)
    }

    /// Hands in the unit files, as `argosy apply` does.
    pub(super) fn apply(&self, at: &MachineInfo, form: Form) -> Result<(), Failure> {
        let program = quoted(&self.program);
        let files = form.files().map(|(name, text)| SubmittedFile {
            name: name.to_owned(),
            file: name.to_owned(),
            text: match form {
                // In a container it is where the file says.
                Form::Containers => text.to_owned(),
                Form::Native => text.replace(PROGRAM, &program),
            },
        });
        let request = SubmitRequest { files: files.into(), start: true, dry_run: false };
        let client = Cluster::client(at);
        let order = client.send(Method::POST, "/v1/units", &request);
        self.order::<SubmitReply>("apply", order).map(drop)
    }

    /// Sets how many API servers run, as `argosy scale` does, without waiting for them.
    pub(super) fn scale(&self, at: &MachineInfo, replicas: u32) -> Result<(), Failure> {
        let verb = VerbRequest { wait: false, timeout_seconds: ORDER_LIMIT.as_secs() };
        let request = ScaleRequest { replicas, verb };
        let client = Cluster::client(at);
        let order = client.send(Method::POST, "/v1/units/api@.service/scale", &request);
        self.order::<ScaleReply>("scale", order).map(drop)
    }

    /// The last lines of every machine's log.
    pub(super) fn logs(&self) -> String {
        let machines = self.control.status().map(|status| status.machines).unwrap_or_default();
        let mut text = String::new();
        for machine in machines {
            let path = machine.data_directory.join("supervisor.log");
            let log = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&format!("--- log of {}\n", machine.name));
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                text.push_str(&format!("{line}\n"));
            }
        }
        text
    }
}

fn described(machine: &MachineInfo, zone: &str) -> InitRequest {
    InitRequest {
        name: Some(machine.name.clone()),
        address: Some(machine.address.to_string()),
        metadata: vec![("zone".to_owned(), zone.to_owned())],
        timing: None,
    }
}

/// Writes a program as one word of a command line (systemd.service(5)).
fn quoted(path: &str) -> String {
    let escaped = path.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('%', "%%").replace('$', "$$"))
}
