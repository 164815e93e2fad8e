//! What the control loop has done about traffic by tasks of its own: units tried, proxies waited
//! for, ports looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use argosy_model::{HealthCheck, InvocationId, UnitName};
use argosy_reconcile::{AgentEvent, WITHDRAW_MAX, unacknowledged};
use argosy_registry::{PORTS, Revision};
use argosy_store::Leadership;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::machine_port::MachinePort;
use super::picture::Picture;
use crate::failure::chain;

/// Events that wait for the control loop: one for each unit a machine may have, and room.
const EVENTS_WAITING_MAX: usize = 4_096;
/// The first and the longest pause between two tries to connect to a unit.
const TRY_FIRST: Duration = Duration::from_millis(5);
const TRY_LAST: Duration = Duration::from_millis(200);
/// How long one check may take, as for the proxies.
const CHECK_MAX: Duration = Duration::from_secs(1);
/// How long a unit is tried before the agent is asked whether it still runs.
const TRY_FOR: Duration = Duration::from_secs(10);
/// The pause before a leader that is away is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How often the machine's ports are looked at. A port that is taken between two looks is found
/// taken by the unit itself, and the next run gets another.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Clone)]
pub(crate) struct Whom {
    pub(crate) port: MachinePort,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) pictures: watch::Receiver<Picture>,
    /// What the proxies of this machine follow.
    pub(crate) followed: watch::Receiver<Option<Revision>>,
}

/// The tasks, and what they tell the agent.
pub(crate) struct Traffic {
    whom: Whom,
    tasks: JoinSet<()>,
    tries: BTreeMap<UnitName, AbortHandle>,
    tell: mpsc::Sender<AgentEvent>,
    told: mpsc::Receiver<AgentEvent>,
}

impl Traffic {
    /// Begins to look at ports and at this machine's proxies.
    pub(crate) fn new(whom: Whom) -> Traffic {
        let (tell, told) = mpsc::channel(EVENTS_WAITING_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_proxies(whom.followed.clone(), tell.clone()));
        tasks.spawn(look_at_ports(tell.clone()));
        Traffic { whom, tasks, tries: BTreeMap::new(), tell, told }
    }

    /// Returns the next event for the agent.
    pub(crate) async fn next(&mut self) -> AgentEvent {
        loop {
            // This end holds a sender, so there is always one.
            if let Some(event) = self.told.recv().await {
                while self.tasks.try_join_next().is_some() {}
                return event;
            }
        }
    }

    /// Says when every reachable proxy follows a revision. It is given up when a stop would not
    /// wait for it any more.
    pub(crate) fn wait(&mut self, revision: Revision) {
        let (whom, tell) = (self.whom.clone(), self.tell.clone());
        self.tasks.spawn(async move {
            if timeout(WITHDRAW_MAX, everybody_follows(whom, revision)).await.is_ok() {
                // The control loop is gone only together with this task.
                drop(tell.send(AgentEvent::Acknowledged(revision)).await);
            }
        });
    }

    /// Tries a unit, until it answers or once.
    pub(crate) fn attempt(
        &mut self,
        unit: UnitName,
        run: InvocationId,
        checks: Vec<(SocketAddr, HealthCheck)>,
        until_it_answers: bool,
    ) {
        let (tell, name) = (self.tell.clone(), unit.clone());
        let task = self.tasks.spawn(async move {
            let answers = match until_it_answers {
                true => answer_in_time(&checks).await,
                false => all_answer(&checks).await,
            };
            drop(tell.send(AgentEvent::Probed { unit, run, answers }).await);
        });
        if let Some(earlier) = self.tries.insert(name, task) {
            earlier.abort();
        }
        self.tries.retain(|_, task| !task.is_finished());
    }
}

/// Tries until all answer or the time is over; returns what became of the last try.
async fn answer_in_time(checks: &[(SocketAddr, HealthCheck)]) -> Result<(), String> {
    let (until, mut pause) = (Instant::now() + TRY_FOR, TRY_FIRST);
    loop {
        let answer = all_answer(checks).await;
        if answer.is_ok() || Instant::now() + pause >= until {
            return answer;
        }
        sleep(pause).await;
        pause = (pause * 2).min(TRY_LAST);
    }
}

async fn all_answer(checks: &[(SocketAddr, HealthCheck)]) -> Result<(), String> {
    for (address, check) in checks {
        let answer = argosy_proxy::check(*address, check, CHECK_MAX).await;
        answer.map_err(|error| chain(&error))?;
    }
    Ok(())
}

async fn everybody_follows(whom: Whom, revision: Revision) {
    let mut leadership = whom.leadership.clone();
    loop {
        let now = *leadership.borrow_and_update();
        let reached = async {
            match now.leader {
                _ if now.is_leader => is_followed(whom.pictures.clone(), revision).await,
                Some(leader) => {
                    let client = whom.port.client_of_member(leader);
                    let path = format!("/v1/acknowledged?revision={revision}");
                    client.get::<bool>(&path).await.unwrap_or_default()
                }
                None => false,
            }
        };
        tokio::select! {
            reached = reached => {
                if reached {
                    return;
                }
                sleep(ASK_AGAIN).await;
            }
            // Another one leads: its reports count.
            changed = leadership.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Waits until the reports that this leader has say that every proxy follows a revision; false
/// if they do not within the time a stop may wait.
pub(crate) async fn is_followed(
    mut pictures: watch::Receiver<Picture>,
    revision: Revision,
) -> bool {
    let followed = pictures
        .wait_for(|picture| unacknowledged(&picture.view, &picture.reports, revision).is_empty());
    matches!(timeout(WITHDRAW_MAX, followed).await, Ok(Ok(_)))
}

async fn follow_proxies(
    mut followed: watch::Receiver<Option<Revision>>,
    tell: mpsc::Sender<AgentEvent>,
) {
    loop {
        let now = *followed.borrow_and_update();
        if tell.send(AgentEvent::Followed(now)).await.is_err() || followed.changed().await.is_err()
        {
            return;
        }
    }
}

async fn look_at_ports(tell: mpsc::Sender<AgentEvent>) {
    let mut before = None;
    loop {
        let found = tokio::task::spawn_blocking(listening_ports).await.unwrap_or_default();
        if before.as_ref() != Some(&found) {
            before = Some(found.clone());
            if tell.send(AgentEvent::Listening(found)).await.is_err() {
                return;
            }
        }
        let next = Instant::now() + LOOK_EVERY;
        tokio::time::sleep_until(next).await;
    }
}

/// Reads which ports of the range for `auto` something listens on (proc_net(5), tcp).
fn listening_ports() -> BTreeSet<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    texts.iter().flat_map(|text| text.lines().filter_map(listening_port)).collect()
}

fn listening_port(line: &str) -> Option<u16> {
    const LISTEN: &str = "0A";
    let mut words = line.split_whitespace().skip(1);
    let local = words.next()?;
    let state = words.nth(1)?;
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (state == LISTEN && PORTS.contains(&port)).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_of_the_range_are_found() {
        let line = |state: &str, port: u16| {
            format!("   0: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000")
        };
        assert_eq!(listening_port(&line("0A", 20_001)), Some(20_001));
        assert_eq!(listening_port(&line("01", 20_001)), None);
        assert_eq!(listening_port(&line("0A", 8_080)), None);
        assert_eq!(listening_port("  sl  local_address rem_address   st"), None);
    }
}
