//! A unit's whole state as a blob, and back.

mod numbers;
mod records;

use std::sync::Arc;
use std::time::Duration;

use argosy_model::{InvocationId, UnitName, UnitResult, UnitSpec, UnixMicros};
use prost::Message;

use crate::source::{Loaded, UnitSource};
use crate::supervisor::RestoredUnit;
use crate::unit::{Control, Notified, StartLimit, Unit};
use records::{ControlRecord, SourceRecord, UnitState};

/// The format written. A reader refuses a higher one: it may hold what must not be ignored.
const FORMAT: u32 = 1;

/// A blob cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is not one.
    #[error("the stored state of a unit cannot be decoded")]
    Decode(#[source] prost::DecodeError),
    /// A newer version wrote it.
    #[error("the stored state of {unit} has format {format}, this version knows up to {FORMAT}")]
    Format {
        /// The unit.
        unit: String,
        /// Its format.
        format: u32,
    },
    /// A field is missing or holds what this version does not know.
    #[error("the stored state of {unit} has no valid {field}")]
    Field {
        /// The unit.
        unit: String,
        /// The field.
        field: &'static str,
    },
}

/// Nanoseconds; a span of more than 584 years counts as that long.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A decoded blob whose texts still have to be parsed.
#[derive(Debug, Clone)]
pub struct StoredUnit {
    name: UnitName,
    state: UnitState,
    loaded: UnitSource,
    next: Option<UnitSource>,
}

/// Encodes a unit.
pub(crate) fn encode(unit: &Unit) -> Vec<u8> {
    let state = UnitState {
        format: FORMAT,
        name: unit.name.to_string(),
        loaded: Some(SourceRecord::from(&unit.loaded.source)),
        next: unit.next.as_ref().map(|next| SourceRecord::from(&next.source)),
        state: numbers::sub_state(unit.state),
        // An older supervisor takes it for an unknown end: also one that nothing follows from.
        result: numbers::result(match unit.result {
            UnitResult::Fenced => UnitResult::Unknown,
            other => other,
        }),
        fenced: unit.result == UnitResult::Fenced,
        reload_result: numbers::result(unit.reload_result),
        main: unit.main.map(records::process),
        main_index: unit.main_index as u64,
        foreign_main: unit.foreign_main,
        control: unit.control.map(|control| ControlRecord {
            process: Some(records::process(control.process)),
            role: numbers::role(control.role),
            index: control.index as u64,
        }),
        main_exit: unit.main_exit.map(records::exit),
        restarts: unit.restarts,
        flush_restarts: unit.flush_restarts,
        forbid_restart: unit.forbid_restart,
        limit_begin: unit.start_limit.begin.map(nanos),
        limit_count: unit.start_limit.count,
        timer: unit.timer.map(nanos),
        watchdog: unit.watchdog.map(nanos),
        active_since: unit.active_since.map(nanos),
        watchdog_span: unit.watchdog_span.map(nanos),
        notified: numbers::notified(unit.notified),
        populated: unit.populated,
        grouped: unit.grouped,
        leftover: unit.leftover,
        invocation: unit.invocation.map(|id| id.0.to_be_bytes().to_vec()),
        since: unit.since.0,
        status_text: unit.status_text.clone(),
        errno: unit.errno,
        detail: unit.detail.clone(),
        job: unit.job.as_ref().map(records::job),
        ordered_at: nanos(unit.ordered_at),
    };
    state.encode_to_vec()
}

impl StoredUnit {
    /// Decodes a blob of [`Supervisor::take_states`](crate::Supervisor::take_states).
    pub fn decode(blob: &[u8]) -> Result<StoredUnit, StoredError> {
        let state = UnitState::decode(blob).map_err(StoredError::Decode)?;
        if state.format == 0 || state.format > FORMAT {
            return Err(StoredError::Format { unit: state.name, format: state.format });
        }
        let field = |field| StoredError::Field { unit: state.name.clone(), field };
        let name = UnitName::new(state.name.clone()).map_err(|_| field("name"))?;
        let loaded = state.loaded.clone().ok_or_else(|| field("loaded"))?.into();
        let next = state.next.clone().map(UnitSource::from);
        Ok(StoredUnit { name, state, loaded, next })
    }

    /// Returns the unit's name.
    pub fn name(&self) -> &UnitName {
        &self.name
    }

    /// Returns the text in force.
    pub fn loaded(&self) -> &UnitSource {
        &self.loaded
    }

    /// Returns the text that the next start takes, if it is another one.
    pub fn next(&self) -> Option<&UnitSource> {
        self.next.as_ref()
    }

    /// Puts the unit together again. `loaded` and `next` are what the texts mean.
    pub fn restore(
        self,
        loaded: UnitSpec,
        next: Option<UnitSpec>,
    ) -> Result<RestoredUnit, StoredError> {
        let StoredUnit { name, state, loaded: source, next: next_source } = self;
        let unit = name.to_string();
        let field = |field| StoredError::Field { unit: unit.clone(), field };
        let control = match &state.control {
            None => None,
            Some(control) => Some(Control {
                process: records::process_ref(
                    control.process.as_ref().ok_or_else(|| field("control"))?,
                ),
                role: numbers::to_role(control.role).ok_or_else(|| field("role"))?,
                index: control.index as usize,
            }),
        };
        let next = next_source.zip(next).map(|(source, spec)| Arc::new(Loaded { spec, source }));
        let restored = Unit {
            name,
            loaded: Arc::new(Loaded { spec: loaded, source }),
            next,
            state: numbers::to_sub_state(state.state).ok_or_else(|| field("state"))?,
            result: match state.fenced {
                true => UnitResult::Fenced,
                false => numbers::to_result(state.result).ok_or_else(|| field("result"))?,
            },
            reload_result: numbers::to_result(state.reload_result)
                .ok_or_else(|| field("reload result"))?,
            main: state.main.as_ref().map(records::process_ref),
            main_index: state.main_index as usize,
            foreign_main: state.foreign_main,
            control,
            main_exit: match state.main_exit {
                None => None,
                Some(exit) => Some(records::outcome(exit).ok_or_else(|| field("exit"))?),
            },
            restarts: state.restarts,
            flush_restarts: state.flush_restarts,
            forbid_restart: state.forbid_restart,
            start_limit: StartLimit {
                begin: state.limit_begin.map(Duration::from_nanos),
                count: state.limit_count,
            },
            timer: state.timer.map(Duration::from_nanos),
            watchdog: state.watchdog.map(Duration::from_nanos),
            active_since: state.active_since.map(Duration::from_nanos),
            watchdog_span: state.watchdog_span.map(Duration::from_nanos),
            notified: numbers::to_notified(state.notified).unwrap_or(Notified::Nothing),
            populated: state.populated,
            grouped: state.grouped,
            leftover: state.leftover,
            invocation: match state.invocation {
                None => None,
                Some(bytes) => Some(InvocationId(u128::from_be_bytes(
                    bytes.try_into().map_err(|_| field("invocation"))?,
                ))),
            },
            since: UnixMicros(state.since),
            status_text: state.status_text,
            errno: state.errno,
            detail: state.detail,
            job: match state.job {
                None => None,
                Some(job) => Some(records::to_job(job).ok_or_else(|| field("job"))?),
            },
            ordered_at: Duration::from_nanos(state.ordered_at),
        };
        Ok(RestoredUnit(Box::new(restored)))
    }
}
