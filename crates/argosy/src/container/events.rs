//! What happens to containers, as docker's `events` tells it.
//!
//! There is no engine process: whoever does something adds a line to a file, and whoever wants to know
//! reads it. An event that cannot be noted is lost; nothing fails for that.

mod log;
mod show;

use argosy_container::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Engine;
use super::record::EngineRecord;
pub(super) use log::{Events, Reader};
pub(super) use show::{Asked, follow, show};

/// Everything here is of one machine.
const SCOPE: &str = "local";

/// One event, in docker's shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Event {
    #[serde(rename = "Type")]
    kind: String,
    action: String,
    actor: Actor,
    #[serde(rename = "scope")]
    scope: String,
    /// Seconds and nanoseconds since 1970.
    #[serde(rename = "time")]
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

/// What it happened to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    /// The name, the image, the labels, and what belongs to the event.
    #[serde(rename = "Attributes")]
    attributes: Map<String, Value>,
}

impl Event {
    /// Tells whether this happened to a container.
    pub(super) fn is(&self, id: &ContainerId, action: &str) -> bool {
        self.actor.id == id.as_str() && self.action == action
    }

    /// Returns how a container has ended, if that is what happened.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.attribute("exitCode")?.parse().ok()
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.actor.attributes.get(name)?.as_str()
    }
}

impl Engine {
    /// Notes what has happened to a container that is there.
    pub(super) fn tell(&self, id: &ContainerId, action: &str, more: &[(&str, String)]) {
        self.tell_of(id, self.record(id).as_ref(), action, more);
    }

    /// Notes what has happened to a container of which this is the record.
    pub(super) fn tell_of(
        &self,
        id: &ContainerId,
        record: Option<&EngineRecord>,
        action: &str,
        more: &[(&str, String)],
    ) {
        let text = |value: &str| Value::String(value.to_owned());
        let mut attributes = Map::new();
        if let Some(record) = record {
            let labels = record.labels.iter();
            attributes.extend(labels.map(|(name, value)| (name.clone(), text(value))));
            attributes.insert("image".to_owned(), text(&record.image));
            attributes.insert("name".to_owned(), text(&record.name));
        }
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), text(value))));
        let now = Timestamp::now();
        self.events.add(&Event {
            kind: "container".to_owned(),
            action: action.to_owned(),
            actor: Actor { id: id.to_string(), attributes },
            scope: SCOPE.to_owned(),
            time: now.as_second(),
            time_nano: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
        });
    }
}
