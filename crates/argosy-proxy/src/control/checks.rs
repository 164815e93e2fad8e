//! Active health checks of one endpoint, again and again.

use std::sync::Arc;

use tokio::time::sleep;

use crate::config::Check;
use crate::endpoint::EndpointCell;

/// Checks an endpoint until it is withdrawn.
pub(super) async fn run(endpoint: Arc<EndpointCell>, check: Check) {
    while !endpoint.is_withdrawn() {
        let address = endpoint.endpoint.address;
        let checked = crate::check(address, &check.kind, check.timeout).await;
        if let Err(error) = &checked {
            tracing::debug!(error = error as &dyn std::error::Error, "a check fails");
        }
        endpoint.checked(checked.is_ok(), &check);
        sleep(check.interval).await;
    }
}
