//! `argosy cluster init`, `argosy cluster join` and the join tokens.

use std::io::{IsTerminal, Read};

use argosy_api::Client;
use argosy_api::operator::{
    InitRequest, JoinRequest, MachineReport, TokenReply, TokenRequest, TokenView,
};
use http::Method;

use crate::args::{Described, Global, Init, Join, Token};
use crate::commands::time;
use crate::failure::{Exit, Failure};
use crate::printer::{Printer, table};
use crate::session;

/// Longest token that is read; a real one has a few hundred bytes.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// Longest that a machine may take to enter a cluster: to find a leader (30 s) and to have what is
/// stored (60 s), and half as much again for the others' part in it.
const ENTER_SECONDS_MAX: u64 = 135;

pub(crate) async fn init(options: Init, global: &Global, printer: &Printer) -> Result<(), Failure> {
    let timing = options.timing.map(|preset| preset.to_string());
    let request = InitRequest { timing, ..machine(options.machine) };
    let report: MachineReport =
        patient(global)?.send(Method::POST, "/v1/cluster/init", &request).await?;
    printer.show(&report, |report| match &report.cluster {
        Some(cluster) => format!(
            "cluster {} made; {} is its first machine\nstore: {}\nnext: argosy apply FILE",
            cluster.cluster_id,
            cluster.machine_name,
            cluster.client_urls.join(" ")
        ),
        None => "the cluster is being made".into(),
    })
}

/// Returns a client that waits until the machine is part of a cluster.
fn patient(global: &Global) -> Result<Client, Failure> {
    Ok(session::daemon(global)?.with_limit(session::waits(ENTER_SECONDS_MAX)))
}

fn machine(options: Described) -> InitRequest {
    InitRequest {
        name: options.name,
        address: options.address.map(|address| address.to_string()),
        metadata: options.labels,
        timing: None,
    }
}

pub(crate) async fn join(options: Join, global: &Global, printer: &Printer) -> Result<(), Failure> {
    let token = read_token(&options, printer)?;
    printer.progress("joining ...");
    let request = JoinRequest { token, machine: machine(options.machine) };
    let report: MachineReport =
        patient(global)?.send(Method::POST, "/v1/cluster/join", &request).await?;
    printer.show(&report, |report| match &report.cluster {
        Some(cluster) => format!(
            "{} is part of cluster {}\nnext: argosy list-machines",
            cluster.machine_name, cluster.cluster_id
        ),
        None => "the machine is joining".into(),
    })
}

fn read_token(options: &Join, printer: &Printer) -> Result<String, Failure> {
    let failed = |from: &str, error: std::io::Error| {
        Failure::new(Exit::BadInput, format!("cannot read the token from {from}: {error}"))
    };
    let mut text = String::new();
    match &options.token_file {
        Some(path) => {
            let from = path.display().to_string();
            let file = std::fs::File::open(path).map_err(|error| failed(&from, error))?;
            let mut limited = file.take(TOKEN_BYTES_MAX);
            limited.read_to_string(&mut text).map_err(|error| failed(&from, error))?;
        }
        None => {
            if std::io::stdin().is_terminal() {
                printer.note("paste the token, then press Enter and Ctrl-D:");
            }
            let mut limited = std::io::stdin().take(TOKEN_BYTES_MAX);
            limited.read_to_string(&mut text).map_err(|error| failed("standard input", error))?;
        }
    }
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::new(Exit::BadInput, "there is no token")
            .with_help("on a machine of the cluster: argosy token create"));
    }
    Ok(token.to_owned())
}

pub(crate) async fn token(
    command: Token,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    let daemon = session::daemon(global)?;
    match command {
        Token::Create { minutes } => {
            let request = TokenRequest { seconds: minutes * 60 };
            let reply: TokenReply = daemon.send(Method::POST, "/v1/tokens", &request).await?;
            printer.show(&reply, |reply| reply.token.clone())?;
            printer.note(&format!(
                "good for one machine until {}; hand it over as a secret",
                time::since(reply.expires)
            ));
            Ok(())
        }
        Token::List => {
            let tokens: Vec<TokenView> = daemon.get("/v1/tokens").await?;
            printer.show(&tokens, |tokens| {
                let rows = tokens.iter().map(|token| {
                    let user = token.used_by.clone().unwrap_or_else(|| "-".into());
                    vec![token.id.clone(), time::since(token.expires), user]
                });
                table(&["TOKEN", "EXPIRES", "USED BY"], rows.collect())
            })
        }
        Token::Revoke { id } => {
            let target = format!("/v1/tokens/{id}");
            Ok(daemon.send_for_nothing::<()>(Method::DELETE, &target, None).await?)
        }
    }
}
