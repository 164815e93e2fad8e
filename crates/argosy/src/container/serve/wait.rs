//! Waiting for the end of a container. docker's `run` asks before it starts the container, and wants to
//! know that it is heard at once.

use std::io;
use std::time::{Duration, Instant};

use argosy_container::{ContainerError, ContainerId, Exit, State};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Server;
use super::answer::{Answer, Refusal, in_thread, stream};
use super::call::Call;
use super::containers::{find, look};
use crate::container::events::Reader;
use crate::container::{EXIT_NOT_MADE, Engine};

/// How often the events are looked at. The end of a container costs some milliseconds itself.
const LOOK: Duration = Duration::from_millis(20);
/// How often the container is, of which no event tells: a start that failed, a removal.
const LOOK_WHOLE: Duration = Duration::from_millis(500);
/// docker's word of a container whose end nobody saw.
const LOST: u8 = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    NotRunning,
    NextExit,
    Removed,
}

pub(super) async fn wait(server: &Server, call: &Call, name: &str) -> Answer {
    let until = match call.query.get("condition") {
        None | Some("not-running") => Until::NotRunning,
        Some("next-exit") => Until::NextExit,
        Some("removed") => Until::Removed,
        Some(other) => return Err(Refusal::bad(format!("invalid condition: \"{other}\""))),
    };
    let (engine, name) = (server.engine.clone(), name.to_owned());
    let (engine, id, mut ends, before) = in_thread(move || {
        let id = find(&engine, &name)?;
        // First: an end that comes between the two is seen here.
        let ends = engine
            .events
            .read_new()
            .map_err(|error| Refusal::failed(format!("cannot read the events: {error}")))?;
        let before = look(&engine, &id)?.state;
        Ok((engine, id, ends, before))
    })
    .await?;
    let (sender, response) = stream("application/json");
    server.tasks.spawn(async move {
        let mut waiter = Waiter { before, until, seen: None };
        let mut looked: Option<Instant> = None;
        loop {
            // Events that cannot be read are lost; the container's own record is there.
            if let Ok(Some(code)) = ended(&mut ends, &id) {
                waiter.seen = Some(code);
            }
            if waiter.seen.is_some() || looked.is_none_or(|it| it.elapsed() > LOOK_WHOLE) {
                looked = Some(Instant::now());
                if let Some(answer) = waiter.look(&engine, &id).await {
                    // Who has left meanwhile does not want to know.
                    drop(sender.send(Bytes::from(answer.to_string() + "\n")).await);
                    return;
                }
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = sender.closed() => return,
            }
        }
    });
    Ok(response)
}

/// Returns how a container has ended, if it has since it was asked last: its own record goes with it if
/// its end takes it away.
fn ended(events: &mut Reader, id: &ContainerId) -> io::Result<Option<u8>> {
    while let Some(event) = events.next()? {
        if event.is(id, "die") {
            return Ok(Some(event.exit_code().unwrap_or(LOST)));
        }
    }
    Ok(None)
}

struct Waiter {
    /// What the container did when the waiting began.
    before: State,
    until: Until,
    /// How it has ended meanwhile.
    seen: Option<u8>,
}

impl Waiter {
    /// Looks what the container does; returns the answer, if there is one by now.
    async fn look(&self, engine: &Engine, id: &ContainerId) -> Option<Value> {
        let (engine, id) = (engine.clone(), id.clone());
        let looked = in_thread(move || {
            Ok(match engine.containers.inspect(&id) {
                // Its monitor is about to say how it has ended.
                Ok(it) if it.state == State::Lost && engine.containers.is_held(&id) => None,
                Ok(it) => Some(Some(it.state)),
                Err(ContainerError::NotFound { .. }) => Some(None),
                Err(error) => return Err(error.into()),
            })
        });
        match looked.await {
            Ok(state) => self.decide(state?),
            Err(refusal) => Some(answer(LOST, Some(refusal.message))),
        }
    }

    /// Decides by what is known of the container, which may be gone.
    fn decide(&self, state: Option<State>) -> Option<Value> {
        let Some(state) = state else {
            return Some(match self.seen {
                Some(code) => answer(code, None),
                // It was removed, or could not be made, before it ran.
                None if self.before == State::Created => answer(EXIT_NOT_MADE, None),
                None => answer(LOST, Some("it is gone, and nobody saw its end".to_owned())),
            });
        };
        let is_live = state.is_live();
        let own = match &state {
            State::Exited(Exit { code, .. }) => Some(*code),
            State::Lost => Some(LOST),
            _ => None,
        };
        let ended = match self.until {
            Until::NotRunning if !is_live => Some(self.seen.or(own).unwrap_or(0)),
            // Its end, or a start that has failed, is another one than before.
            Until::NextExit if !is_live => self.seen.or(own.filter(|_| self.before != state)),
            Until::NextExit => self.seen,
            Until::NotRunning | Until::Removed => None,
        };
        ended.map(|code| answer(code, None))
    }
}

fn answer(code: u8, error: Option<String>) -> Value {
    let error = error.map_or(Value::Null, |it| json!({ "Message": it }));
    json!({ "StatusCode": code, "Error": error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: u8, finished_ms: u64) -> State {
        let (error, clamped) = (None, Vec::new());
        State::Exited(Exit { code, oom_killed: false, error, started_ms: 0, finished_ms, clamped })
    }

    #[test]
    fn an_end_is_told_when_it_is_the_one_that_was_asked_for() {
        let told = |before: State, until, seen, now: Option<State>| {
            let answer = Waiter { before, until, seen }.decide(now)?;
            answer["StatusCode"].as_u64()
        };
        use Until::{NextExit, NotRunning, Removed};
        assert_eq!(told(State::Created, NotRunning, None, Some(State::Created)), Some(0));
        assert_eq!(told(State::Running, NotRunning, None, Some(State::Running)), None);
        assert_eq!(told(State::Running, NotRunning, None, Some(exited(3, 1))), Some(3));
        // A container that has not begun, or had ended before, is waited for.
        assert_eq!(told(State::Created, NextExit, None, Some(State::Created)), None);
        assert_eq!(told(exited(3, 1), NextExit, None, Some(exited(3, 1))), None);
        assert_eq!(told(exited(3, 1), NextExit, None, Some(exited(3, 2))), Some(3));
        // It was so fast that it runs again, or is gone.
        assert_eq!(told(State::Created, NextExit, Some(4), Some(State::Running)), Some(4));
        assert_eq!(told(State::Created, NextExit, Some(4), None), Some(4));
        assert_eq!(told(State::Created, Removed, Some(4), Some(exited(4, 1))), None);
        assert_eq!(told(State::Created, Removed, Some(4), None), Some(4));
        assert_eq!(told(State::Created, Removed, None, None), Some(125));
        assert_eq!(told(State::Running, Removed, None, None), Some(255));
        assert_eq!(told(State::Running, NotRunning, Some(4), Some(State::Lost)), Some(4));
    }
}
