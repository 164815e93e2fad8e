//! A registry in a store, for this crate's tests.

use std::sync::Arc;

use argosy_kv::{Applied, Command, CommandKind, Response, SpaceId, State, Txn};
use argosy_model::{
    Announce, Dependencies, EndpointProtocol, EndpointSpec, ImageEngine, MachineId, Placement,
    Publish, ServiceSpec, Traffic, UnitImage, UnitName, UnitSpec, UnixMicros,
};

use crate::record::StoredMachine;
use crate::view::{ClusterView, ClusterViewBuilder, SpecSource};
use crate::{Edit, Outcome};

pub(crate) fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

/// Reads `replicas=N`, `global`, `announce=KEY`, `tcp=NAME` or `http=NAME` and with it `publish=PORT`; a
/// text with `bad` in it has an error.
pub(crate) fn specs() -> SpecSource {
    Arc::new(|unit, text| {
        if text.contains("bad") {
            return Err("line 1: bad".to_owned());
        }
        let word = |key: &str| {
            let mut words = text.split_whitespace();
            words.find_map(|word| word.strip_prefix(key).map(str::to_owned))
        };
        let replicas = word("replicas=").and_then(|n| n.parse().ok());
        let instance = unit.instance().unwrap_or("");
        let key = word("announce=").map(|key| key.replace("%i", instance));
        let images = word("image=").map(|name| UnitImage { name, engine: ImageEngine::Argosy });
        let images = images.into_iter().collect();
        let mut traffic = Traffic::default();
        for (text, protocol) in EndpointProtocol::ALL {
            if let Some(service) = word(&format!("{text}=")) {
                let port = word("publish=").map(|port| port.parse().unwrap());
                let published =
                    port.map(|port| Publish { port, service: service.clone(), protocol });
                traffic.publish.extend(published);
                traffic.endpoints.push(EndpointSpec { service, port: None, protocol });
            }
        }
        Ok(UnitSpec {
            name: unit.clone(),
            description: Some(text.to_owned()),
            dependencies: Dependencies::default(),
            service: ServiceSpec::default(),
            placement: Placement {
                replicas,
                global: text.contains("global"),
                ..Placement::default()
            },
            announce: key.map(|key| Announce { key, port: None }),
            traffic,
            images,
            wanted_by: Vec::new(),
        })
    })
}

pub(crate) fn machine(id: u128) -> StoredMachine {
    StoredMachine {
        id: MachineId(id),
        name: format!("m{id}"),
        address: "192.0.2.1".to_owned(),
        metadata: Default::default(),
        cordoned: false,
        lost: false,
        long_grant: false,
        disk_full: false,
        port: 0,
        member: 0,
    }
}

pub(crate) struct Registry {
    pub(crate) state: State,
    pub(crate) builder: ClusterViewBuilder,
    index: u64,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        let state = State::new();
        let builder = ClusterViewBuilder::load(specs(), &state).unwrap();
        Registry { state, builder, index: 0 }
    }

    pub(crate) fn view(&self) -> &ClusterView {
        self.builder.view()
    }

    /// Applies a transaction; the view follows.
    pub(crate) fn commit(&mut self, txn: Txn) -> Outcome {
        self.index += 1;
        let command = Command { proposed_at: UnixMicros(0), kind: CommandKind::Txn(txn) };
        let Applied { response, events } = self.state.apply(self.index, 1, &command);
        self.builder.apply_events(&events);
        match response.unwrap() {
            Response::Txn(response) => Outcome::of(&response),
            other => panic!("{other:?}"),
        }
    }

    /// Makes an edit that must change something and succeed.
    #[track_caller]
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Edit)) {
        let mut edit = Edit::new(self.builder.view());
        change(&mut edit);
        let txn = edit.finish().expect("something changes");
        assert!(matches!(self.commit(txn), Outcome::Done(_)));
    }

    #[track_caller]
    pub(crate) fn submit(&mut self, unit: &str, text: &str) {
        self.edit(|edit| {
            edit.submit(&name(unit), text, "root", UnixMicros(0), None).unwrap();
        });
    }

    pub(crate) fn user_key(&self, key: &str) -> Option<String> {
        let found = self.state.get(SpaceId::User, key.as_bytes())?;
        Some(String::from_utf8(found.value.to_vec()).unwrap())
    }
}
