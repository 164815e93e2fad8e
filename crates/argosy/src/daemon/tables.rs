//! From the registry's endpoints to the table that proxies follow.

use std::collections::BTreeMap;
use std::sync::Arc;

use argosy_api::traffic::{EndpointView, PublishedView, TableView};
use argosy_model::HealthCheck;
use argosy_registry::ClusterView;
use tokio::sync::watch;

/// Keeps the newest table. Its generation is the registry revision at which routes last changed:
/// it goes on rising whichever daemon makes it, says which withdrawals a proxy has seen, and is
/// the same on all machines that know of the same changes, whatever else they see of the registry.
pub(crate) struct Tables {
    newest: watch::Sender<Arc<TableView>>,
}

impl Tables {
    /// Begins without a table.
    pub(crate) fn new() -> (Tables, watch::Receiver<Arc<TableView>>) {
        let (newest, tables) = watch::channel(Arc::default());
        (Tables { newest }, tables)
    }

    /// Follows a view. A registry that knows no machine has not been read yet, and says nothing.
    pub(crate) fn follow(&self, view: &ClusterView) {
        let generation = view.routes_revision().unsigned_abs();
        if view.machines().is_empty() || self.newest.borrow().generation == generation {
            return;
        }
        let (services, published) = (services(view), published(view));
        self.newest.send_replace(Arc::new(TableView { generation, services, published }));
    }
}

fn services(view: &ClusterView) -> BTreeMap<String, Vec<EndpointView>> {
    let mut services: BTreeMap<String, Vec<EndpointView>> = BTreeMap::new();
    for ((unit, machine), stored) in view.endpoints() {
        let endpoint = &stored.value;
        let facts = view.machines().get(&endpoint.machine);
        let zone = facts.and_then(|facts| facts.value.metadata.get("zone")).cloned();
        let instance = match machine {
            None => unit.to_string(),
            Some(machine) => format!("{unit} on {}", machine.short()),
        };
        for service in &endpoint.services {
            services.entry(service.service.clone()).or_default().push(EndpointView {
                instance: instance.clone(),
                machine: endpoint.machine.to_string(),
                epoch: endpoint.epoch.into(),
                address: service.address.to_string(),
                zone: zone.clone().unwrap_or_default(),
                check: match &service.check {
                    // As of a daemon that knows no checks, so that it stays the same endpoint.
                    HealthCheck::Tcp => String::new(),
                    check @ HealthCheck::Http(_) => check.to_string(),
                },
            });
        }
    }
    services
}

fn published(view: &ClusterView) -> Vec<PublishedView> {
    let ports = view.published().values();
    let ports = ports.map(|one| PublishedView {
        port: one.port,
        protocol: one.protocol.to_string(),
        service: one.service.clone(),
    });
    ports.collect()
}

#[cfg(test)]
mod tests;
