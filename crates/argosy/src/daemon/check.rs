//! Whether a verb would be accepted for every unit it is meant for, before anything is changed.

use argosy_api::operator::CheckRequest;
use argosy_api::{ApiError, ErrorCode};
use argosy_model::UnitName;
use argosy_registry::Edit;

use super::edit::{self, refused};
use super::node::Node;
use super::picture::Picture;

/// Returns the units in the order in which to act on them; refused as a whole if one is.
pub(crate) async fn check(node: &Node, request: CheckRequest) -> Result<Vec<String>, ApiError> {
    let bad =
        |error: argosy_model::InvalidUnitName| ApiError::from_chain(ErrorCode::BadInput, &error);
    let names = request.units.iter().cloned().map(UnitName::new);
    let mut names = names.collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let picture = node.fresh_picture().await?;
    let refusal = |name| refusal(&picture, &request.verb, name, &names).err();
    let refusals = names.iter().filter_map(refusal);
    if let Some(refusal) = all_of(refusals.collect()) {
        return Err(refusal);
    }
    if request.verb == "destroy" {
        names = dependants_first(&picture, names);
    }
    Ok(names.iter().map(UnitName::to_string).collect())
}

fn refusal(
    picture: &Picture,
    verb: &str,
    name: &UnitName,
    all: &[UnitName],
) -> Result<(), ApiError> {
    edit::can_run(name)?;
    if verb == "destroy" {
        let stays = |other: &UnitName| !all.contains(other) && picture.needs(other, name);
        if let Some(other) = picture.view.unit_names().into_iter().find(stays) {
            return Err(edit::needed(name, &other));
        }
    }
    let mut edit = Edit::new(&picture.view);
    let made = match verb {
        "start" => edit.start(name),
        "stop" => edit.stop(name),
        "restart" => edit.restart(name),
        "destroy" => edit.destroy(name),
        _ => return Err(ApiError::new(ErrorCode::BadInput, format!("no such verb: {verb}"))),
    };
    made.map_err(refused)
}

/// Joins refusals into one that has all their messages.
fn all_of(refusals: Vec<ApiError>) -> Option<ApiError> {
    let messages: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
    let message = messages.join("\n");
    let first = refusals.into_iter().next()?;
    Some(ApiError { message, ..first })
}

/// Puts units that cannot be without another one before that one.
fn dependants_first(picture: &Picture, mut names: Vec<UnitName>) -> Vec<UnitName> {
    let mut ordered = Vec::new();
    while !names.is_empty() {
        let needs = |other: &UnitName, name: &UnitName| picture.needs(other, name);
        let free = names
            .iter()
            .position(|name| names.iter().all(|other| other == name || !needs(other, name)));
        // Those that need each other are refused one by one.
        ordered.push(names.remove(free.unwrap_or(0)));
    }
    ordered
}
