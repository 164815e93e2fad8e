//! Changes that users ask for: guarded by what was read, tried again when others were faster.

use std::time::Duration;

use argosy_api::operator::{SubmitReply, SubmitRequest, SubmittedUnit, UnitView, VerbRequest};
use argosy_api::{ApiError, ErrorCode};
use argosy_model::{ActiveState, ReasonKind, UnitName, UnitResult, UnitStatus, Want};
use argosy_reconcile::ended_by_fence;
use argosy_registry::{ChangeError, Edit, Outcome, Submitted, Wanted};
use argosy_unit::{HandedIn, Severity};

use super::bound;
use super::clock::now;
use super::node::Node;
use super::picture::Picture;
use super::scale;
use super::store_access::propose;

/// Attempts before a change gives up: each loses only to somebody else's success.
const ATTEMPTS_MAX: usize = 10;

/// Long enough for the default `TimeoutStopSec=` of 90 s, twice over.
const DESTROY_MAX: Duration = Duration::from_secs(200);

/// Longest wait that a request may ask for: a day.
pub(crate) const WAIT_SECONDS_MAX: u64 = 86_400;

/// Makes a change and returns when it is stored and the control loop has seen it.
pub(crate) async fn change<T>(
    node: &Node,
    mut make: impl FnMut(&mut Edit<'_>) -> Result<T, ChangeError>,
) -> Result<T, ApiError> {
    for _ in 0..ATTEMPTS_MAX {
        let picture = node.fresh_picture().await?;
        let mut edit = Edit::new(&picture.view);
        let made = make(&mut edit).map_err(refused)?;
        let Some(txn) = edit.finish() else {
            return Ok(made);
        };
        if !argosy_registry::fits(&txn) {
            let message = "the change is too large for one transaction";
            return Err(ApiError::new(ErrorCode::BadInput, message)
                .with_help("hand in fewer unit files at once"));
        }
        match propose(node.store()?, txn).await {
            Outcome::Done(_) => {
                node.fresh_picture().await?;
                return Ok(made);
            }
            Outcome::Conflict(_) => {}
            Outcome::Unknown => {
                let message = "the store did not say whether the change was made";
                return Err(ApiError::new(ErrorCode::TimedOut, message)
                    .with_help("look at it and try again: the same change twice does no harm"));
            }
        }
    }
    Err(ApiError::new(ErrorCode::Conflict, "others keep changing the same units; try again"))
}

pub(crate) fn refused(error: ChangeError) -> ApiError {
    let code = match error {
        ChangeError::UnknownUnit { .. } | ChangeError::UnknownMachine { .. } => ErrorCode::NotFound,
        ChangeError::TextTooLong { .. }
        | ChangeError::Template { .. }
        | ChangeError::NotATemplate { .. }
        | ChangeError::TooManyReplicas { .. } => ErrorCode::BadInput,
        _ => ErrorCode::Conflict,
    };
    ApiError::from_chain(code, &error)
}

/// Checks unit files whole, then stores them all in one transaction.
pub(crate) async fn submit(
    node: &Node,
    request: SubmitRequest,
    author: &str,
) -> Result<SubmitReply, ApiError> {
    let picture = node.fresh_picture().await?;
    let (units, notes) = check(&picture, &request)?;
    let names: Vec<UnitName> = units.iter().map(|(name, _)| name.clone()).collect();
    if request.dry_run {
        return Ok(SubmitReply { units: Vec::new(), notes });
    }
    let at = now();
    let submitted = change(node, |edit| {
        let mut results = Vec::new();
        for (name, text) in &units {
            results.push(edit.submit(name, text, author, at, None)?);
            if request.start {
                edit.start(name)?;
            }
        }
        Ok(results)
    })
    .await?;
    let unit = |(name, submitted): (&UnitName, Submitted)| {
        let (revision, change) = match submitted {
            Submitted::Unchanged(revision) => (revision, "unchanged"),
            Submitted::New(revision) if picture.text(name).is_none() => (revision, "created"),
            Submitted::New(revision) => (revision, "changed"),
        };
        SubmittedUnit { name: name.to_string(), revision: revision.0, change: change.into() }
    };
    let mut notes = notes;
    notes.extend(names.iter().filter_map(|name| scale::note(&node.picture(), name)));
    Ok(SubmitReply { units: names.iter().zip(submitted).map(unit).collect(), notes })
}

/// A unit and its text.
type NamedText = (UnitName, String);

/// Refuses the whole submit if any file has an error. Returns the units and what to tell.
fn check(
    picture: &Picture,
    request: &SubmitRequest,
) -> Result<(Vec<NamedText>, Vec<String>), ApiError> {
    let bad = |message: String| ApiError::new(ErrorCode::BadInput, message);
    let mut given = Vec::new();
    for file in &request.files {
        let name = UnitName::new(file.name.clone()).map_err(|error| bad(error.to_string()))?;
        given.push((name, file.file.as_str(), file.text.as_str()));
    }
    let mut units: Vec<(UnitName, &str, String)> = Vec::new();
    for (name, file, text) in joined(&given)? {
        if units.iter().any(|(other, ..)| *other == name) {
            return Err(bad(format!("{name} is handed in twice")));
        }
        can_run(&name)?;
        units.push((name, file, text));
    }
    let names: Vec<&UnitName> = units.iter().map(|(name, ..)| name).collect();
    let stored =
        |name: &UnitName| picture.view.unit(name).is_some_and(|stored| !stored.value.destroyed);
    let known = |name: &UnitName| names.contains(&name) || stored(name);
    let (mut errors, mut notes) = (Vec::new(), Vec::new());
    for (name, file, text) in &units {
        for diagnostic in argosy_unit::check(file, text, name, &known).diagnostics {
            match diagnostic.severity {
                Severity::Error => errors.push(diagnostic.to_string()),
                Severity::Warning | Severity::Note => notes.push(diagnostic.to_string()),
            }
        }
    }
    if !errors.is_empty() {
        return Err(bad(errors.join("\n")));
    }
    Ok((units.into_iter().map(|(name, _, text)| (name, text)).collect(), notes))
}

/// Returns the units that files are: Quadlet files become services, what these need goes into them.
fn joined<'f>(
    files: &[(UnitName, &'f str, &'f str)],
) -> Result<Vec<(UnitName, &'f str, String)>, ApiError> {
    let handed_in: Vec<HandedIn<'_>> =
        files.iter().map(|(name, file, text)| HandedIn { name, file, text }).collect();
    let services = argosy_unit::join(&handed_in).map_err(|wrong| {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        ApiError::new(ErrorCode::BadInput, lines.join("\n"))
    })?;
    let unit = |(name, file, text): &(UnitName, &'f str, &'f str)| {
        if !name.kind().is_quadlet() {
            return Some((name.clone(), *file, (*text).to_owned()));
        }
        let service = services.iter().find(|it| it.source == *name)?;
        Some((service.name.clone(), *file, service.text.clone()))
    };
    Ok(files.iter().filter_map(unit).collect())
}

/// Refuses a unit that may be checked but not started.
pub(crate) fn can_run(name: &UnitName) -> Result<(), ApiError> {
    match argosy_unit::no_unit(name) {
        Some(why) => Err(ApiError::new(ErrorCode::BadInput, why)
            .with_help(format!("name that: argosy status {}", name.stem()))),
        None => Ok(()),
    }
}

/// Changes what is wanted of a unit, and waits for it if asked to.
pub(crate) async fn verb(
    node: &Node,
    name: &UnitName,
    verb: &str,
    request: VerbRequest,
) -> Result<UnitView, ApiError> {
    can_run(name)?;
    let picture = node.fresh_picture().await?;
    let others = bound::meant_too(&picture.view, name, verb);
    let before = picture.current_status(name).cloned();
    let ended = before.as_ref().filter(|status| is_over(status));
    let starts_anew = verb == "restart" || (verb == "start" && ended.is_some());
    let old_run = before.as_ref().and_then(|status| status.invocation).filter(|_| starts_anew);
    // Wanted already, and over: it is asked for one more run.
    let start = |edit: &mut Edit<'_>, unit: &UnitName| match picture.current_status(unit) {
        Some(ended) if is_over(ended) => edit.start_again(unit, ended),
        _ => edit.start(unit),
    };
    match verb {
        "wait" => {}
        "start" | "stop" | "restart" => {
            change(node, |edit| {
                match verb {
                    "start" => start(edit, name)?,
                    "stop" => edit.stop(name)?,
                    _ => edit.restart(name)?,
                }
                let stops = verb == "stop";
                others.iter().try_for_each(|it| if stops { edit.stop(it) } else { start(edit, it) })
            })
            .await?;
        }
        _ => {
            let message = format!("units cannot be told to {verb}");
            return Err(ApiError::new(ErrorCode::BadInput, message));
        }
    }
    if request.wait {
        let settled = |picture: &Picture| {
            let status = picture.current_status(name);
            let run = status.and_then(|status| status.invocation);
            // A restarted unit is settled in its next run, not still in its old one; nor while what
            // an earlier keeper left of it is being ended.
            let is_left_over = starts_anew && status.is_some_and(is_left_over);
            // Started too often: there is no next run.
            let refused = status.is_some_and(|it| it.result == UnitResult::StartLimitHit);
            let is_next = old_run.is_none() || run != old_run || refused;
            let are_others = || others.iter().all(|other| unsettled(picture, other).is_none());
            is_next && !is_left_over && unsettled(picture, name).is_none() && are_others()
        };
        let limit = Duration::from_secs(request.timeout_seconds.min(WAIT_SECONDS_MAX));
        if !wait_until(node, limit, settled).await? {
            let picture = node.picture();
            let late = |it: &&UnitName| unsettled(&picture, it).is_some();
            let late = std::iter::once(name).chain(&others).find(late).unwrap_or(name);
            return Err(not_in_time(&picture, late, verb));
        }
    }
    node.picture().unit_with_instances(name).ok_or_else(|| unknown(name))
}

/// Tells whether the last run of a unit is over.
fn is_over(status: &UnitStatus) -> bool {
    matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
}

/// Returns the unit if it is not settled; of a template, the first instance that is not.
fn unsettled(picture: &Picture, name: &UnitName) -> Option<UnitName> {
    let names = if name.is_template() { picture.instances(name) } else { vec![name.clone()] };
    names.into_iter().find(|name| !is_settled(picture, name))
}

/// Waits until something is so; false if it is not within the limit.
pub(super) async fn wait_until(
    node: &Node,
    limit: Duration,
    is_so: impl FnMut(&Picture) -> bool,
) -> Result<bool, ApiError> {
    let mut pictures = node.pictures();
    match tokio::time::timeout(limit, pictures.wait_for(is_so)).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(_)) => Err(ApiError::new(ErrorCode::Unavailable, "the daemon is stopping")),
        Err(_) => Ok(false),
    }
}

/// Tells whether nothing is known of a unit but that an earlier keeper ran it.
fn is_left_over(status: &UnitStatus) -> bool {
    status.invocation.is_none() && status.result == UnitResult::Unknown
}

fn not_in_time(picture: &Picture, name: &UnitName, verb: &str) -> ApiError {
    let late = unsettled(picture, name).unwrap_or_else(|| name.clone());
    let reason = picture.reason(&late).map(|reason| reason.sentence.clone());
    let because = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let what = match verb {
        "wait" => format!("{late} is stored and not where it is wanted yet"),
        _ if late != *name => format!("the {verb} of {name} is not done yet: {late} is not there"),
        _ => format!("the {verb} of {name} is not done yet"),
    };
    ApiError::new(ErrorCode::TimedOut, format!("{what}{because}"))
        .with_help(format!("it goes on; ask why: argosy why {late}"))
}

/// Tells whether a unit is where it is wanted, or cannot get there by itself.
pub(crate) fn is_settled(picture: &Picture, name: &UnitName) -> bool {
    let Some(unit) = picture.view.look_up(name) else {
        return true;
    };
    match (unit.wanted, picture.machine_of(name)) {
        (Wanted::Stop(_), placed) => placed.is_none(),
        (Wanted::Unknown(_), _) => true,
        // A stored reason without a place: no machine takes it.
        (Wanted::Run, None) => picture.reason(name).is_some(),
        (Wanted::Run, Some((_, Want::Stop))) => false,
        (Wanted::Run, Some((machine, Want::Run))) => {
            if picture.refusal(machine, name).is_some() {
                return true;
            }
            let (Some(status), Some(entry)) =
                (picture.status(machine, name), picture.entry(machine, name))
            else {
                return false;
            };
            // The leader must have assigned what is wanted, and the machine have taken it up.
            if (entry.revision, entry.restart) != (unit.revision, unit.restart)
                || (status.epoch, status.revision, status.restart)
                    != (entry.epoch, entry.revision, entry.restart)
            {
                return false;
            }
            match status.active() {
                ActiveState::Active => true,
                // One without a grant is started when there is one. And the leader has to have said why:
                // what it said of a run under way is not what the user asks for.
                ActiveState::Failed => {
                    let reason = picture.reason(name);
                    let is_stale = reason.is_some_and(|it| it.kind == ReasonKind::NotReady);
                    !ended_by_fence(status) && !is_stale
                }
                // A oneshot that is done, or an ended service that is not restarted.
                ActiveState::Inactive => {
                    status.invocation.is_some() && status.result == UnitResult::Success
                }
                ActiveState::Activating | ActiveState::Reloading | ActiveState::Deactivating => {
                    false
                }
            }
        }
    }
}

pub(crate) fn unknown(name: &UnitName) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("{name} is not known to the cluster"))
        .with_help("list what is: argosy list-units")
}

/// Refuses to destroy a unit that another one cannot be without.
pub(super) fn needed(name: &UnitName, other: &UnitName) -> ApiError {
    ApiError::new(ErrorCode::Conflict, format!("{other} requires {name}"))
        .with_help(format!("destroy {other} first, or change what it requires"))
}

/// Destroys a unit that nobody needs, and returns when it is gone everywhere.
pub(crate) async fn destroy(node: &Node, name: &UnitName) -> Result<(), ApiError> {
    let picture = node.fresh_picture().await?;
    if let Some(other) = picture.needed_by(name) {
        return Err(needed(name, &other));
    }
    change(node, |edit| edit.destroy(name)).await?;
    let gone = |picture: &Picture| match name.is_template() {
        true => picture.instances(name).iter().all(|name| picture.machine_of(name).is_none()),
        false => picture.machine_of(name).is_none(),
    };
    match wait_until(node, DESTROY_MAX, gone).await? {
        true => Ok(()),
        false => Err(not_in_time(&node.picture(), name, "destruction")),
    }
}
