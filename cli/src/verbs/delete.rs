//! `delete`: by file, or by type and names.

use clap::Args;
use outrigger_api::resource::Key;
use outrigger_client::ConfigStore;

use crate::connection::Connection;
use crate::failure::{Failure, warn};
use crate::input::{self, Files};
use crate::object::{Named, named};
use crate::output;
use crate::suggest;

/// Remove objects, by file or by type and name
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger delete -f route-rule-all-v1.yaml
  outrigger delete routerule reviews-default ratings-default")]
pub(crate) struct DeleteArgs {
    /// Type, then one or more names; or TYPE/NAME
    #[arg(value_name = "TYPE NAME", value_parser = suggest::kinds())]
    names: Vec<String>,
    #[command(flatten)]
    files: Files,
}

/// Removes what is named; what fails is told, and the others go on.
pub(crate) async fn run(args: DeleteArgs, connection: &Connection) -> Result<(), Failure> {
    let by_file = !args.files.file.is_empty();
    let keys = match (by_file, args.names.split_first()) {
        (true, None) => in_files(&args.files, connection)?,
        (true, Some(_)) => {
            return Err(Failure::Usage(
                "delete takes no arguments when the file option is used".into(),
            ));
        }
        (false, Some(_)) => by_name(&args.names, connection)?,
        (false, None) => {
            return Err(Failure::Usage(
                "provide configuration type and name or -f option".into(),
            ));
        }
    };
    let client = connection.client()?;
    let mut failures = Vec::new();
    // Every object is removed, also when nobody can be told any more.
    let mut printed = Ok(());
    for key in keys {
        let shown = if by_file {
            key.to_string()
        } else {
            format!("{} {}", key.kind.singular(), key.name)
        };
        match client.delete(&key).await {
            Ok(deleted) => {
                for warning in deleted.warnings {
                    warn(format!("{key}: {warning}"));
                }
                printed = printed.and_then(|()| match deleted.held {
                    Some(held) => output::line(format_args!(
                        "{shown}: marked for deletion, held by {}",
                        held.meta.finalizers.join(", ")
                    )),
                    None => output::line(format_args!("Deleted config: {shown}")),
                });
            }
            Err(error) => failures.push(format!("cannot delete {}: {error}", key.name)),
        }
    }
    if failures.is_empty() {
        printed
    } else {
        Err(Failure::Failed(failures))
    }
}

fn in_files(files: &Files, connection: &Connection) -> Result<Vec<Key>, Failure> {
    let mut keys: Vec<Key> = input::read(files, connection)?
        .iter()
        .map(|parsed| parsed.resource.key())
        .collect();
    if keys.is_empty() {
        return Err(files.empty("delete"));
    }
    // What refers to others goes before what it refers to.
    keys.reverse();
    Ok(keys)
}

fn by_name(words: &[String], connection: &Connection) -> Result<Vec<Key>, Failure> {
    let Named::Objects(objects) = named(words)? else {
        return Err(Failure::Usage(
            "provide configuration type and name or -f option".into(),
        ));
    };
    let namespace = connection.default_namespace()?;
    Ok(objects
        .into_iter()
        .map(|(kind, name)| Key::new(kind, namespace.clone(), name))
        .collect())
}
