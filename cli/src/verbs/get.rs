//! `get`: stored objects as a table, YAML or JSON, once or as they change.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use outrigger_api::kind::{Kind, cli_names};
use outrigger_api::resource::{Key, Resource};
use outrigger_client::backoff::Backoff;
use outrigger_client::{ClientError, ConfigSource, HttpClient, WatchEvent};
use serde_json::json;

use crate::connection::Connection;
use crate::failure::{Failure, warn};
use crate::object::{Named, named};
use crate::output;
use crate::pilot::{Pilot, PilotArgs};
use crate::suggest;
pub(crate) use table::aligned;
use table::{Distribution, Layout};

/// Print stored objects
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger get routerules
  outrigger get virtualservice reviews -o yaml
  outrigger get routerule/reviews gateway/bookinfo
  outrigger get all --all-namespaces
  outrigger get routerules -o wide                 with who runs or refuses each rule, and what pilot found
  outrigger get destinationrules --watch")]
pub(crate) struct GetArgs {
    /// Type and names, TYPE/NAME, several types separated by commas, or all
    #[arg(value_name = "TYPE NAME", value_parser = suggest::kinds_or_all())]
    object: Vec<String>,
    /// Objects of every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How objects are printed
    #[arg(
        short,
        long,
        default_value = "short",
        value_name = "FORM",
        value_parser = suggest::words(&["short", "wide", "name", "yaml", "json"])
    )]
    output: String,
    /// Go on and print every change
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    pilot: PilotArgs,
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Short,
    Wide,
    Name,
    Yaml,
    Json,
}

impl Form {
    fn parse(text: &str) -> Result<Form, Failure> {
        Ok(match text {
            "short" => Form::Short,
            "wide" => Form::Wide,
            "name" => Form::Name,
            "yaml" => Form::Yaml,
            "json" => Form::Json,
            other => {
                return Err(Failure::Usage(format!(
                    "unknown output format {other}. Types are yaml|short|wide|json|name"
                )));
            }
        })
    }
}

/// Prints what was asked for.
pub(crate) async fn run(args: GetArgs, connection: &Connection) -> Result<(), Failure> {
    let form = Form::parse(&args.output)?;
    let wanted = named(&args.object)?;
    let client = connection.client()?;
    let namespace = match args.all_namespaces {
        true => None,
        false => Some(connection.default_namespace()?),
    };
    let place = namespace.as_deref();
    if args.watch {
        let (kind, name) = match &wanted {
            Named::Kinds(kinds) if kinds.len() == 1 => (kinds.first().copied(), None),
            Named::Objects(objects) if objects.len() == 1 => {
                let one = objects.first();
                (one.map(|(kind, _)| *kind), one.map(|(_, name)| name.as_str()))
            }
            _ => (None, None),
        };
        return match (kind, form) {
            (None, _) => Err(Failure::Usage(
                "--watch goes with one type, and at most one name".into(),
            )),
            (_, Form::Wide) => Err(Failure::Usage(
                "--watch goes with -o short, name, yaml or json".into(),
            )),
            (Some(kind), form) => watch(&client, kind, name, place, form).await,
        };
    }
    let mut found = Vec::new();
    match wanted {
        Named::Kinds(kinds) if kinds.is_empty() => {
            return Err(Failure::Usage(format!(
                "specify the type of resource to get. Types are {}, all",
                cli_names()
            )));
        }
        Named::Kinds(kinds) => {
            for kind in kinds {
                found.extend(listed(&client, kind, place).await?.0);
            }
        }
        Named::All => {
            for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::ServiceAddress) {
                found.extend(listed(&client, kind, place).await?.0);
            }
        }
        Named::Objects(objects) => {
            let mut missing = Vec::new();
            for (kind, name) in objects {
                let of_name = stored(&client, kind, &name, place).await?;
                if of_name.is_empty() {
                    missing.push(absent(kind, &name, place));
                }
                found.extend(of_name);
            }
            if !missing.is_empty() {
                // What was found is shown all the same.
                if !found.is_empty() {
                    print(&found, form, &args.pilot, connection).await?;
                }
                return Err(Failure::Failed(missing));
            }
        }
    }
    print(&found, form, &args.pilot, connection).await
}

/// The objects of that kind and name: one, or one in each namespace.
async fn stored(
    client: &HttpClient,
    kind: Kind,
    name: &str,
    namespace: Option<&str>,
) -> Result<Vec<Arc<Resource>>, Failure> {
    let Some(namespace) = namespace else {
        let mut all = listed(client, kind, None).await?.0;
        all.retain(|resource| resource.meta.name == name);
        return Ok(all);
    };
    let stored = client.get(&Key::new(kind, namespace, name)).await;
    let stored = stored.map_err(|error| Failure::one(error.to_string()))?;
    Ok(stored.into_iter().collect())
}

/// Prints what is there, then every change.
async fn watch(
    client: &HttpClient,
    kind: Kind,
    name: Option<&str>,
    namespace: Option<&str>,
    form: Form,
) -> Result<(), Failure> {
    let (mut found, version) = listed(client, kind, namespace).await?;
    if let Some(name) = name {
        found.retain(|resource| resource.meta.name == name);
    }
    match form {
        // One shape throughout: what is there already was added before.
        Form::Json | Form::Yaml => {
            for resource in &found {
                print_change("ADDED", resource, form)?;
            }
        }
        Form::Short => print_all(&found, form, &Distribution::default())?,
        Form::Name | Form::Wide => {
            for resource in &found {
                output::print_object(resource, output::ObjectForm::Name)?;
            }
        }
    }
    follow(client, kind, name, namespace, version, form).await
}

fn absent(kind: Kind, name: &str, namespace: Option<&str>) -> String {
    let (plural, group) = (kind.plural(), kind.group());
    let place = namespace.unwrap_or("any namespace");
    format!("{plural}.{group} {name:?} not found in {place}")
}

async fn listed(
    client: &HttpClient,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<(Vec<Arc<Resource>>, u64), Failure> {
    let listed = client
        .list(kind)
        .await
        .map_err(|error| Failure::one(error.to_string()))?;
    let mut items = listed.items;
    if let Some(namespace) = namespace {
        items.retain(|resource| resource.meta.namespace == namespace);
    }
    Ok((items, listed.version))
}

async fn print(
    found: &[Arc<Resource>],
    form: Form,
    pilot: &PilotArgs,
    connection: &Connection,
) -> Result<(), Failure> {
    let distribution = match form {
        Form::Wide => {
            let pilot = Pilot::new(pilot, connection)?;
            let (proxies, findings) = tokio::try_join!(pilot.proxies(), pilot.findings())?;
            Distribution { proxies, findings }
        }
        _ => Distribution::default(),
    };
    print_all(found, form, &distribution)
}

fn print_all(found: &[Arc<Resource>], form: Form, distribution: &Distribution) -> Result<(), Failure> {
    match form {
        Form::Json => {
            let items: Vec<_> = found.iter().map(|resource| resource.to_json()).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
            output::line(output::json(&list)?)?;
        }
        Form::Yaml if found.is_empty() => output::line("No resources found.")?,
        Form::Yaml => {
            for resource in found {
                output::print_object(resource, output::ObjectForm::Yaml)?;
            }
        }
        Form::Name => {
            for resource in found {
                output::print_object(resource, output::ObjectForm::Name)?;
            }
        }
        Form::Short | Form::Wide if found.is_empty() => output::line("No resources found.")?,
        Form::Short | Form::Wide => {
            let mut groups: BTreeMap<Layout, Vec<&Resource>> = BTreeMap::new();
            for resource in found {
                groups
                    .entry(Layout::of(resource.kind()))
                    .or_default()
                    .push(resource);
            }
            let wide = (form == Form::Wide).then_some(distribution);
            let tables: Vec<String> = groups
                .into_iter()
                .map(|(layout, resources)| table::render(layout, &resources, wide))
                .collect();
            output::put(tables.join("\n"))?;
        }
    }
    Ok(())
}

/// Prints changes until the connection ends for good. A stream that merely ends is taken up again where it stopped.
async fn follow(
    client: &HttpClient,
    kind: Kind,
    name: Option<&str>,
    namespace: Option<&str>,
    mut version: u64,
    form: Form,
) -> Result<(), Failure> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut lost = false;
    loop {
        let mut events = client.watch(kind, version);
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => {
                    backoff.reset();
                    lost = false;
                    event
                }
                // The server remembers where the watch was, also over a restart of its own.
                Err(error @ ClientError::Unreachable { .. }) => {
                    if !std::mem::replace(&mut lost, true) {
                        warn(format!("{error}; the watch goes on when it is back"));
                    }
                    tokio::time::sleep(backoff.wait()).await;
                    break;
                }
                Err(ClientError::Expired { .. }) => {
                    return Err(Failure::one(
                        "the server forgot what happened since; start the watch again",
                    ));
                }
                Err(error) => return Err(Failure::one(error.to_string())),
            };
            version = event.version().unwrap_or(version);
            let (word, resource) = match &event {
                WatchEvent::Added(resource) => ("ADDED", resource),
                WatchEvent::Modified(resource) => ("MODIFIED", resource),
                WatchEvent::Deleted(resource) => ("DELETED", resource),
                WatchEvent::Bookmark(_) => continue,
            };
            let key: Key = resource.key();
            let asked = name.is_none_or(|name| key.name == name)
                && namespace.is_none_or(|namespace| key.namespace == namespace);
            if asked {
                print_change(word, resource, form)?;
            }
        }
    }
}

fn print_change(word: &str, resource: &Resource, form: Form) -> Result<(), Failure> {
    match form {
        Form::Json => {
            let line = serde_json::to_string(&json!({"type": word, "object": resource.to_json()}))
                .map_err(|error| Failure::one(format!("cannot print this as JSON: {error}")))?;
            output::line(line)?;
        }
        Form::Yaml => {
            output::line(format_args!("# {word}"))?;
            output::print_object(resource, output::ObjectForm::Yaml)?;
        }
        Form::Name => output::print_object(resource, output::ObjectForm::Name)?,
        Form::Short | Form::Wide => {
            output::line(format_args!("{word:<10}{}", table::line(resource)))?;
        }
    }
    Ok(())
}
