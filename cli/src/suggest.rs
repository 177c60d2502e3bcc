//! Words that a shell completes and `--help` lists, where any other word is read too and answered by the verb itself.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};
use outrigger_api::kind::Kind;

/// Reads any text; knows the usual ones.
#[derive(Clone, Debug)]
pub(crate) struct Suggested(Vec<&'static str>);

/// The names of the kinds.
pub(crate) fn kinds() -> Suggested {
    Suggested(Kind::ALL.into_iter().map(Kind::singular).collect())
}

/// The names of the kinds, and the word for them all.
pub(crate) fn kinds_or_all() -> Suggested {
    let Suggested(kinds) = kinds();
    Suggested(kinds.into_iter().chain(["all"]).collect())
}

/// These words.
pub(crate) fn words(words: &[&'static str]) -> Suggested {
    Suggested(words.to_vec())
}

impl TypedValueParser for Suggested {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|word| PossibleValue::new(*word))))
    }
}
