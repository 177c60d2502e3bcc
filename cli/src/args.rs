//! The command line: which words lead to which verb or role, in each of the program's voices.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::verbs::write::WriteVerb;
use crate::{demo, roles, verbs};

/// The name under which `istioctl` users find their verbs.
const ISTIOCTL: &str = "istioctl";

/// A service mesh for everyone who has no Kubernetes
#[derive(Parser, Debug)]
#[command(
    name = "outrigger",
    version,
    after_help = "Examples:
  outrigger demo                          a whole mesh on this machine
  outrigger serve --registries static --static-services services.yaml
  outrigger create -f rules/              store rules
  outrigger get virtualservices -o yaml   read them
  outrigger proxy-status                  who runs what

`outrigger help COMMAND` shows a command with its flags and examples."
)]
struct OutriggerArgs {
    #[command(subcommand)]
    call: Call,
    #[command(flatten)]
    connection: Connection,
}

/// Manage the rules of an Outrigger mesh, in the words of istioctl
#[derive(Parser, Debug)]
#[command(name = "istioctl", version)]
struct IstioctlArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connection: Connection,
    /// Log level; accepted because existing scripts pass it
    #[arg(short = 'v', long = "v", global = true, value_name = "N", hide = true)]
    verbosity: Option<String>,
}

#[derive(Subcommand, Debug)]
enum Call {
    #[command(flatten)]
    Verb(Verb),
    #[command(flatten)]
    Role(Role),
}

/// What an operator does.
#[derive(Subcommand, Debug)]
enum Verb {
    /// Store new objects from files
    #[command(after_help = "Examples:\n  outrigger create -f rule.yaml\n  outrigger create -f - < rule.yaml")]
    Create(verbs::write::WriteArgs),
    /// Replace stored objects by those in files
    #[command(after_help = "Examples:\n  outrigger replace -f rule.yaml")]
    Replace(verbs::write::WriteArgs),
    /// Store objects from files, whether or not they exist
    #[command(after_help = "Examples:\n  outrigger apply -f rules/")]
    Apply(verbs::write::WriteArgs),
    Delete(verbs::delete::DeleteArgs),
    Get(verbs::get::GetArgs),
    Validate(verbs::validate::ValidateArgs),
    ContextCreate(verbs::context_create::ContextCreateArgs),
    #[command(visible_alias = "ps")]
    ProxyStatus(verbs::proxy_status::ProxyStatusArgs),
    Wait(verbs::wait::WaitArgs),
    Export(verbs::export::ExportArgs),
    Import(verbs::export::ImportArgs),
    Version(verbs::version::VersionArgs),
    Completion(verbs::completion::CompletionArgs),
}

/// What a process is.
#[derive(Subcommand, Debug)]
enum Role {
    Serve(Box<roles::serve::ServeArgs>),
    Proxy(Box<roles::proxy::ProxyArgs>),
    Bookinfo(roles::bookinfo::BookinfoArgs),
    Demo(Box<demo::DemoArgs>),
}

/// A call that was understood.
pub(crate) struct Parsed {
    call: Call,
    connection: Connection,
}

/// The last part of the name under which the program was started.
pub(crate) fn called_by(first: Option<OsString>) -> String {
    let name = first
        .as_deref()
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    match name {
        Some(ISTIOCTL) => ISTIOCTL.to_owned(),
        _ => "outrigger".to_owned(),
    }
}

/// Reads the command line. Help and version end well; a call that makes no sense ends with 64.
pub(crate) fn parse(called_by: &str, words: impl Iterator<Item = OsString>) -> Result<Parsed, ExitCode> {
    let parsed = if called_by == ISTIOCTL {
        IstioctlArgs::command()
            .try_get_matches_from(words)
            .and_then(|matches| IstioctlArgs::from_arg_matches(&matches))
            .map(|args| Parsed {
                call: Call::Verb(args.verb),
                connection: args.connection,
            })
    } else {
        OutriggerArgs::command()
            .try_get_matches_from(words)
            .and_then(|matches| OutriggerArgs::from_arg_matches(&matches))
            .map(|args| Parsed {
                call: args.call,
                connection: args.connection,
            })
    };
    parsed.map_err(|error| {
        // Nothing can be done where even the message cannot be printed.
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::from(64)
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// Does what was asked.
pub(crate) fn dispatch(parsed: Parsed, called_by: &str) -> Result<(), Failure> {
    let Parsed { call, connection } = parsed;
    match call {
        // The proxy brings threads of its own; this one only waits.
        Call::Role(Role::Proxy(args)) => roles::proxy::run(&args, &single()?),
        Call::Role(Role::Serve(args)) => threaded()?.block_on(roles::serve::run(*args)),
        Call::Role(Role::Bookinfo(args)) => threaded()?.block_on(roles::bookinfo::run(args)),
        Call::Role(Role::Demo(args)) => threaded()?.block_on(demo::run(*args)),
        Call::Verb(verb) => single()?.block_on(operate(verb, &connection, called_by)),
    }
}

async fn operate(verb: Verb, connection: &Connection, called_by: &str) -> Result<(), Failure> {
    match verb {
        Verb::Create(args) => verbs::write::run(WriteVerb::Create, args, connection).await,
        Verb::Replace(args) => verbs::write::run(WriteVerb::Replace, args, connection).await,
        Verb::Apply(args) => verbs::write::run(WriteVerb::Apply, args, connection).await,
        Verb::Delete(args) => verbs::delete::run(args, connection).await,
        Verb::Get(args) => verbs::get::run(args, connection).await,
        Verb::Validate(args) => verbs::validate::run(&args, connection),
        Verb::ContextCreate(args) => verbs::context_create::run(&args, connection),
        Verb::ProxyStatus(args) => verbs::proxy_status::run(args, connection).await,
        Verb::Wait(args) => verbs::wait::run(args, connection).await,
        Verb::Export(args) => verbs::export::export(args, connection).await,
        Verb::Import(args) => verbs::export::import(args, connection).await,
        Verb::Version(args) => verbs::version::run(&args),
        Verb::Completion(args) => {
            let command = if called_by == ISTIOCTL {
                IstioctlArgs::command()
            } else {
                OutriggerArgs::command()
            };
            verbs::completion::run(&args, command)
        }
    }
}

fn threaded() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    Ok(runtime.context("cannot start the threads of this process")?)
}

fn single() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("cannot start this process")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_are_well_formed() {
        OutriggerArgs::command().debug_assert();
        IstioctlArgs::command().debug_assert();
    }

    #[test]
    fn the_name_of_the_program_chooses_the_voice() {
        assert_eq!(called_by(Some("/usr/local/bin/istioctl".into())), "istioctl");
        assert_eq!(called_by(Some("./outrigger".into())), "outrigger");
        assert_eq!(called_by(None), "outrigger");
    }

    #[test]
    fn roles_are_not_verbs_of_istioctl() {
        let words = ["istioctl", "serve"].map(OsString::from);

        assert!(IstioctlArgs::command().try_get_matches_from(words).is_err());
    }
}
