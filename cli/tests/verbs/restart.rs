//! A control plane that is killed and starts while its registry cannot be read.

use std::time::{Duration, Instant};

use super::harness::ControlPlane;

/// Waits for something that must come.
fn until(what: &str, fits: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !fits() {
        assert!(Instant::now() < limit, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_the_registry_had_read_is_served_after_a_kill_although_its_file_is_broken_now() {
    let plane = ControlPlane::start();
    let kept = plane.folder().join("store/registries/static.catalogue");
    until("the saved catalogue", || kept.exists());

    let plane = plane.restarted_after(|folder| {
        std::fs::write(folder.join("services.yaml"), "- {").unwrap();
    });

    until("the services of before", || {
        plane.page("/debug/registryz").contains("reviews.mesh")
    });
    let said = plane.run(&["proxy-status"]).good().out;
    assert!(
        said.contains("registry static: restored, read ") && said.contains("services.yaml:1:"),
        "{said}"
    );
}
