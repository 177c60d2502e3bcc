//! Get and list.

use std::sync::Arc;

use outrigger_client::status::Status;

use super::call::{Call, Place, Target};
use super::query::Query;
use super::render::Reply;
use super::selector::Selector;
use crate::object::Stored;
use crate::refusal;
use crate::server::Inner;

/// Answers a GET of an item or a collection.
pub(super) fn answer(inner: &Inner, call: &Call) -> Result<Reply, Status> {
    match &call.target {
        Target::Item(key) => Ok(Reply::document(200, inner.get(key)?.json.clone())),
        Target::Collection(place) => {
            let (objects, version) = select(inner, place, &call.query)?;
            check_version(&call.query, version)?;
            Ok(Reply::list(place.kind, version, objects))
        }
        Target::Paths | Target::Version | Target::Health(_) | Target::Metrics => Err(refusal::unknown_path()),
    }
}

/// The objects of a collection that the selectors mean.
pub(super) fn select(inner: &Inner, place: &Place, query: &Query) -> Result<(Vec<Arc<Stored>>, u64), Status> {
    let selector = Selector::of(query)?;
    let (mut objects, version) = inner.view.list(place.kind, place.namespace.as_deref());
    objects.retain(|object| selector.selects(&object.resource.meta));
    Ok((objects, version))
}

/// Whether the present state satisfies what was asked about its version. A list is always whole: `limit` is passed over,
/// and nobody can have a token to continue with.
fn check_version(query: &Query, current: u64) -> Result<(), Status> {
    query.number("limit")?;
    if query.value("continue").is_some() {
        return Err(refusal::bad_request(
            "continue key is not valid: lists of this server are always whole",
        ));
    }
    let wanted = query.number("resourceVersion")?;
    match (query.value("resourceVersionMatch"), wanted) {
        (Some("NotOlderThan" | "Exact"), None) => {
            let message = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
            Err(refusal::invalid_field(
                "resourceVersionMatch",
                "FieldValueForbidden",
                message,
            ))
        }
        (Some("Exact"), Some(0)) => {
            let message = "Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"";
            Err(refusal::invalid_field(
                "resourceVersionMatch",
                "FieldValueForbidden",
                message,
            ))
        }
        (_, Some(wanted)) if wanted > current => Err(refusal::future_version(wanted, current)),
        (Some("Exact"), Some(wanted)) if wanted < current => Err(refusal::past_version(wanted, current)),
        (None | Some("NotOlderThan" | "Exact"), _) => Ok(()),
        (Some(other), _) => Err(refusal::unsupported_value(
            "resourceVersionMatch",
            other,
            "\"Exact\", \"NotOlderThan\"",
        )),
    }
}
