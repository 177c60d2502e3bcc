//! The `Status` object that answers every failed call to the config API (`spec/apiserver.md` §8).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Outcome of a call, in the shape that Kubernetes clients know.
///
/// `code` is the HTTP status; `reason` its machine-readable name (`NotFound`, `Conflict`, `Invalid` ...);
/// `message` is what a person reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// List metadata; only a watch's bookmark-like answers would fill it, so it is always empty here.
    pub metadata: Empty,
    /// Whether the call was done.
    pub status: Outcome,
    /// What happened, for people; empty on success.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why, for machines; empty on success.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Which object, and every single cause.
    #[serde(skip_serializing_if = "Details::is_empty")]
    pub details: Box<Details>,
    /// HTTP status code; 0 when the sender left it out.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
}

/// The `status` of a [`Status`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was not.
    #[default]
    Failure,
}

/// `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The object a [`Status`] speaks of. `kind` holds the **plural resource name**, as Kubernetes has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Details {
    /// Object name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Plural resource name, such as `virtualservices`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Object uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry per thing that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds to wait before another try; 0 when that would not help.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub retry_after_seconds: u32,
}

impl Details {
    fn is_empty(&self) -> bool {
        *self == Details::default()
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired` and so on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field, such as `spec.route[1].weight`; empty for the whole object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    /// A failure with this HTTP code, reason and message, and no details yet.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Status {
            kind: "Status".into(),
            api_version: "v1".into(),
            status: Outcome::Failure,
            message: message.into(),
            reason: reason.into(),
            code,
            ..Status::default()
        }
    }

    /// Success, with details of the object it happened to.
    pub fn success(details: Details) -> Self {
        Status {
            kind: "Status".into(),
            api_version: "v1".into(),
            status: Outcome::Success,
            details: Box::new(details),
            ..Status::default()
        }
    }

    /// The same status, speaking of this object.
    #[must_use]
    pub fn about(mut self, details: Details) -> Self {
        self.details = Box::new(details);
        self
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// serde hands skip_serializing_if a reference, whatever the type.
fn is_zero(number: &u16) -> bool {
    *number == 0
}

fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_written_in_the_shape_that_kubernetes_clients_read() {
        let status =
            Status::failure(404, "NotFound", "gateways.networking.istio.io \"a\" not found").about(Details {
                name: "a".into(),
                kind: "gateways".into(),
                ..Details::default()
            });

        let json = serde_json::to_value(&status).unwrap();

        assert_eq!(
            json,
            serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404,
                "reason": "NotFound", "message": "gateways.networking.istio.io \"a\" not found",
                "details": {"name": "a", "kind": "gateways"},
            })
        );
    }

    #[test]
    fn a_status_with_unknown_and_missing_fields_is_still_read() {
        let status: Status =
            serde_json::from_str(r#"{"kind":"Status","code":409,"reason":"Conflict","extra":1}"#).unwrap();

        assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    }
}
