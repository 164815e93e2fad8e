//! `argosy cluster init`.

use argosy_api::operator::{InitRequest, MachineReport};
use http::Method;

use crate::args::{Global, Init};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::session;

pub(crate) async fn init(options: Init, global: &Global, printer: &Printer) -> Result<(), Failure> {
    let request = InitRequest {
        name: options.name,
        address: Some(options.address.to_string()),
        metadata: options.labels,
    };
    let report: MachineReport =
        session::daemon(global).send(Method::POST, "/v1/cluster/init", &request).await?;
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
