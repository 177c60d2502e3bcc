//! Every way to say no, as the `Status` object that clients get (`spec/apiserver.md` §8). The only place where this
//! crate's own errors meet HTTP codes.

use outrigger_api::document::MAX_BYTES;
use outrigger_api::kind::Kind;
use outrigger_api::problem::Problem;
use outrigger_api::resource::Key;
use outrigger_client::status::{Cause, Details, Status};

use crate::follower::Lapse;
use crate::object::{Unreadable, plural_group};
use crate::writer::WriteError;
use crate::writer::decide::Refusal;

/// Seconds after which a refused caller may try again.
pub(crate) const RETRY_AFTER: u32 = 1;

pub(crate) fn bad_request(message: impl Into<String>) -> Status {
    Status::failure(400, "BadRequest", message)
}

pub(crate) fn unauthorized() -> Status {
    Status::failure(
        401,
        "Unauthorized",
        "Unauthorized: send the mesh token as `Authorization: Bearer TOKEN`",
    )
}

pub(crate) fn forbidden(message: &str) -> Status {
    Status::failure(403, "Forbidden", message)
}

pub(crate) fn unknown_path() -> Status {
    Status::failure(
        404,
        "NotFound",
        "the server could not find the requested resource",
    )
}

pub(crate) fn not_found(key: &Key) -> Status {
    Status::failure(
        404,
        "NotFound",
        format!("{} {:?} not found", plural_group(key.kind), key.name),
    )
    .about(details(key))
}

pub(crate) fn method_not_allowed() -> Status {
    let message = "the server does not allow this method on the requested resource";
    Status::failure(405, "MethodNotAllowed", message)
}

pub(crate) fn not_acceptable() -> Status {
    let message = "only the following media types are accepted: application/json, application/yaml";
    Status::failure(406, "NotAcceptable", message)
}

pub(crate) fn slow_body(seconds: u64) -> Status {
    Status::failure(
        408,
        "Timeout",
        format!("the request body did not come within {seconds} s"),
    )
}

pub(crate) fn too_large(limit: usize) -> Status {
    Status::failure(
        413,
        "RequestEntityTooLarge",
        format!("the request body is longer than {limit} bytes"),
    )
}

/// An object beyond the limit for one, in a body that is within the limit for bodies.
pub(crate) fn object_too_large(kind: Kind, name: &str, bytes: usize) -> Status {
    let message = format!(
        "the object is {bytes} bytes long, at most {MAX_BYTES} (1.5 MiB) are allowed; split it into several objects"
    );
    let details = Details {
        name: name.into(),
        group: kind.group().into(),
        kind: kind.plural().into(),
        ..Details::default()
    };
    Status::failure(413, "RequestEntityTooLarge", message).about(details)
}

pub(crate) fn unsupported_media_type(found: &str) -> Status {
    let message = format!(
        "the body of the request was in an unknown format ({found}) - accepted media types include: \
         application/json, application/yaml"
    );
    Status::failure(415, "UnsupportedMediaType", message)
}

pub(crate) fn unsupported_encoding(found: &str) -> Status {
    let message = format!(
        "the body of the request is encoded ({found}) - send it as it is, the only accepted content encoding is identity"
    );
    Status::failure(415, "UnsupportedMediaType", message)
}

pub(crate) fn too_many(what: &str) -> Status {
    let details = Details {
        retry_after_seconds: RETRY_AFTER,
        ..Details::default()
    };
    Status::failure(
        429,
        "TooManyRequests",
        format!("too many {what} at once, please try again later"),
    )
    .about(details)
}

/// A parameter with a value that is not among the possible ones.
pub(crate) fn unsupported_value(field: &str, found: &str, supported: &str) -> Status {
    let message = format!("Unsupported value: {found:?}: supported values: {supported}");
    invalid_field(field, "FieldValueNotSupported", &message)
}

pub(crate) fn invalid_field(field: &str, reason: &str, message: &str) -> Status {
    let cause = Cause {
        reason: reason.into(),
        message: message.into(),
        field: field.into(),
    };
    let details = Details {
        causes: vec![cause],
        ..Details::default()
    };
    Status::failure(422, "Invalid", format!("{field}: {message}")).about(details)
}

/// A version that has not been given out yet.
pub(crate) fn future_version(wanted: u64, current: u64) -> Status {
    let message = format!("Too large resource version: {wanted}, current: {current}");
    let cause = Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        ..Cause::default()
    };
    let details = Details {
        causes: vec![cause],
        retry_after_seconds: RETRY_AFTER,
        ..Details::default()
    };
    Status::failure(504, "Timeout", message).about(details)
}

/// The exact state at an older version is not kept.
pub(crate) fn past_version(wanted: u64, current: u64) -> Status {
    Status::failure(
        410,
        "Expired",
        format!("too old resource version: {wanted} ({current})"),
    )
}

/// The end of a watch that cannot go on.
pub(crate) fn lapsed(lapse: Lapse) -> Status {
    let message = match lapse {
        Lapse::TooOld { at, horizon } => format!("too old resource version: {at} ({horizon})"),
        Lapse::Ahead { at, newest } => {
            format!("resource version {at} is not of this store, which is at {newest}: list again")
        }
        Lapse::TooSlow { at, waiting } => {
            format!("too old resource version: {at} (the watcher is too slow: {waiting} events wait)")
        }
    };
    Status::failure(410, "Expired", message)
}

/// A fault of ours.
pub(crate) fn internal(what: &str) -> Status {
    Status::failure(500, "InternalError", format!("Internal error occurred: {what}"))
}

/// A stored value that is there and cannot be served.
pub(crate) fn unreadable(key: &Key, reason: &Unreadable) -> Status {
    let message =
        format!("Internal error occurred: the stored value of {key} is {reason}; write it anew or delete it");
    Status::failure(500, "InternalError", message).about(details(key))
}

/// A body that is not an object of the expected kind, or one with problems: 400 while not even its kind and name could be
/// read, 422 with every cause after that.
pub(crate) fn problems(kind: Kind, name: &str, problems: &[Problem]) -> Status {
    let texts: Vec<String> = problems.iter().map(text).collect();
    if problems.iter().all(|problem| problem.object.is_none()) {
        let message = format!(
            "the object provided is unrecognized (must be of type {kind}): {}",
            texts.join("; ")
        );
        return bad_request(message);
    }
    let name = or_own_name(name, problems);
    let list = if texts.len() == 1 {
        texts.concat()
    } else {
        format!("[{}]", texts.join(", "))
    };
    let message = format!("{kind}.{} {name:?} is invalid: {list}", kind.group());
    Status::failure(422, "Invalid", message).about(causes(kind, name, problems))
}

/// The same for a caller that asked for `fieldValidation=Strict`: with a field that is unknown or stands twice it is a
/// matter of decoding, told as such and with 400. What else is wrong is told after those.
pub(crate) fn strict_problems(kind: Kind, name: &str, found: &[Problem]) -> Status {
    let strict = found
        .iter()
        .filter_map(|problem| Some(format!("{} {:?}", problem.of_strict_decoding()?, problem.path)));
    let mut texts: Vec<String> = strict.collect();
    if texts.is_empty() {
        return problems(kind, name, found);
    }
    let others = found
        .iter()
        .filter(|problem| problem.of_strict_decoding().is_none());
    texts.extend(others.map(text));
    let details = causes(kind, or_own_name(name, found), found);
    bad_request(format!("strict decoding error: {}", texts.join(", "))).about(details)
}

/// The name on the URL, or else the one that the body gives.
fn or_own_name<'a>(name: &'a str, problems: &'a [Problem]) -> &'a str {
    if !name.is_empty() {
        return name;
    }
    let mut objects = problems.iter().filter_map(|problem| problem.object.as_deref());
    objects
        .next()
        .and_then(|object| object.rsplit('/').next())
        .unwrap_or("")
}

fn causes(kind: Kind, name: &str, problems: &[Problem]) -> Details {
    let cause = |problem: &Problem| Cause {
        reason: "FieldValueInvalid".into(),
        message: text(&Problem {
            path: String::new(),
            ..problem.clone()
        }),
        field: problem.path.clone(),
    };
    Details {
        name: name.into(),
        group: kind.group().into(),
        kind: kind.plural().into(),
        causes: problems.iter().map(cause).collect(),
        ..Details::default()
    }
}

/// A problem without the parts that the status says elsewhere: origin and object.
fn text(problem: &Problem) -> String {
    Problem {
        origin: String::new(),
        object: None,
        ..problem.clone()
    }
    .to_string()
}

/// The status of a write that was not done.
pub(crate) fn of_write(error: &WriteError) -> Status {
    let message = error.to_string();
    match error {
        WriteError::Refused(refusal) => of_refusal(refusal, message),
        WriteError::Unavailable(_) | WriteError::Stopping => {
            let details = Details {
                retry_after_seconds: RETRY_AFTER,
                ..Details::default()
            };
            Status::failure(503, "ServiceUnavailable", message).about(details)
        }
    }
}

fn of_refusal(refusal: &Refusal, message: String) -> Status {
    match refusal {
        Refusal::AlreadyExists(key) => Status::failure(409, "AlreadyExists", message).about(details(key)),
        Refusal::NotFound(key) => not_found(key),
        Refusal::Conflict(key) | Refusal::OtherUid { key, .. } => {
            Status::failure(409, "Conflict", message).about(details(key))
        }
        Refusal::VersionMissing(key) => {
            field_of(key, "metadata.resourceVersion", "FieldValueInvalid", &message)
        }
        Refusal::TooLarge { key, .. } => {
            Status::failure(413, "RequestEntityTooLarge", message).about(details(key))
        }
        Refusal::LateFinalizer(key) => field_of(key, "metadata.finalizers", "FieldValueForbidden", &message),
    }
}

/// `message` begins with the field; the cause has the field apart.
fn field_of(key: &Key, field: &str, reason: &str, message: &str) -> Status {
    let bare = message
        .strip_prefix(field)
        .and_then(|rest| rest.strip_prefix(": "));
    let cause = Cause {
        reason: reason.into(),
        message: bare.unwrap_or(message).into(),
        field: field.into(),
    };
    let message = format!(
        "{}.{} {:?} is invalid: {message}",
        key.kind,
        key.kind.group(),
        key.name
    );
    Status::failure(422, "Invalid", message).about(Details {
        causes: vec![cause],
        ..details(key)
    })
}

/// Which object a status speaks of.
pub(crate) fn details(key: &Key) -> Details {
    Details {
        name: key.name.clone(),
        group: key.kind.group().into(),
        kind: key.kind.plural().into(),
        ..Details::default()
    }
}
