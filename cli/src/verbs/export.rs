//! `export` and `import`: every object as one line of JSON, for copies and for moving house.

use std::io::{BufRead, Write};

use anyhow::Context;
use clap::Args;
use outrigger_api::document::{self, Options};
use outrigger_api::kind::Kind;
use outrigger_client::{ConfigSource, ConfigStore};

use crate::connection::Connection;
use crate::failure::Failure;

/// Write every object to standard output, one JSON object a line
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportArgs {}

/// Store every object of an export; those that exist are replaced
#[derive(Args, Clone, Debug)]
pub(crate) struct ImportArgs {
    /// File made by export, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: std::path::PathBuf,
}

/// Exports.
pub(crate) async fn export(_: ExportArgs, connection: &Connection) -> Result<(), Failure> {
    let client = connection.client()?;
    let mut out = std::io::stdout().lock();
    for kind in Kind::ALL {
        let listed = client
            .list(kind)
            .await
            .map_err(|error| Failure::one(error.to_string()))?;
        for item in listed.items {
            let line = serde_json::to_string(&item.to_json()).context("cannot write JSON")?;
            writeln!(out, "{line}").context("cannot write to standard output")?;
        }
    }
    Ok(())
}

/// Imports; each line that cannot be stored is told by its number, and the others go on.
pub(crate) async fn import(args: ImportArgs, connection: &Connection) -> Result<(), Failure> {
    let client = connection.client()?;
    let input: Box<dyn BufRead> = if args.file == std::path::Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(&args.file)
            .with_context(|| format!("cannot read {}", args.file.display()))?;
        Box::new(std::io::BufReader::new(file))
    };
    let (mut stored, mut failures) = (0, Vec::new());
    for (number, line) in input.lines().enumerate() {
        let line = line.context("cannot read the export")?;
        if line.trim().is_empty() {
            continue;
        }
        match one(&client, &line).await {
            Ok(()) => stored += 1,
            Err(reason) => failures.push(format!("line {}: {reason}", number + 1)),
        }
    }
    anstream::println!("{stored} objects imported");
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(failures))
    }
}

async fn one(client: &impl ConfigStore, line: &str) -> Result<(), String> {
    let parsed = document::parse_body(line.as_bytes(), &Options::default()).map_err(|problems| {
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    })?;
    let mut resource = parsed.resource;
    let existing = client
        .get(&resource.key())
        .await
        .map_err(|error| error.to_string())?;
    resource.meta.uid.clear();
    resource.meta.resource_version = existing
        .as_ref()
        .and_then(|stored| stored.meta.resource_version.clone());
    let written = match existing {
        Some(_) => client.replace(&resource).await,
        None => client.create(&resource).await,
    };
    written.map(drop).map_err(|error| error.to_string())
}
