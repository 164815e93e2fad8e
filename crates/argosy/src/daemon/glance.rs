//! This machine and its cluster at a glance, and what is wrong with them.

use std::time::{Duration, SystemTime};

use argosy_api::operator::{ClusterNumbers, ClusterReport};
use argosy_model::ActiveState;
use argosy_registry::Wanted;
use argosy_store::LinkState;

use super::certificate;
use super::node::Node;
use super::picture::{Picture, is_done};
use super::store_access::StoreAccess;
use crate::failure::chain;

/// A supervisor that lists its units slower than this has a problem that is worth showing.
const SUPERVISOR_ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long the leader is waited for, which alone has every machine's report.
const LEADER_ANSWER_MAX: Duration = Duration::from_secs(2);

/// Returns what this machine knows of the cluster, and what is wrong with it.
pub(crate) async fn report(node: &Node) -> (ClusterReport, Vec<String>) {
    let picture = node.picture();
    let leadership = *node.access().leadership().borrow();
    let (asked, supervisor) = tokio::join!(leaders_numbers(node), supervisor_problem(node));
    let mut problems = Vec::new();
    if leadership.leader.is_none() {
        problems.push("the store has no leader: nothing can be changed".to_owned());
    }
    let (ends, is_member) = (node.port().certificate_ends(), node.membership().is_member());
    problems.extend(certificate::problem(ends, SystemTime::now(), is_member));
    problems.extend(supervisor);
    let numbers = match asked {
        Ok(numbers) => numbers,
        Err(problem) => {
            problems.extend(problem);
            if node.access().member().is_none() {
                let only = "only this machine's own units are counted, and the store is not asked";
                problems.push(only.to_owned());
            }
            numbers(node)
        }
    };
    problems.extend(store_problems(node, &picture));
    for (key, problem) in picture.view.unreadable() {
        problems.push(format!("the record {key} cannot be read: {problem}"));
    }
    problems.extend(picture.full_machines().map(|machine| {
        let name = picture.machine_name(machine);
        let used = picture.disk_used_percent(machine);
        let used = used.map_or_else(String::new, |used| format!(" ({used} %)"));
        format!("the disk of {name} is full{used}: it takes no new units")
    }));
    problems.extend(node.followers().problems());
    for report in picture.reports.values() {
        let machine = picture.machine_name(report.machine);
        let orphan = |unit| format!("{unit} runs on {machine} and belongs to nobody");
        problems.extend(report.orphans.iter().map(orphan));
    }
    let leader = leadership.leader.map(|member| match node.port().book().member(member) {
        Some(place) => picture.machine_name(place.machine),
        None => format!("member {}", member.0),
    });
    let membership = node.membership();
    let report = ClusterReport {
        cluster_id: membership.cluster_id.to_string(),
        machine_name: membership.name.clone(),
        worker: !membership.is_member(),
        voters: u32::try_from(node.access().voters().len()).unwrap_or(u32::MAX),
        leader,
        term: leadership.term.0,
        revision: numbers.revision,
        units_wanted: numbers.units_wanted,
        units_active: numbers.units_active,
        units_done: numbers.units_done,
        client_urls: node.client_urls().to_vec(),
        timing: membership.timing.to_string(),
        granted: node.is_granted(),
    };
    (report, problems)
}

/// Returns what the leader knows; an error says why it did not answer, if there is one.
async fn leaders_numbers(node: &Node) -> Result<ClusterNumbers, Option<String>> {
    let Some(leader) = node.other_leader() else {
        return Err(None);
    };
    let asked = leader.get::<ClusterNumbers>("/operator/v1/cluster");
    match tokio::time::timeout(LEADER_ANSWER_MAX, asked).await {
        Ok(Ok(numbers)) => Ok(numbers),
        Ok(Err(error)) => Err(Some(format!("the leader does not answer: {}", chain(&error)))),
        Err(_) => Err(Some("the leader does not answer in time".to_owned())),
    }
}

/// Returns what can be counted here: all of it on the leader, else what this machine has seen.
pub(crate) fn numbers(node: &Node) -> ClusterNumbers {
    let picture = node.picture();
    let (mut wanted, mut active, mut done) = (0, 0, 0);
    for name in picture.view.unit_names() {
        let unit = picture.view.look_up(&name).filter(|unit| unit.wanted == Wanted::Run);
        let Some(unit) = unit else {
            continue;
        };
        wanted += 1;
        let machine = picture.machine_of(&name).map(|(machine, _)| machine);
        let status = machine.and_then(|machine| picture.status(machine, &name));
        let is_active = status.is_some_and(|status| status.active() == ActiveState::Active);
        active += u32::from(is_active);
        let spec = unit.spec.as_ref().ok().map(|spec| spec.as_ref());
        done += u32::from(status.is_some_and(|status| is_done(spec, status)));
    }
    let store = node.access().member();
    let revision = store.map_or(0, |store| store.status().revisions.user);
    ClusterNumbers {
        revision: revision.try_into().unwrap_or_default(),
        units_wanted: wanted,
        units_active: active,
        units_done: done,
    }
}

async fn supervisor_problem(node: &Node) -> Option<String> {
    let asked = node.supervisor().get::<serde_json::Value>("/v1/units");
    match tokio::time::timeout(SUPERVISOR_ANSWER_MAX, asked).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("the supervisor does not answer: {}", chain(&error))),
        Err(_) => Some("the supervisor does not answer in time".to_owned()),
    }
}

fn store_problems(node: &Node, picture: &Picture) -> Vec<String> {
    let store = match node.access() {
        StoreAccess::Member(store) => store,
        StoreAccess::Worker(feed) => return feed.problem().into_iter().collect(),
    };
    let down = store.links().into_iter().filter_map(|link| match link.state {
        LinkState::Down { why } => Some((link.member, why)),
        _ => None,
    });
    down.map(|(member, why)| {
        let machine = node.port().book().member(member);
        let name = machine.map(|place| picture.machine_name(place.machine));
        let name = name.unwrap_or_else(|| format!("member {}", member.0));
        format!("{name} cannot be reached by the store: {why}")
    })
    .collect()
}
