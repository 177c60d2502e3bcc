//! What is wrong is told once, with its place, and nothing is stored.

use super::harness::{ControlPlane, alone};
use super::{RULE, rule};

#[test]
fn one_mistake_anywhere_stores_nothing() {
    let plane = ControlPlane::start();
    let good = rule("good");
    let mistakes = [
        ("broken YAML", "spec: {".to_owned(), "broken YAML"),
        (
            "half a document",
            RULE[..RULE.len() - 6].to_owned(),
            "broken YAML",
        ),
        (
            "wrong kind",
            RULE.replace("RouteRule", "RouteRuel"),
            "the kinds are RouteRule",
        ),
        (
            "unknown field",
            RULE.replace("route:", "ruote:"),
            "did you mean route",
        ),
        (
            "weights",
            RULE.replace(
                "{labels: {version: v1}}",
                "{labels: {version: v1}, weight: 60}, {labels: {version: v2}, weight: 50}",
            ),
            "110",
        ),
        (
            "bad regex",
            RULE.replace(
                "  route:",
                "  match: {request: {headers: {cookie: {regex: '('}}}}\n  route:",
            ),
            "regex",
        ),
        ("duplicate names", rule("good"), "good"),
        (
            "a name that is none",
            RULE.replace("reviews-default", "'no name'"),
            "name",
        ),
        ("no text", "\u{0}\u{1}".to_owned(), "-:"),
    ];
    for (what, text, message) in mistakes {
        let said = plane.feed(&["create", "-f", "-"], &format!("{good}---\n{text}"));

        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        assert!(said.err.contains(message), "{what}: want {message:?} in {said:?}");
        assert!(said.err.contains("-:"), "{what}: no place in {said:?}");
        let stored = plane.run(&["get", "routerules", "-o", "name"]).good();
        assert_eq!(stored.out, "", "{what}");
    }
}

#[test]
fn an_object_that_is_too_large_is_refused() {
    let plane = ControlPlane::start();
    let padding = format!(
        "metadata: {{name: large, annotations: {{a: {}}}}}",
        "x".repeat(2 << 20)
    );

    let said = plane.feed(
        &["create", "-f", "-"],
        &RULE.replace("metadata: {name: reviews-default}", &padding),
    );

    said.failed(1, "1572864");
    assert_eq!(plane.run(&["get", "routerules", "-o", "name"]).good().out, "");
}

#[test]
fn a_subset_that_nobody_defines_is_refused_by_name() {
    let plane = ControlPlane::start();
    let service = "apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews.mesh]
  http: [{route: [{destination: {host: reviews.mesh, subset: v7}}]}]
";

    plane
        .feed(&["create", "-f", "-"], service)
        .failed(1, "no DestinationRule defines subset \"v7\" of host reviews.mesh");
}

#[test]
fn calls_that_make_no_sense_end_with_64() {
    let plane = ControlPlane::start();

    plane.run(&["create"]).failed(64, "filename not specified");
    plane
        .run(&["get"])
        .failed(64, "specify the type of resource to get");
    plane
        .run(&["get", "routerules", "-o", "xml"])
        .failed(64, "unknown output format xml");
    plane.run(&["crate", "-f", "x"]).failed(64, "create");
    plane
        .run(&["delete", "routerule"])
        .failed(64, "provide configuration type and name or -f option");
    plane.run(&["get", "cats"]).failed(1, "cats");
    plane
        .run(&["create", "-f", "nowhere.yaml"])
        .failed(1, "nowhere.yaml");
}

#[test]
fn without_a_server_the_message_says_where_it_looked_and_how_to_change_that() {
    let said = alone(&["get", "routerules", "--server", "http://127.0.0.1:1"]);

    assert_eq!(said.err.matches("127.0.0.1:1").count(), 1, "{said:?}");
    said.failed(
        1,
        "http://127.0.0.1:1: Connection refused (os error 111); is `outrigger serve` running there?",
    );
}

#[test]
fn files_are_checked_without_any_server() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.yaml"), folder.path().join("bad.yaml"));
    std::fs::write(&good, RULE).unwrap();
    std::fs::write(&bad, RULE.replace("route:", "ruote:")).unwrap();

    alone(&["validate", "-f", good.to_str().unwrap()]).good();
    let said = alone(&["validate", "-f", bad.to_str().unwrap()]);

    said.failed(1, "bad.yaml:6:3");
}

#[test]
fn a_full_standard_output_is_an_error_and_a_reader_that_has_enough_is_none() {
    let plane = ControlPlane::start();
    plane.feed(&["create", "-f", "-"], RULE).good();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    for words in [
        &["get", "routerules"][..],
        &["version"],
        &["export"],
        &["completion"],
    ] {
        plane.run_into(words, full()).failed(1, "No space left on device");
    }
    let gone = plane.run_into(&["get", "routerules"], writer).good();

    assert_eq!(gone.err, "");
}

#[test]
fn what_was_asked_is_done_also_when_nobody_reads_what_is_printed() {
    let plane = ControlPlane::start();
    let file = plane.file("three.yaml", &["a", "b", "c"].map(rule).join("---\n"));
    let file = file.to_str().unwrap();
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };

    plane.run_into(&["create", "-f", file], gone()).good();
    let stored = plane.run(&["get", "routerules", "-o", "name"]).good().out;
    plane
        .run_into(&["delete", "routerule", "a", "b", "c"], gone())
        .good();
    let left = plane.run(&["get", "routerules", "-o", "name"]).good().out;

    assert_eq!((stored.lines().count(), left.as_str()), (3, ""));
}
