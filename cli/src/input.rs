//! What a user hands in: files, folders and standard input, read into objects before anything is sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use outrigger_api::document::{self, Options, Parsed};
use outrigger_api::effect;
use outrigger_api::problem::Problem;
use outrigger_api::resource::Key;
use outrigger_client::transfer::rank;

use crate::connection::Connection;
use crate::failure::{Failure, warn};

/// Where objects come from.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Files {
    /// File with one or several objects, a folder of such files, or - for standard input; may be repeated
    #[arg(short = 'f', long = "file", visible_alias = "filename", value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Warn about unknown fields instead of refusing them
    #[arg(long)]
    pub(crate) allow_unknown: bool,
}

impl Files {
    /// There is no object in them, so nothing to `verb`.
    pub(crate) fn empty(&self, verb: &str) -> Failure {
        let names: Vec<String> = self.file.iter().map(|file| file.display().to_string()).collect();
        Failure::one(format!("nothing to {verb}: {} holds no object", names.join(", ")))
    }
}

/// Reads every object. One mistake anywhere refuses all of it, so that nothing is half applied; every mistake is told.
pub(crate) fn read(files: &Files, connection: &Connection) -> Result<Vec<Parsed>, Failure> {
    let options = Options {
        default_namespace: connection.default_namespace()?,
        allow_unknown: files.allow_unknown,
    };
    let mut objects = Vec::new();
    let mut problems = Vec::new();
    for (origin, text) in texts(&files.file)? {
        for document in document::parse(&origin, &text, &options) {
            match document.outcome {
                Ok(parsed) => objects.push(parsed),
                Err(found) => problems.extend(found.iter().map(ToString::to_string)),
            }
        }
    }
    for parsed in &objects {
        problems.extend(other_namespace(parsed, connection.namespace.as_deref()));
    }
    problems.extend(doubled(&objects));
    if !problems.is_empty() {
        return Err(Failure::Failed(problems));
    }
    // What others refer to comes first, so that a folder can be applied in any order of file names.
    objects.sort_by_key(|parsed| rank(parsed.resource.kind()));
    Ok(objects)
}

/// Prints what the reader should know about an accepted object, and gives the sentences back.
pub(crate) fn print_warnings(parsed: &Parsed) -> Vec<String> {
    let later = effect::not_yet(&parsed.resource)
        .into_iter()
        .map(|problem| parsed.place(problem));
    let mut said = Vec::new();
    for problem in parsed.warnings.iter().cloned().chain(later) {
        warn(&problem);
        said.push(problem.message);
    }
    said
}

fn other_namespace(parsed: &Parsed, wanted: Option<&str>) -> Option<String> {
    let wanted = wanted?;
    let given = &parsed.resource.meta.namespace;
    (parsed.namespace_given && given != wanted).then(|| {
        format!(
            "the namespace from the provided object {given:?} does not match the namespace {wanted:?}. You must pass \
             '--namespace={given}' to perform this operation"
        )
    })
}

fn doubled(objects: &[Parsed]) -> Vec<String> {
    let mut places: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for parsed in objects {
        let whole = parsed.place(Problem::new("metadata.name", ""));
        let place = format!("{}:{}:{}", whole.origin, whole.line, whole.column);
        places.entry(parsed.resource.key()).or_default().push(place);
    }
    places
        .into_iter()
        .filter(|(key, places)| places.len() > 1 && !key.name.is_empty())
        .map(|(key, places)| {
            format!(
                "{key}: the name is used {} times in what was handed in, at {}; expected once",
                places.len(),
                places.join(" and ")
            )
        })
        .collect()
}

fn texts(files: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    if files.is_empty() {
        return Err(Failure::Usage(
            "filename not specified (see --filename or -f)".into(),
        ));
    }
    let mut texts = Vec::new();
    for file in files {
        if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::one(format!("cannot read standard input: {error}")))?;
            texts.push(("-".to_owned(), text));
        } else if file.is_dir() {
            for inner in in_folder(file)? {
                texts.push(one(&inner)?);
            }
        } else {
            texts.push(one(file)?);
        }
    }
    Ok(texts)
}

fn one(file: &Path) -> Result<(String, String), Failure> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::one(format!("cannot read {}: {error}", file.display())))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((file.display().to_string(), text)),
        Err(error) => Err(Failure::one(format!(
            "{}: not UTF-8: byte {} is wrong",
            file.display(),
            error.utf8_error().valid_up_to()
        ))),
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed =
        |error: std::io::Error| Failure::one(format!("cannot read folder {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default();
        if path.is_file() && matches!(ending, "yaml" | "yml" | "json") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::one(format!(
            "folder {} has no .yaml, .yml or .json file",
            folder.display()
        )));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use outrigger_api::kind::Kind;

    use super::*;

    fn handed_in(text: &str, namespace: Option<&str>) -> Result<Vec<Parsed>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.yaml");
        std::fs::write(&file, text).unwrap();
        let connection = Connection {
            namespace: namespace.map(str::to_owned),
            kubeconfig: Some(folder.path().join("none")),
            ..Connection::default()
        };
        read(
            &Files {
                file: vec![folder.path().to_owned()],
                allow_unknown: false,
            },
            &connection,
        )
    }

    fn refused(outcome: Result<Vec<Parsed>, Failure>) -> Vec<String> {
        match outcome {
            Err(Failure::Failed(messages)) => messages,
            other => panic!("{other:?}"),
        }
    }

    const RULE: &str = "apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews, namespace: shop}
spec: {destination: {name: reviews}, route: [{labels: {version: v1}}]}
";

    #[test]
    fn a_rule_of_another_namespace_is_refused_with_the_flag_that_would_do() {
        let messages = refused(handed_in(RULE, Some("other")));

        assert!(messages[0].contains("'--namespace=shop'"), "{messages:?}");
    }

    #[test]
    fn a_name_that_is_used_twice_is_refused() {
        let messages = refused(handed_in(&format!("{RULE}---\n{RULE}"), None));

        assert_eq!(messages.len(), 1);
        assert!(
            messages[0].starts_with("route-rule/shop/reviews: the name is used 2 times")
                && messages[0].contains("rules.yaml:3:18 and ")
                && messages[0].contains("rules.yaml:8:18;"),
            "{messages:?}"
        );
    }

    #[test]
    fn subsets_come_before_the_services_that_name_them() {
        let text = "apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a.mesh], http: [{route: [{destination: {host: a.mesh, subset: v1}}]}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: a}
spec: {host: a.mesh, subsets: [{name: v1, labels: {version: v1}}]}
";

        let kinds: Vec<Kind> = handed_in(text, None)
            .unwrap()
            .iter()
            .map(|parsed| parsed.resource.kind())
            .collect();

        assert_eq!(kinds, [Kind::DestinationRule, Kind::VirtualService]);
    }
}
