//! Sends this machine's report to whichever machine leads.

use std::time::Duration;

use argosy_reconcile::MachineReport;
use argosy_store::Leadership;
use http::Method;
use tokio::sync::watch;

use super::machine_port::MachinePort;
use super::report_wire::ReportWire;

/// A report that takes longer is given up: the next one replaces it anyway.
const SEND_MAX: Duration = Duration::from_secs(2);
/// The pause after a failure, so that a leader that is away is not stormed.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Runs until the control loop has ended.
pub(crate) async fn run(
    port: MachinePort,
    mut reports: watch::Receiver<Option<MachineReport>>,
    mut leadership: watch::Receiver<Leadership>,
) {
    loop {
        let leader = *leadership.borrow_and_update();
        let report = reports.borrow_and_update().clone();
        let sent = match (report, leader.leader.filter(|_| !leader.is_leader)) {
            (Some(report), Some(leader)) => {
                let wire = ReportWire::from(&report);
                let client = port.client_of_member(leader);
                let sending = client.send_for_nothing(Method::POST, "/v1/report", Some(&wire));
                matches!(tokio::time::timeout(SEND_MAX, sending).await, Ok(Ok(())))
            }
            // This machine leads, or nobody does: there is nobody to tell.
            _ => true,
        };
        let pause = async {
            if !sent {
                tokio::time::sleep(RETRY_AFTER).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}
