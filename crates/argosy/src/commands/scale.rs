//! `argosy scale`: how many instances of a template run.

use std::process::ExitCode;

use argosy_api::operator::{ScaleReply, ScaleRequest, VerbRequest};
use http::Method;

use crate::args::{Global, Scale};
use crate::commands::verbs;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

pub(crate) async fn run(
    options: &Scale,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let name = session::template_name(&options.unit)?;
    let wait = !options.wait.no_block;
    let verb = VerbRequest { wait, timeout_seconds: options.wait.timeout };
    let request = ScaleRequest { replicas: options.replicas, verb };
    printer.progress(&format!("scale {name} to {} ...", options.replicas));
    let target = format!("/v1/units/{name}/scale");
    let mut client = session::daemon(global)?;
    if wait {
        client = client.with_limit(session::waits(options.wait.timeout));
    }
    let sent = client.send(Method::POST, &target, &request);
    let reply: ScaleReply = verbs::counted(&name, global, printer, sent).await?;
    printer.show(&reply, |reply| lines(reply).join("\n"))?;
    // One that was stopped by its own name stays stopped, as it was told.
    let mut wanted = reply.instances.iter().filter(|view| wait && view.desired == "running");
    match wanted.find(|view| !verbs::runs(view)) {
        None => Ok(ExitCode::SUCCESS),
        Some(view) => {
            let what = format!("{} does not run{}", view.name, verbs::because(view));
            Err(Failure::new(Exit::Refused, what)
                .with_help(format!("ask why: argosy why {}", view.name)))
        }
    }
}

fn lines(reply: &ScaleReply) -> Vec<String> {
    let name = &reply.template.name;
    let replicas = reply.template.replicas.unwrap_or(0);
    let mut lines = vec![format!("{name}: {replicas} replicas, {} before", reply.before)];
    if !reply.started {
        lines.push(format!("{name} is not started; start it: argosy start {name}"));
    }
    lines.extend(reply.instances.iter().map(verbs::line));
    lines
}
