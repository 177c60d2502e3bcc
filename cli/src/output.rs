//! Objects on standard output.

use outrigger_api::resource::Resource;

use crate::failure::Failure;

/// How one object is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ObjectForm {
    /// YAML, each object followed by a line `---`.
    Yaml,
    /// JSON.
    Json,
    /// The name alone, as `plural.group/name`.
    Name,
}

/// Prints one object.
pub(crate) fn print_object(resource: &Resource, form: ObjectForm) -> Result<(), Failure> {
    match form {
        ObjectForm::Yaml => anstream::print!("{}---\n", yaml(&resource.to_json())?),
        ObjectForm::Json => anstream::println!("{}", json(&resource.to_json())?),
        ObjectForm::Name => {
            anstream::println!(
                "{}.{}/{}",
                resource.kind().plural(),
                resource.kind().group(),
                resource.meta.name
            );
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
