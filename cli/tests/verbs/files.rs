//! Where objects come from: files, folders, standard input.

use super::harness::ControlPlane;
use super::{RULE, rule};

#[test]
fn objects_come_from_a_file_a_folder_and_standard_input() {
    let plane = ControlPlane::start();
    let file = plane.file("one.yaml", &format!("{}---\n{}", rule("a"), rule("b")));
    plane.file("folder/two.yaml", &rule("c"));
    plane.file(
        "folder/three.json",
        r#"{"apiVersion": "config.istio.io/v1alpha2", "kind": "RouteRule",
        "metadata": {"name": "d"}, "spec": {"destination": {"name": "reviews"}}}"#,
    );
    plane.file("folder/notes.txt", "not a rule");

    let from_file = plane.run(&["create", "-f", file.to_str().unwrap()]).good();
    plane.run(&["create", "-f", "folder"]).good();
    plane.feed(&["create", "-f", "-"], &rule("e")).good();

    assert!(
        from_file
            .out
            .starts_with("Created config route-rule/default/a at revision "),
        "{from_file:?}"
    );
    let names = plane.run(&["get", "routerules", "-o", "name"]).good().out;
    let wanted: Vec<String> = ["a", "b", "c", "d", "e"]
        .map(|name| format!("routerule.config.istio.io/{name}"))
        .into();
    assert_eq!(names.lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn a_deletion_without_a_name_deletes_nothing() {
    let plane = ControlPlane::start();
    plane
        .feed(
            &["create", "-f", "-"],
            &format!("{}---\n{}", rule("a"), rule("b")),
        )
        .good();
    let nameless = rule("x").replace("name: x", "generateName: x-");

    for name in ["", ".", "..", "a/b", "?"] {
        let refused = plane.run(&["delete", "routerule", name]);
        refused.failed(1, "is not the name of an object");
    }
    plane
        .feed(&["delete", "-f", "-"], &nameless)
        .failed(1, "is not the name of an object");
    plane
        .feed(&["replace", "-f", "-"], &nameless)
        .failed(1, "is not the name of an object");

    let left = plane.run(&["get", "routerules", "-o", "name"]).good();
    assert_eq!(
        left.out,
        "routerule.config.istio.io/a\nrouterule.config.istio.io/b\n"
    );
}

#[test]
fn deleting_by_file_and_by_name_tells_what_is_gone_and_what_never_was() {
    let plane = ControlPlane::start();
    plane
        .feed(
            &["create", "-f", "-"],
            &format!("{}---\n{}---\n{}", rule("a"), rule("b"), rule("c")),
        )
        .good();

    let by_file = plane.feed(&["delete", "-f", "-"], &rule("a")).good();
    let by_name = plane.run(&["delete", "routerule", "b", "nothing"]);

    assert_eq!(by_file.out, "Deleted config: route-rule/default/a\n");
    assert_eq!(by_name.out, "Deleted config: routerule b\n");
    by_name.failed(
        1,
        "cannot delete nothing: routerules.config.istio.io \"nothing\" not found",
    );
    let left = plane.run(&["get", "routerules", "-o", "name"]).good();
    assert_eq!(left.out, "routerule.config.istio.io/c\n");
}

#[test]
fn replacing_needs_the_version_that_was_read() {
    let plane = ControlPlane::start();
    plane.feed(&["create", "-f", "-"], RULE).good();
    let read = plane
        .run(&["get", "routerule", "reviews-default", "-o", "yaml"])
        .good()
        .out;
    let changed = read.replace("version: v1", "version: v9");
    assert_ne!(changed, read);

    plane.feed(&["replace", "-f", "-"], &changed).good();
    plane
        .feed(&["replace", "-f", "-"], &changed.replace("v9", "v8"))
        .failed(1, "it is no longer at revision");

    let now = plane
        .run(&["get", "routerule", "reviews-default", "-o", "json"])
        .good()
        .json();
    let route = &now["items"][0]["spec"]["route"][0];
    assert_eq!(route["labels"]["version"], "v9", "{now}");
    assert_eq!(now["items"][0]["metadata"]["generation"], 2);
}

#[test]
fn applying_creates_then_changes_then_leaves_alone() {
    let plane = ControlPlane::start();
    let other = RULE.replace("version: v1", "version: v2");

    let words: Vec<String> = [RULE, &other, &other]
        .map(|text| plane.feed(&["apply", "-f", "-"], text).good().out)
        .into();

    let told = ["created", "configured", "unchanged"]
        .map(|end| format!("routerule.config.istio.io/reviews-default {end}\n"));
    assert_eq!(words, told);
    let generation = plane
        .run(&["get", "routerule", "reviews-default", "-o", "json"])
        .good()
        .json();
    assert_eq!(generation["items"][0]["metadata"]["generation"], 2);
}
