//! What goes to standard output: lines, and objects in their forms.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use outrigger_api::resource::Resource;

use crate::failure::Failure;

/// How one object is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ObjectForm {
    /// YAML, each object followed by a line `---`.
    Yaml,
    /// JSON.
    Json,
    /// The name alone, as `type.group/name`.
    Name,
}

/// Prints a line to standard output. Colours go only to a terminal.
///
/// # Errors
/// When it cannot be written, such as to a full disk. A reader that went away, as `head` does, ends the command
/// without a word.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    put(format_args!("{text}\n"))
}

/// Prints text as it is; otherwise as [`line()`].
pub(crate) fn put(text: impl Display) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    let written = out.write_fmt(format_args!("{text}")).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::one(format!("cannot write to standard output: {error}")),
    })
}

/// Prints one object.
pub(crate) fn print_object(resource: &Resource, form: ObjectForm) -> Result<(), Failure> {
    match form {
        ObjectForm::Yaml => put(format_args!("{}---\n", yaml(&resource.to_json())?))?,
        ObjectForm::Json => line(json(&resource.to_json())?)?,
        ObjectForm::Name => {
            line(format_args!(
                "{}.{}/{}",
                resource.kind().singular(),
                resource.kind().group(),
                resource.meta.name
            ))?;
        }
    }
    Ok(())
}

/// A value as YAML, with a line feed at its end.
pub(crate) fn yaml(value: &impl serde::Serialize) -> Result<String, Failure> {
    let mut text = serde_saphyr::to_string(value)
        .map_err(|error| Failure::one(format!("cannot print this as YAML: {error}")))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Failure::one(format!("cannot print this as JSON: {error}")))
}
