//! Settings as written: a file, the environment and flags, laid over one another.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args as _, Command};
use config::{Config, Environment, File, FileFormat, FileSourceString, Source};
use outrigger_api::near::nearest;

use super::Written;

/// How every variable of the environment begins that is a setting of this role.
const PREFIX: &str = "OUTRIGGER_SERVE";

impl Written {
    /// Layers file, environment and flags, the last one that speaks wins. What is no setting is kept in `unknown`, to
    /// be told with every other mistake.
    pub(crate) fn layered(flags: &Written, file: Option<&Path>) -> Result<Written> {
        let mut builder = Config::builder();
        let mut unknown = Vec::new();
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let source = source(path, &text)?;
            let keys = keys(&source).with_context(|| format!("cannot read {}", path.display()))?;
            unknown.extend(keys.iter().filter_map(|key| {
                let line = line_of(key, &text);
                stranger(key, &format!("{}:{line}: {key}", path.display()))
            }));
            builder = builder.add_source(source);
        }
        let environment = Environment::with_prefix(PREFIX);
        let keys = keys(&environment).context("cannot read the environment")?;
        unknown.extend(keys.iter().filter_map(|key| {
            let variable = format!("{PREFIX}_{}", key.to_ascii_uppercase());
            stranger(key, &format!("environment: {variable}"))
        }));
        let flags = Config::try_from(flags).context("cannot read the flags")?;
        let written: Written = builder
            .add_source(environment)
            .add_source(flags)
            .build()
            .and_then(Config::try_deserialize)
            .context("the settings cannot be read")?;
        Ok(Written { unknown, ..written })
    }
}

fn keys(source: &impl Source) -> Result<Vec<String>> {
    let mut keys: Vec<String> = source.collect()?.into_keys().collect();
    keys.sort();
    Ok(keys)
}

/// What to say of a key that is no setting.
fn stranger(key: &str, place: &str) -> Option<String> {
    let settings = Written::augment_args(Command::new("serve"));
    let known: Vec<&str> = settings
        .get_arguments()
        .map(|arg| arg.get_id().as_str())
        .collect();
    if known.contains(&key) {
        return None;
    }
    Some(match nearest(key, &known) {
        Some(name) => format!("{place} is not a setting, did you mean {name}?"),
        None => format!("{place} is not a setting; they are {}", known.join(", ")),
    })
}

/// The line, counted from 1, that begins with the key; the first when none does.
fn line_of(key: &str, text: &str) -> usize {
    let begins = |line: &str| {
        let line = line.trim_start().trim_start_matches(['"', '\'', '{']);
        line.trim_start().to_ascii_lowercase().starts_with(key)
    };
    text.lines().position(begins).map_or(1, |place| place + 1)
}

/// A settings file: TOML, JSON, or YAML through the reader that gives positions.
fn source(path: &Path, text: &str) -> Result<File<FileSourceString, FileFormat>> {
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    match ending {
        "toml" => Ok(File::from_str(text, FileFormat::Toml)),
        "json" => Ok(File::from_str(text, FileFormat::Json)),
        "yaml" | "yml" => {
            let value: serde_json::Value =
                serde_saphyr::from_str(text).with_context(|| format!("{} is not YAML", path.display()))?;
            Ok(File::from_str(&value.to_string(), FileFormat::Json))
        }
        _ => bail!("{}: settings files end in .toml, .yaml or .json", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn a_flag_beats_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("serve.yaml");
        std::fs::write(&file, "domain: from-file\ndata_dir: /data\n").unwrap();
        let flags = Written {
            domain: Some("from-flag".into()),
            ..Written::default()
        };

        let layered = Written::layered(&flags, Some(&file)).unwrap();

        assert_eq!(
            (layered.domain.as_deref(), layered.data_dir.as_deref()),
            (Some("from-flag"), Some("/data"))
        );
    }

    #[test]
    fn a_key_that_is_none_is_told_with_its_line_beside_every_other_mistake() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("serve.yaml", "domain: x\ndata_dri: /data\napi_address: nowhere\n"),
            (
                "serve.toml",
                "domain = 'x'\ndata_dri = '/data'\napi_address = 'nowhere'\n",
            ),
            (
                "serve.json",
                "{\"domain\": \"x\",\n\"data_dri\": \"/data\",\n\"api_address\": \"nowhere\"}",
            ),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();

            let layered = Written::layered(&Written::default(), Some(&file)).unwrap();
            let Err(Failure::Usage(told)) = layered.resolve() else {
                panic!("it resolves")
            };

            let wanted = format!(
                "{}:2: data_dri is not a setting, did you mean data_dir?",
                file.display()
            );
            assert!(told.contains(&wanted) && told.contains("nowhere"), "{told}");
        }
    }
}
