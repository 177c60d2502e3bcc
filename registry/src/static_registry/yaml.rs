//! The one place that reads YAML: text in, a value with positions or one problem with its place out.

use outrigger_api::problem::Problem;
use serde::de::DeserializeOwned;
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

/// A problem of the file as a whole.
pub(super) fn whole(message: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new("", message))
}

/// A problem of one value. The message says which field it is.
pub(super) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> Box<Problem> {
    located(place.referenced, message.into())
}

/// Reads one document. JSON is YAML, so it is read too.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Box<Problem>> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let message = UserMessageFormatter.format_message(error).into_owned();
        match error.location() {
            Some(place) => located(place, message),
            None => whole(message),
        }
    })
}

fn located(place: Location, message: String) -> Box<Problem> {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Box::new(Problem {
        line: number(place.line()),
        column: number(place.column()),
        ..Problem::new("", message)
    })
}
