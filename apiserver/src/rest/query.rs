//! Query strings into parameters. Pure. Parameters that mean nothing here are passed over, as clients expect.

use outrigger_client::status::Status;
use percent_encoding::percent_decode_str;

use crate::refusal;

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

/// What becomes of fields that a message does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldValidation {
    /// Nothing was asked for: they are refused among all other problems, with 422.
    Refuse,
    /// They are refused as an error of decoding, with 400.
    Strict,
    /// They are passed over with a warning.
    Warn,
    /// They are passed over in silence.
    Ignore,
}

impl FieldValidation {
    /// True when an object with unknown fields is taken.
    pub(super) fn allows_unknown(self) -> bool {
        matches!(self, FieldValidation::Warn | FieldValidation::Ignore)
    }
}

impl Query {
    /// Reads a query string; what is no UTF-8 after decoding is replaced, and fails where it matters.
    pub(super) fn read(text: &str) -> Self {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    /// The value of a parameter; the first one when it is given twice, and `None` for a blank one.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// True when a parameter is given at all, with or without a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A yes-or-no parameter; absent and blank are no.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Status> {
        match self.value(name) {
            None => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(refusal::bad_request(format!(
                "parameter {name} is {other:?}, want true or false"
            ))),
        }
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        let refused = |_| refusal::bad_request(format!("parameter {name} is {text:?}, want a whole number"));
        text.parse().map(Some).map_err(refused)
    }

    /// True when nothing is to be stored (`dryRun=All`).
    pub(super) fn dry_run(&self) -> Result<bool, Status> {
        match self.value("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(refusal::unsupported_value("dryRun", other, "\"All\"")),
        }
    }

    /// What becomes of unknown fields; they are refused unless a client asks for less.
    pub(super) fn field_validation(&self) -> Result<FieldValidation, Status> {
        match self.value("fieldValidation") {
            None => Ok(FieldValidation::Refuse),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some("Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(other) => Err(refusal::unsupported_value(
                "fieldValidation",
                other,
                "\"Ignore\", \"Strict\", \"Warn\"",
            )),
        }
    }

    /// Checks `fieldManager`, which is taken and not kept.
    pub(super) fn check_field_manager(&self) -> Result<(), Status> {
        match self.value("fieldManager") {
            Some(name) if name.chars().count() > 128 || name.chars().any(char::is_control) => {
                Err(refusal::invalid_field(
                    "fieldManager",
                    "FieldValueInvalid",
                    "want at most 128 printable characters",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_first_of_a_name_counts() {
        let query = Query::read("labelSelector=app%20in%20(a%2Cb)&limit=5&limit=6&a=b+c&blank=&&verbose");

        assert_eq!(query.value("labelSelector"), Some("app in (a,b)"));
        assert_eq!(query.number("limit"), Ok(Some(5)));
        assert_eq!(query.value("a"), Some("b c"));
        assert_eq!((query.value("blank"), query.value("absent")), (None, None));
        assert!(query.has("verbose") && query.has("blank") && !query.has("absent"));
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused_by_name() {
        assert_eq!(Query::read("watch=1").flag("watch"), Ok(true));
        assert_eq!(Query::read("watch=false").flag("watch"), Ok(false));
        let refused = Query::read("watch=maybe").flag("watch").unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (400, "parameter watch is \"maybe\", want true or false")
        );
        let refused = Query::read("limit=-1").number("limit").unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (400, "parameter limit is \"-1\", want a whole number")
        );
        let refused = Query::read("dryRun=x").dry_run().unwrap_err();
        assert_eq!(
            refused.message,
            "dryRun: Unsupported value: \"x\": supported values: \"All\""
        );
        assert_eq!(refused.code, 422);
        assert_eq!(
            Query::read("fieldValidation=strict")
                .field_validation()
                .unwrap_err()
                .code,
            422
        );
        assert!(
            Query::read(&format!("fieldManager={}", "x".repeat(129)))
                .check_field_manager()
                .is_err()
        );
    }
}
