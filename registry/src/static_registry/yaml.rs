//! The one place that reads YAML: text in, a value with positions or one problem with its place out.

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

/// What is wrong at which place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1; 0 when the file as a whole is meant.
    pub line: u64,
    /// Column in characters, counted from 1.
    pub column: u64,
    /// Lower case, with the value found and what was expected.
    pub message: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(super) fn whole(message: impl Into<String>) -> Problem {
        Problem {
            line: 0,
            column: 0,
            message: message.into(),
        }
    }

    /// A problem of one value.
    pub(super) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> Problem {
        Problem::located(place.referenced, message.into())
    }

    fn located(place: Location, message: String) -> Problem {
        Problem {
            line: place.line(),
            column: place.column(),
            message,
        }
    }

    /// `file:line:column: message`, as compilers and editors know it.
    pub fn in_file(&self, file: &str) -> String {
        match self.line {
            0 => format!("{file}: {}", self.message),
            line => format!("{file}:{line}:{}: {}", self.column, self.message),
        }
    }
}

/// Reads one document. JSON is YAML, so it is read too.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let message = UserMessageFormatter.format_message(error).into_owned();
        match error.location() {
            Some(place) => Problem::located(place, message),
            None => Problem::whole(message),
        }
    })
}
