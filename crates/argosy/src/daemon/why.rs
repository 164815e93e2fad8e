//! `why`: walks from "stored" to "announced" and stops at the first broken link.

use argosy_api::ApiError;
use argosy_api::operator::{WhyLink, WhyReport};
use argosy_model::{ActiveState, ReasonKind, ServiceType, SubState, UnitName, UnitStatus, Want};
use argosy_registry::{Desired, Wanted};

use super::node::Node;
use super::picture::{Picture, is_done};
use super::{edit, journal};

mod next;

/// Journal lines shown for a unit that failed.
const JOURNAL_LINES: u64 = 10;

/// Explains one unit.
pub(crate) async fn explain(node: &Node, name: &UnitName) -> Result<WhyReport, ApiError> {
    let picture = node.picture();
    let unit = picture.unit_with_instances(name).ok_or_else(|| unknown(&picture, name))?;
    let chain = match name.is_template() {
        true => chain_of_template(&picture, name, node.leads()),
        false => chain(&picture, name, node.leads()),
    };
    let broken = chain.iter().find(|link| !link.holds);
    let next = broken.and_then(|link| {
        let url = node.client_urls().first().map(String::as_str);
        let has_leader = node.access().leadership().borrow().leader.is_some();
        let asked = next::Asked { picture: &picture, name, leads: node.leads(), has_leader, url };
        asked.possible(&link.link)
    });
    let broken = broken.map(|link| link.link.clone());
    let stored = picture.view.reasons().get(name);
    let candidates = match broken.as_deref() {
        Some("placed") => stored.map(|r| r.value.candidates.clone()).unwrap_or_default(),
        _ => Vec::new(),
    };
    let journal = match broken.as_deref() {
        Some("started" | "ready") => {
            journal::last(&node.journal_of(name).await?, name.as_str(), JOURNAL_LINES).await?
        }
        _ => Vec::new(),
    };
    Ok(WhyReport { unit, chain, candidates, journal, next })
}

/// Names the template of a unit that is not known, if that is.
fn unknown(picture: &Picture, name: &UnitName) -> ApiError {
    let error = edit::unknown(name);
    let template = name.as_str().strip_suffix(".service").map(|stem| format!("{stem}@.service"));
    let template = template.and_then(|name| UnitName::new(name).ok());
    match template.filter(|it| picture.view.unit(it).is_some()) {
        Some(template) => {
            let stem = template.as_str().trim_end_matches(".service");
            error.with_help(format!("there is a template {template}: argosy why {stem}"))
        }
        None => error,
    }
}

/// A template is as it should be when all of its instances are that are wanted.
fn chain_of_template(picture: &Picture, name: &UnitName, leads: bool) -> Vec<WhyLink> {
    let link =
        |link: &str, holds: bool, sentence: String| WhyLink { link: link.into(), holds, sentence };
    let count = picture.view.replicas(name).unwrap_or(0);
    if let Some(Err(problem)) = picture.view.spec(name) {
        return vec![link("stored", false, format!("its text cannot be used: {problem}"))];
    }
    let mut links = vec![link("stored", true, format!("a template with {count} replicas"))];
    let wanted = |name: &UnitName| {
        let unit = picture.view.look_up(name);
        unit.is_some_and(|unit| !matches!(unit.wanted, Wanted::Stop(_)))
    };
    let instances: Vec<UnitName> =
        picture.instances(name).into_iter().filter(|name| wanted(name)).collect();
    if instances.is_empty() {
        let started = picture.view.unit(name).is_some_and(|it| it.value.desired == Desired::Run);
        if count > 0 && !started {
            links.push(link("wanted", false, "it is not started".into()));
        }
        return links;
    }
    let broken =
        |instance: &UnitName| chain(picture, instance, leads).into_iter().find(|link| !link.holds);
    let broken: Vec<(&UnitName, WhyLink)> =
        instances.iter().filter_map(|name| Some((name, broken(name)?))).collect();
    links.push(match broken.first() {
        None => link("instances", true, format!("all {} are as they should be", instances.len())),
        Some((first, why)) => {
            let sentence = &why.sentence;
            let (bad, all) = (broken.len(), instances.len());
            let whole = format!("{bad} of {all} are not as they should be; {first}: {sentence}");
            link("instances", false, whole)
        }
    });
    links
}

/// `leads`: every machine reports to this one.
fn chain(picture: &Picture, name: &UnitName, leads: bool) -> Vec<WhyLink> {
    let mut chain = Vec::new();
    let mut link = |link: &str, holds: bool, sentence: String| {
        chain.push(WhyLink { link: link.into(), holds, sentence });
        holds
    };
    let Some(unit) = picture.view.look_up(name) else {
        return chain;
    };
    let stored = match &unit.spec {
        Ok(_) => link("stored", true, format!("revision {} of {}", unit.revision, unit.text_of)),
        Err(problem) => link("stored", false, format!("its text cannot be used: {problem}")),
    };
    let wanted = stored
        && match &unit.wanted {
            Wanted::Run => link("wanted", true, "it is wanted to run".into()),
            Wanted::Stop(why) => link("wanted", false, why.clone()),
            Wanted::Unknown(why) => link("wanted", false, why.clone()),
        };
    if !wanted {
        return chain;
    }
    let reason = picture.reason(name).map(|reason| reason.sentence.clone());
    let waiting = || reason.clone().unwrap_or_else(|| "it is about to be placed".into());
    let Some((machine, want)) = picture.machine_of(name) else {
        link("placed", false, waiting());
        return chain;
    };
    let machine_name = picture.machine_name(machine);
    if want == Want::Stop {
        link("placed", false, format!("{machine_name} has not confirmed its stop yet"));
        return chain;
    }
    if picture.is_lost(machine) {
        let lost = || format!("it is on {machine_name}, which is lost");
        link("placed", false, picture.reason(name).map_or_else(lost, |it| it.sentence.clone()));
        return chain;
    }
    link("placed", true, format!("on {machine_name}"));
    let spec = unit.spec.as_ref().ok().map(|spec| spec.as_ref());
    if let Some((holds, sentence)) = picture.prepared(machine, name, spec)
        && !link("prepared", holds, sentence)
    {
        return chain;
    }
    if let Some(why) = picture.refusal(machine, name) {
        link("started", false, why.to_owned());
        return chain;
    }
    if let Some(what) = picture.awaited(machine, name) {
        link("started", false, format!("{machine_name} does not start it yet: {what}"));
        return chain;
    }
    let Some(status) = picture.status(machine, name) else {
        let why = match leads {
            true => format!("{machine_name} has not reported on it yet"),
            false => format!("no leader answers, so what {machine_name} does is not known here"),
        };
        link("started", false, why);
        return chain;
    };
    if is_done(spec, status) {
        link("started", true, "it has run to its end, as a oneshot does".into());
        return chain;
    }
    let (started, sentence) = started(status);
    if !link("started", started, sentence) {
        return chain;
    }
    let (ready, sentence) = ready(status, spec.map(|spec| spec.service.service_type));
    if !link("ready", ready, sentence) {
        return chain;
    }
    let endpoint = picture.view.endpoints().values().find(|e| &e.value.unit == name);
    if spec.is_some_and(|spec| !spec.traffic.endpoints.is_empty()) {
        let unrouted = picture.reason(name).filter(|reason| reason.kind == ReasonKind::NotRouted);
        let services = endpoint.map(|stored| stored.value.services.as_slice()).unwrap_or_default();
        let places = services.iter().map(|one| format!("{} at {}", one.service, one.address));
        let places: Vec<String> = places.collect();
        let (holds, sentence) = match unrouted {
            Some(reason) => (false, reason.sentence.clone()),
            None if places.is_empty() => (false, "its endpoint is not published yet".into()),
            None => (true, places.join(", ")),
        };
        if !link("routed", holds, sentence) {
            return chain;
        }
    }
    if let Some(announce) = spec.and_then(|spec| spec.announce.clone()) {
        let lost = picture
            .reason(name)
            .filter(|reason| reason.kind == ReasonKind::NotAnnounced)
            .map(|reason| reason.sentence.clone());
        match endpoint.filter(|_| lost.is_none()) {
            Some(e) => link("announced", true, format!("{} = {}", e.value.key, e.value.value)),
            None => {
                let waiting = || format!("{} is not written yet", announce.key);
                link("announced", false, lost.unwrap_or_else(waiting))
            }
        };
    }
    chain
}

fn started(status: &UnitStatus) -> (bool, String) {
    let detail = match status.detail.as_str() {
        "" => String::new(),
        detail => format!(": {detail}"),
    };
    // The detail says how the process ended, if it says anything.
    let exit = status.main_exit.filter(|_| status.detail.is_empty());
    let exit = exit.map_or_else(String::new, |exit| format!(", its process {exit}"));
    match status.active() {
        ActiveState::Failed => {
            (false, format!("it failed with result {}{exit}{detail}", status.result))
        }
        ActiveState::Inactive if status.invocation.is_none() => {
            (false, format!("it has not been started yet{detail}"))
        }
        ActiveState::Inactive => (false, format!("it has ended{exit}{detail}")),
        ActiveState::Deactivating => {
            (false, format!("it is being stopped ({}){detail}", status.sub))
        }
        ActiveState::Activating if status.sub == SubState::AutoRestart => {
            (false, format!("it ended{exit} and is started again after its pause{detail}"))
        }
        ActiveState::Activating | ActiveState::Active | ActiveState::Reloading => {
            let pid = status.main_pid.map_or_else(String::new, |pid| format!(" as process {pid}"));
            (true, format!("{} ({}){pid}", status.active(), status.sub))
        }
    }
}

fn ready(status: &UnitStatus, service_type: Option<ServiceType>) -> (bool, String) {
    let waits = match (status.active(), status.sub, service_type) {
        (ActiveState::Active | ActiveState::Reloading, ..) => {
            let said = status.status_text.as_ref();
            let text = said.map_or_else(|| "it is active".into(), |it| format!("it says: {it}"));
            return (true, text);
        }
        (_, SubState::Start, Some(ServiceType::Notify)) => "it has not said READY=1",
        (_, SubState::Start, Some(ServiceType::Oneshot)) => "its ExecStart= has not ended",
        (_, SubState::Condition, _) => "its ExecCondition= has not ended",
        (_, SubState::StartPre, _) => "its ExecStartPre= has not ended",
        (_, SubState::StartPost, _) => "its ExecStartPost= has not ended",
        _ => "it is being started",
    };
    (false, format!("it is started and not yet ready: {waits} ({})", status.sub))
}
