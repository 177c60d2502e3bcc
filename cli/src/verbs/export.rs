//! `export` and `import`: every object as one line of JSON, for copies and for moving house.

use std::io::BufRead;

use anyhow::Context;
use clap::Args;
use outrigger_client::transfer;

use crate::connection::Connection;
use crate::failure::{Failure, chain};
use crate::output;

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
    match transfer::export(&client, &mut std::io::stdout().lock()).await {
        Err(transfer::TransferError::Io { reason, .. })
            if reason.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            Err(Failure::ReaderGone)
        }
        Err(error) => Err(Failure::one(chain(&error))),
        Ok(_) => Ok(()),
    }
}

/// Imports; each line that cannot be stored is told by its number, and the others go on.
pub(crate) async fn import(args: ImportArgs, connection: &Connection) -> Result<(), Failure> {
    let client = connection.client()?;
    let mut input: Box<dyn BufRead> = if args.file == std::path::Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(&args.file)
            .with_context(|| format!("cannot read {}", args.file.display()))?;
        Box::new(std::io::BufReader::new(file))
    };
    let imported = transfer::import(&client, &args.file.display().to_string(), &mut input)
        .await
        .map_err(|error| Failure::one(chain(&error)))?;
    output::line(format_args!(
        "{} objects imported: {} created, {} replaced, {} unchanged",
        imported.created + imported.replaced + imported.unchanged,
        imported.created,
        imported.replaced,
        imported.unchanged
    ))?;
    if imported.refused.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(imported.refused))
    }
}

#[cfg(test)]
mod tests {
    use outrigger_api::document::{Options, parse};
    use outrigger_apiserver::ApiServer;
    use outrigger_client::transfer::{Imported, TransferError, export, import};
    use outrigger_client::{ConfigStore, HttpClient};

    const RULES: &str = "apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: a, namespace: default}
spec: {host: a.mesh, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: a, namespace: default}
spec: {hosts: [a.mesh], http: [{route: [{destination: {host: a.mesh, subset: v1}}]}]}
";

    fn empty() -> (tempfile::TempDir, ApiServer) {
        let folder = tempfile::tempdir().unwrap();
        let server = ApiServer::open(folder.path(), outrigger_apiserver::Options::default()).unwrap();
        (folder, server)
    }

    async fn exported() -> Vec<u8> {
        let (_folder, server) = empty();
        for document in parse("rules", RULES, &Options::default()) {
            server.create(&document.outcome.unwrap().resource).await.unwrap();
        }
        let mut text = Vec::new();
        assert_eq!(export(&server, &mut text).await.unwrap(), 2);
        text
    }

    #[tokio::test]
    async fn an_export_is_taken_by_an_empty_store_and_changes_nothing_the_second_time() {
        let text = exported().await;
        let (_folder, server) = empty();

        let first = import(&server, "x", &mut &*text).await.unwrap();
        let second = import(&server, "x", &mut &*text).await.unwrap();

        let created = Imported {
            created: 2,
            ..Imported::default()
        };
        let unchanged = Imported {
            unchanged: 2,
            ..Imported::default()
        };
        assert_eq!((first, second), (created, unchanged));
    }

    #[tokio::test]
    async fn a_refused_line_is_told_by_its_place_and_the_others_go_on() {
        let mut text = b"{\"kind\": \"Nothing\"}\n".to_vec();
        text.extend(exported().await);
        let (_folder, server) = empty();

        let imported = import(&server, "rules.jsonl", &mut &*text).await.unwrap();

        assert_eq!(imported.created, 2);
        assert!(imported.refused[0].starts_with("rules.jsonl:1: "), "{imported:?}");
    }

    #[tokio::test]
    async fn an_import_stops_at_the_first_line_that_is_not_json() {
        // Nothing listens there: the first good line would be told as a failed call.
        let nowhere = HttpClient::new("http://127.0.0.1:1", None).unwrap();

        let error = import(&nowhere, "x", &mut &b"\nkind: Gateway\n"[..])
            .await
            .unwrap_err();

        assert!(matches!(error, TransferError::Line { line: 2, .. }), "{error}");
    }
}
