//! What is printed: tables, documents, warnings.

use super::RULE;
use super::harness::{ControlPlane, alone};

#[test]
fn stored_rules_are_listed_in_the_shape_of_their_generation() {
    let plane = ControlPlane::start();
    plane.feed(&["create", "-f", "-"], RULE).good();

    let short = plane.run(&["get", "routerules"]).good().out;
    let wide = plane.run(&["get", "routerules", "-o", "wide"]).good().out;

    assert_eq!(
        short,
        "NAME            KIND                                    NAMESPACE\n\
         reviews-default RouteRule.v1alpha2.config.istio.io      default\n"
    );
    let heading = wide.lines().next().unwrap();
    for column in ["GENERATION", "RUNNING ON", "REFUSED BY", "PILOT FOUND"] {
        assert!(heading.contains(column), "{wide}");
    }
    assert_eq!(
        plane.run(&["get", "gateways"]).good().out,
        "No resources found.\n"
    );
}

#[test]
fn what_is_printed_as_yaml_can_be_stored_again() {
    let plane = ControlPlane::start();
    plane.feed(&["create", "-f", "-"], RULE).good();
    let yaml = plane.run(&["get", "routerules", "-o", "yaml"]).good().out;
    plane.run(&["delete", "routerule", "reviews-default"]).good();
    let again: String = yaml
        .lines()
        .filter(|line| {
            !["uid:", "resourceVersion:"]
                .iter()
                .any(|field| line.trim().starts_with(field))
        })
        .map(|line| format!("{line}\n"))
        .collect();

    plane.feed(&["create", "-f", "-"], &again).good();

    let spec = |yaml: &str| yaml.split_once("spec:").unwrap().1.to_owned();
    let now = plane.run(&["get", "routerules", "-o", "yaml"]).good().out;
    assert_eq!(spec(&now), spec(&yaml));
}

#[test]
fn what_is_printed_as_json_or_by_name_is_read_back() {
    let plane = ControlPlane::start();
    plane.feed(&["create", "-f", "-"], RULE).good();
    let json = plane.run(&["get", "routerules", "-o", "json"]).good().out;
    let name = plane.run(&["get", "routerules", "-o", "name"]).good().out;

    let applied = plane.feed(&["apply", "-f", "-"], &json).good();
    let named = plane.run(&["get", name.trim(), "routerule/absent"]);

    assert_eq!(
        applied.out,
        "routerule.config.istio.io/reviews-default unchanged\n"
    );
    assert!(named.out.contains("reviews-default"), "{named:?}");
    named.failed(1, "routerules.config.istio.io \"absent\" not found in default");
}

#[test]
fn a_field_without_effect_and_a_version_that_nobody_runs_are_warned_about() {
    let plane = ControlPlane::start();
    let fault = RULE.replace(
        "  route:",
        "  httpFault: {delay: {percent: 100, fixedDelay: 7s}}\n  route:",
    );
    let absent = RULE
        .replace("version: v1", "version: v2")
        .replace("reviews-default", "absent");

    let fault = plane.feed(&["create", "-f", "-"], &fault).good();
    let absent = plane.feed(&["create", "-f", "-"], &absent).good();

    assert!(
        fault.err.contains("spec.httpFault: httpFault has no effect yet"),
        "{fault:?}"
    );
    assert!(
        absent
            .err
            .contains("no instance of reviews.mesh has labels version=v2"),
        "{absent:?}"
    );
    assert!(
        absent.out.contains("Created config route-rule/default/absent"),
        "{absent:?}"
    );
}

#[test]
fn a_deletion_warns_of_who_is_left_dangling() {
    let plane = ControlPlane::start();
    let rules = "apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews.mesh, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews.mesh], http: [{route: [{destination: {host: reviews.mesh, subset: v1}}]}]}
";
    plane.feed(&["create", "-f", "-"], rules).good();

    let said = plane.run(&["delete", "destinationrule", "reviews"]).good();

    assert!(
        said.err
            .contains("virtual-service/default/reviews is left dangling"),
        "{said:?}"
    );
}

#[test]
fn waiting_without_a_proxy_says_so_and_can_demand_one() {
    let plane = ControlPlane::start();
    plane.feed(&["create", "-f", "-"], RULE).good();

    let nobody = plane.run(&["wait"]).good();
    let wanted = plane.run(&["wait", "--at-least", "1", "--timeout", "100ms"]);

    assert!(nobody.err.contains("no proxy is connected"), "{nobody:?}");
    wanted.failed(1, "0 of 1 proxies are connected");
}

#[test]
fn the_build_and_completions_are_printed() {
    let version = alone(&["version", "-o", "json"]).good().json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for (shell, word) in [
        ("bash", "virtualservice"),
        ("zsh", "virtualservice"),
        ("fish", "proxy-status"),
    ] {
        let script = alone(&["completion", shell]).good().out;
        assert!(script.contains("outrigger") && script.contains(word), "{shell}");
    }
}
