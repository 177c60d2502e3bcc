//! The program by its other name, and the ways to say where the server is.

use super::RULE;
use super::harness::{ControlPlane, alone};

#[test]
fn called_istioctl_it_has_the_verbs_of_istioctl() {
    let plane = ControlPlane::start();
    let file = plane.file("rule.yaml", RULE);

    plane.istioctl(&["create", "-f", file.to_str().unwrap()]).good();
    let listed = plane.istioctl(&["get", "routerules"]).good();
    let help = plane.istioctl(&["--help"]).good();

    assert!(listed.out.contains("reviews-default"), "{listed:?}");
    assert!(help.out.contains("Usage: istioctl"), "{help:?}");
    plane.istioctl(&["delete", "routerule", "reviews-default"]).good();
}

#[test]
fn a_written_context_leads_to_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let file = file.to_str().unwrap();

    alone(&[
        "context-create",
        "--api-server",
        "http://127.0.0.1:1",
        "--kubeconfig",
        file,
    ])
    .good();
    let said = alone(&["get", "routerules", "--kubeconfig", file]);

    said.failed(1, "http://127.0.0.1:1");
}

#[test]
fn a_control_plane_with_a_token_lets_in_who_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    let token = token.to_str().unwrap();
    let plane = ControlPlane::with(&["--token-file", token]);

    plane.run(&["get", "routerules"]).failed(1, "Unauthorized");
    let let_in = plane.run(&["get", "routerules", "--token-file", token]).good();

    assert_eq!(let_in.out, "No resources found.\n");
    plane.run(&["wait", "--token-file", token]).good();
}
