//! Scaling: how many instances of a template are wanted, and the wait until they are there.

use std::time::Duration;

use argosy_api::operator::{ScaleReply, ScaleRequest, UnitView};
use argosy_api::{ApiError, ErrorCode};
use argosy_model::UnitName;
use argosy_registry::{ChangeError, Desired};

use super::edit::{WAIT_SECONDS_MAX, change, is_settled, unknown, wait_until};
use super::node::Node;
use super::picture::Picture;

/// Sets how many instances a template has and, if asked to, waits until those that come are
/// there and those that go are gone.
pub(crate) async fn scale(
    node: &Node,
    name: &UnitName,
    request: ScaleRequest,
) -> Result<ScaleReply, ApiError> {
    let replicas = request.replicas;
    let picture = node.fresh_picture().await?;
    check_known(&picture, name)?;
    let before = picture.view.replicas(name).unwrap_or(0);
    change(node, |edit| edit.scale(name, replicas)).await?;
    let numbers = instances(name, replicas.max(before));
    if request.verb.wait {
        let limit = Duration::from_secs(request.verb.timeout_seconds.min(WAIT_SECONDS_MAX));
        let settled = |picture: &Picture| unsettled(picture, &numbers).is_none();
        if !wait_until(node, limit, settled).await? {
            return Err(not_in_time(&node.picture(), name, &numbers));
        }
    }
    reply(&node.picture(), name, before).ok_or_else(|| unknown(name))
}

/// Refuses what is not there; a unit that is known by the name without `@` is no template.
fn check_known(picture: &Picture, name: &UnitName) -> Result<(), ApiError> {
    if !name.is_template() || picture.unit(name).is_some() {
        return Ok(());
    }
    let plain = UnitName::new(format!("{}.service", name.prefix())).ok();
    match plain.filter(|plain| picture.unit(plain).is_some()) {
        Some(unit) => {
            let error = ChangeError::NotATemplate { unit };
            Err(ApiError::from_chain(ErrorCode::BadInput, &error))
        }
        None => Err(unknown(name)),
    }
}

fn instances(template: &UnitName, count: u32) -> Vec<UnitName> {
    (1..=count).filter_map(|number| template.with_instance(&number.to_string()).ok()).collect()
}

fn not_in_time(picture: &Picture, name: &UnitName, instances: &[UnitName]) -> ApiError {
    let late = unsettled(picture, instances).unwrap_or(name);
    let reason = picture.reason(late).map(|reason| format!(": {}", reason.sentence));
    let what = format!("{late} is not where it is wanted{}", reason.unwrap_or_default());
    ApiError::new(ErrorCode::TimedOut, format!("the scaling of {name} is not done yet: {what}"))
        .with_help(format!("it goes on; ask why: argosy why {late}"))
}

/// Returns the first instance that is not where it is wanted yet.
fn unsettled<'n>(picture: &Picture, instances: &'n [UnitName]) -> Option<&'n UnitName> {
    instances.iter().find(|instance| !is_settled(picture, instance))
}

fn reply(picture: &Picture, name: &UnitName, before: u32) -> Option<ScaleReply> {
    let template = picture.unit(name)?;
    let now = instances(name, template.replicas.unwrap_or(0));
    let instances: Vec<UnitView> =
        now.iter().filter_map(|instance| picture.unit(instance)).collect();
    let stored = &picture.view.unit(name)?.value;
    Some(ScaleReply { template, before, started: stored.desired == Desired::Run, instances })
}

/// Tells, of a template that was handed in, that it keeps a number its text does not say.
pub(crate) fn note(picture: &Picture, name: &UnitName) -> Option<String> {
    let template = picture.unit(name).filter(|_| name.is_template())?;
    let (replicas, in_text) = (template.replicas?, template.text_replicas?);
    Some(format!("note: {name} stays scaled to {replicas}; its text says {in_text}"))
}
