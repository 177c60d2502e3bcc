//! Create, replace, delete, and delete of a whole collection.

use std::collections::BTreeSet;

use http::Request;
use hyper::body::Incoming;
use outrigger_api::document::{Options as Reading, Parsed, parse_body};
use outrigger_api::kind::Kind;
use outrigger_api::problem::Problem;
use outrigger_api::resource::{Key, Resource};
use outrigger_client::status::{Details, Status};
use serde::Deserialize;

use super::Surface;
use super::body::{Received, receive};
use super::call::{Call, Place, Target};
use super::media;
use super::query::{FieldValidation, Query};
use super::read::select;
use super::render::Reply;
use crate::refusal;
use crate::server::{Accepted, Inner, Put, check_length, remarks};
use crate::writer::Done;
use crate::writer::decide::Preconditions;

/// Size beyond which a body takes noticeable time to read, in bytes.
const LARGE: usize = 64 << 10;

type Read = Result<Parsed, Vec<Problem>>;

/// Answers POST, PUT and DELETE.
pub(super) async fn answer(
    surface: &Surface,
    call: &Call,
    request: Request<Incoming>,
) -> Result<Reply, Status> {
    let (head, body) = request.into_parts();
    let dry_run = call.query.dry_run()?;
    call.query.check_field_manager()?;
    media::check_encoding(&head.headers)?;
    let received = receive(body, &surface.limits).await?;
    let inner = &surface.inner;
    if call.verb() == "create" || call.verb() == "update" {
        media::check_body(&head.headers)?;
        return put(inner, call, received, dry_run).await;
    }
    let options = DeleteOptions::read(&received)?;
    let dry_run = dry_run || options.dry_run()?;
    match &call.target {
        Target::Item(key) => delete(inner, key, options.preconditions(), dry_run).await,
        Target::Collection(place) => {
            check_collection(&call.query, &options)?;
            delete_all(inner, call, place, dry_run).await
        }
        Target::Paths | Target::Version | Target::Health(_) | Target::Metrics => {
            Err(refusal::method_not_allowed())
        }
    }
}

async fn put(inner: &Inner, call: &Call, received: Received, dry_run: bool) -> Result<Reply, Status> {
    let (kind, namespace, name) = match &call.target {
        Target::Item(key) => (key.kind, key.namespace.as_str(), Some(key.name.as_str())),
        Target::Collection(Place {
            kind,
            namespace: Some(namespace),
        }) => (*kind, namespace.as_str(), None),
        _ => return Err(refusal::method_not_allowed()),
    };
    check_length(kind, name.unwrap_or(""), received.bytes.len())?;
    let validation = call.query.field_validation()?;
    let reading = Reading {
        default_namespace: namespace.to_owned(),
        allow_unknown: validation.allows_unknown(),
    };
    let refuse = match validation {
        FieldValidation::Strict => refusal::strict_problems,
        _ => refusal::problems,
    };
    let parsed = parse_aside(received, reading)
        .await?
        .map_err(|problems| refuse(kind, name.unwrap_or(""), &problems))?;
    let told =
        |problem: &Problem| validation != FieldValidation::Ignore || problem.of_strict_decoding().is_none();
    let mut warnings = remarks(&parsed, told);
    let resource = parsed.resource;
    check_place(&resource, kind, namespace, name)?;
    let (put, code) = match name {
        Some(_) => (Put::Replace, 200),
        None if resource.meta.resource_version.is_some() => {
            return Err(refusal::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        None => (Put::Create, 201),
    };
    let Accepted {
        stored,
        warnings: more,
    } = inner.put(put, resource, dry_run).await?;
    warnings.extend(more);
    Ok(Reply::document(code, stored.json.clone()).with_warnings(warnings))
}

/// Reads the body; a large one on a thread where it holds nobody up.
async fn parse_aside(received: Received, reading: Reading) -> Result<Read, Status> {
    if received.bytes.len() <= LARGE {
        return Ok(parse_body(&received.bytes, &reading));
    }
    let read = tokio::task::spawn_blocking(move || parse_body(&received.bytes, &reading)).await;
    read.map_err(|_| refusal::internal("the body could not be read to its end"))
}

/// The object must be what the URL says.
fn check_place(resource: &Resource, kind: Kind, namespace: &str, name: Option<&str>) -> Result<(), Status> {
    let meta = &resource.meta;
    if resource.kind() != kind {
        let (found, wanted) = (resource.kind(), kind);
        return Err(refusal::bad_request(format!(
            "the API version in the data ({}, kind {found}) does not match the expected API version ({}, kind {wanted})",
            found.api_version(),
            wanted.api_version()
        )));
    }
    if meta.namespace != namespace {
        return Err(refusal::bad_request(format!(
            "the namespace of the provided object ({}) does not match the namespace sent on the request ({namespace})",
            meta.namespace
        )));
    }
    match name {
        Some(name) if meta.name != name => Err(refusal::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            meta.name
        ))),
        Some(_) | None => Ok(()),
    }
}

async fn delete(inner: &Inner, key: &Key, wanted: Preconditions, dry_run: bool) -> Result<Reply, Status> {
    let warnings = inner.before_deletion(&BTreeSet::from([key.clone()]));
    Ok(match inner.delete(key.clone(), wanted, dry_run).await? {
        Done::Gone(last) => {
            let details = Details {
                uid: last.resource.meta.uid.clone(),
                ..refusal::details(key)
            };
            Reply::status(Status::success(details)).with_warnings(warnings)
        }
        Done::Cleared => Reply::status(Status::success(refusal::details(key))),
        Done::Present(held_by_finalizers) => Reply::document(200, held_by_finalizers.json.clone()),
    })
}

/// Refuses what would limit a deletion and is not obeyed: more than was meant would be gone.
fn check_collection(query: &Query, options: &DeleteOptions) -> Result<(), Status> {
    let limits = ["continue", "limit", "resourceVersion", "resourceVersionMatch"];
    let query = limits.into_iter().find(|name| query.value(name).is_some());
    match query.or(options.preconditions.as_ref().map(|_| "preconditions")) {
        None => Ok(()),
        Some(name) => Err(refusal::bad_request(format!(
            "{name} is not supported for the deletion of a collection: leave it out, or delete objects by name"
        ))),
    }
}

/// Deletes what the selectors mean, one by one, each only if it is still the same object; answers with those.
async fn delete_all(inner: &Inner, call: &Call, place: &Place, dry_run: bool) -> Result<Reply, Status> {
    let (objects, mut version) = select(inner, place, &call.query)?;
    let leaving = objects.iter().map(|object| object.key.clone()).collect();
    let warnings = inner.before_deletion(&leaving);
    let mut deleted = Vec::new();
    for object in objects {
        let same = Preconditions {
            uid: Some(object.resource.meta.uid.clone()),
            version: None,
        };
        match inner.delete(object.key.clone(), same, dry_run).await {
            Ok(Done::Gone(last)) => deleted.push(last),
            Ok(Done::Present(held)) => deleted.push(held),
            Ok(Done::Cleared) => {}
            Err(status) if status.code == 404 || status.code == 409 => {} // gone or made anew meanwhile
            Err(status) => return Err(status),
        }
        version = inner.view.version();
    }
    Ok(Reply::list(place.kind, version, deleted).with_warnings(warnings))
}

/// What may come in the body of a DELETE. A misspelt precondition must not delete, so what else there is is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct DeleteOptions {
    #[serde(rename = "kind")]
    _kind: Option<DeleteOptionsKind>,
    /// `v1`, or the group of what is deleted.
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    preconditions: Option<WirePreconditions>,
    dry_run: Vec<String>,
    /// Objects end at once here: nothing runs that would need the time.
    #[serde(rename = "gracePeriodSeconds")]
    _grace_period: Option<u64>,
    /// Nothing here owns anything, so there is nobody to tell.
    #[serde(rename = "propagationPolicy")]
    _propagation: Option<Propagation>,
    /// The older way to say it.
    #[serde(rename = "orphanDependents")]
    _orphan: Option<bool>,
}

#[derive(Debug, Deserialize)]
enum DeleteOptionsKind {
    DeleteOptions,
}

#[derive(Debug, Deserialize)]
enum Propagation {
    Orphan,
    Background,
    Foreground,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct WirePreconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    fn read(received: &Received) -> Result<Self, Status> {
        if received.bytes.trim_ascii().is_empty() {
            return Ok(DeleteOptions::default());
        }
        let text = std::str::from_utf8(&received.bytes);
        let text = text.map_err(|_| refusal::bad_request("the body is not UTF-8"))?;
        let refused = |error: String| {
            refusal::bad_request(format!(
                "the object provided is unrecognized (must be of type DeleteOptions): {}",
                error.lines().next().unwrap_or("")
            ))
        };
        match serde_json::from_str(text) {
            Ok(options) => Ok(options),
            Err(error) if text.trim_start().starts_with('{') => Err(refused(error.to_string())),
            Err(_) => serde_saphyr::from_str(text).map_err(|error| refused(error.to_string())),
        }
    }

    fn dry_run(&self) -> Result<bool, Status> {
        match self.dry_run.iter().find(|one| *one != "All") {
            Some(other) => Err(refusal::unsupported_value("dryRun", other, "\"All\"")),
            None => Ok(!self.dry_run.is_empty()),
        }
    }

    fn preconditions(self) -> Preconditions {
        let WirePreconditions {
            uid,
            resource_version,
        } = self.preconditions.unwrap_or_default();
        Preconditions {
            uid,
            version: resource_version,
        }
    }
}
