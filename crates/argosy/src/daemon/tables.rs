//! From the registry's endpoints to the table that proxies follow.

use std::collections::BTreeMap;
use std::sync::Arc;

use argosy_api::traffic::{EndpointView, PublishedView, TableView};
use argosy_model::{HealthCheck, Wanted};
use argosy_registry::{ClusterView, Revision};
use tokio::sync::watch;

/// Keeps the newest table. Its generation is the registry revision at which it was so: it goes on
/// rising whichever daemon makes it, and says which withdrawals a proxy has seen.
pub(crate) struct Tables {
    newest: watch::Sender<Arc<TableView>>,
    /// The revision at which an endpoint was last published.
    published_at: Revision,
}

impl Tables {
    /// Begins without a table.
    pub(crate) fn new() -> (Tables, watch::Receiver<Arc<TableView>>) {
        let (newest, tables) = watch::channel(Arc::default());
        (Tables { newest, published_at: 0 }, tables)
    }

    /// Follows a view. A registry that knows no machine has not been read yet, and says nothing.
    pub(crate) fn follow(&mut self, view: &ClusterView) {
        if view.machines().is_empty() {
            return;
        }
        let (services, published) = (services(view), published(view));
        let endpoints = view.endpoints().values();
        let routed = endpoints.filter(|stored| !stored.value.services.is_empty());
        let published_at = routed.map(|stored| stored.mod_revision).max().unwrap_or(0);
        let is_first = self.newest.borrow().generation == 0;
        let risen = published_at > self.published_at;
        self.published_at = published_at;
        self.newest.send_if_modified(|table| {
            let same = table.services == services && table.published == published;
            if same && !risen && !is_first {
                return false;
            }
            let generation = view.revision().unsigned_abs();
            *table = Arc::new(TableView { generation, services, published });
            true
        });
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

/// Returns the ports of units that are wanted, whether they run or not. Two units never publish
/// one port for different services; if the registry says so all the same, the first by name counts.
fn published(view: &ClusterView) -> Vec<PublishedView> {
    let mut ports = BTreeMap::new();
    for name in view.publishers() {
        let Some(unit) = view.look_up(name).filter(|unit| unit.wanted == Wanted::Run) else {
            continue;
        };
        let specs = unit.spec.into_iter();
        for one in specs.flat_map(|spec| &spec.traffic.publish) {
            ports.entry(one.port).or_insert_with(|| PublishedView {
                port: one.port,
                protocol: one.protocol.to_string(),
                service: one.service.clone(),
            });
        }
    }
    ports.into_values().collect()
}
