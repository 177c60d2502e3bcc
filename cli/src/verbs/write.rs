//! `create`, `replace` and `apply`: objects from files into the store.

use clap::Args;
use outrigger_api::document::Parsed;
use outrigger_api::problem::Problem;
use outrigger_api::resource::Resource;
use outrigger_client::{ClientError, ConfigSource, ConfigStore, HttpClient, Status, Written};

use crate::connection::Connection;
use crate::failure::{Failure, warn};
use crate::input::{self, Files};
use crate::output::{self, ObjectForm, print_object};

/// How often `apply` reads again when somebody else wrote in between.
const TRIES: u32 = 5;

/// Arguments of the three verbs that write.
#[derive(Args, Clone, Debug)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    files: Files,
    /// Print each stored object instead of a sentence
    #[arg(short, long, value_enum)]
    output: Option<ObjectForm>,
    /// Not taken: objects come from files
    #[arg(hide = true)]
    extra: Vec<String>,
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteVerb {
    /// The object must be new.
    Create,
    /// The object must exist.
    Replace,
    /// Whichever it is.
    Apply,
}

impl WriteVerb {
    fn word(self) -> &'static str {
        match self {
            WriteVerb::Create => "create",
            WriteVerb::Replace => "replace",
            WriteVerb::Apply => "apply",
        }
    }
}

/// Writes every object that was handed in. A mistake in any of them stops everything before the first write; what the
/// server refuses is told for each, and the others go on.
pub(crate) async fn run(verb: WriteVerb, args: WriteArgs, connection: &Connection) -> Result<(), Failure> {
    if !args.extra.is_empty() {
        return Err(Failure::Usage(format!("{} takes no arguments", verb.word())));
    }
    let objects = input::read(&args.files, connection)?;
    if objects.is_empty() {
        return Err(args.files.empty(verb.word()));
    }
    let client = connection.client()?;
    let mut failures = Vec::new();
    // Every object is written, also when nobody can be told any more.
    let mut printed = Ok(());
    for parsed in &objects {
        let said = input::print_warnings(parsed);
        match write(verb, &client, &parsed.resource).await {
            Ok((sentence, written)) => {
                print_server_warnings(&written, &said);
                printed = printed.and_then(|()| match args.output {
                    Some(form) => print_object(&written.resource, form),
                    None => output::line(sentence),
                });
            }
            Err(error) => failures.extend(refused(parsed, &error)),
        }
    }
    if failures.is_empty() {
        printed
    } else {
        Err(Failure::Failed(failures))
    }
}

async fn write(
    verb: WriteVerb,
    client: &HttpClient,
    resource: &Resource,
) -> Result<(String, Written), ClientError> {
    match verb {
        WriteVerb::Create => {
            let written = client.create(resource).await?;
            Ok((
                format!(
                    "Created config {} at revision {}",
                    written.resource.key(),
                    revision(&written)
                ),
                written,
            ))
        }
        WriteVerb::Replace => {
            let written = replace(client, resource).await?;
            Ok((
                format!(
                    "Updated config {} to revision {}",
                    written.resource.key(),
                    revision(&written)
                ),
                written,
            ))
        }
        WriteVerb::Apply => apply(client, resource).await,
    }
}

/// Replaces the object; a document without a version takes the stored one's, as the older tool did.
async fn replace(client: &HttpClient, resource: &Resource) -> Result<Written, ClientError> {
    if resource.meta.resource_version.is_some() {
        return client.replace(resource).await;
    }
    let mut tries = 1;
    loop {
        let key = resource.key();
        let Some(stored) = client.get(&key).await? else {
            return Err(Status::failure(404, "NotFound", "not found").into());
        };
        let mut resource = resource.clone();
        resource.meta.resource_version = stored.meta.resource_version.clone();
        match client.replace(&resource).await {
            Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn apply(client: &HttpClient, resource: &Resource) -> Result<(String, Written), ClientError> {
    let name = format!(
        "{}.{}/{}",
        resource.kind().singular(),
        resource.kind().group(),
        resource.meta.name
    );
    if resource.meta.name.is_empty() {
        let written = client.create(resource).await?;
        return Ok((format!("{name}{} created", written.resource.meta.name), written));
    }
    let mut tries = 1;
    loop {
        let outcome = match client.get(&resource.key()).await? {
            None => client
                .create(resource)
                .await
                .map(|written| (format!("{name} created"), written)),
            Some(stored) if same(&stored, resource) => Ok((
                format!("{name} unchanged"),
                Written {
                    resource: stored,
                    warnings: Vec::new(),
                },
            )),
            Some(stored) => {
                let mut resource = resource.clone();
                if resource.meta.resource_version.is_none() {
                    resource.meta.resource_version = stored.meta.resource_version.clone();
                }
                client
                    .replace(&resource)
                    .await
                    .map(|written| (format!("{name} configured"), written))
            }
        };
        match outcome {
            // Somebody else wrote in between; a version that the user gave is a condition and is not given up.
            Err(error)
                if (error.is_conflict() || error.is_already_exists())
                    && resource.meta.resource_version.is_none()
                    && tries < TRIES =>
            {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// True when nothing that a user writes differs.
fn same(stored: &Resource, wanted: &Resource) -> bool {
    stored.spec == wanted.spec
        && stored.meta.labels == wanted.meta.labels
        && stored.meta.annotations == wanted.meta.annotations
        && wanted
            .meta
            .resource_version
            .as_ref()
            .is_none_or(|version| Some(version) == stored.meta.resource_version.as_ref())
}

fn revision(written: &Written) -> &str {
    written
        .resource
        .meta
        .resource_version
        .as_deref()
        .unwrap_or("unknown")
}

fn print_server_warnings(written: &Written, said: &[String]) {
    for warning in &written.warnings {
        if !said.iter().any(|sentence| warning.contains(sentence.as_str())) {
            warn(format!("{}: {warning}", written.resource.key()));
        }
    }
}

/// What the server refused, at its place in the file where that can be told.
fn refused(parsed: &Parsed, error: &ClientError) -> Vec<String> {
    let key = parsed.resource.key();
    let placed = |field: &str, message: String| {
        let problem = Problem::new(field, message).of(key.to_string());
        parsed.place(problem).to_string()
    };
    match error {
        ClientError::Status { causes, .. } if !error.is_not_found() && !causes.is_empty() => causes
            .iter()
            .map(|cause| placed(&cause.field, cause.message.clone()))
            .collect(),
        // The server's sentence would name the object once more.
        _ if error.is_not_found() => vec![format!("{key} not found (use create or apply to store it)")],
        ClientError::Status { .. } if error.is_conflict() => {
            let given = parsed.resource.meta.resource_version.as_deref().unwrap_or("none");
            let message = format!(
                "{error}; it is no longer at revision {given}: get it again, or leave metadata.resourceVersion out to \
                 overwrite whatever is stored"
            );
            vec![placed("metadata.resourceVersion", message)]
        }
        ClientError::Status { .. } => vec![format!("{key}: {error}{}", advice(error))],
        _ => vec![error.to_string()],
    }
}

fn advice(error: &ClientError) -> &'static str {
    if error.is_already_exists() {
        " (use replace or apply to change it)"
    } else {
        ""
    }
}
