//! Which paths and methods mean which call.

use super::*;

fn call(method: &str, path: &str) -> Result<Call, Status> {
    Call::read(&Request::builder().method(method).uri(path).body(()).unwrap())
}

fn place(kind: Kind, namespace: Option<&str>) -> Target {
    Target::Collection(Place {
        kind,
        namespace: namespace.map(str::to_owned),
    })
}

#[test]
fn every_path_leads_to_its_target() {
    const ALPHA2: &str = "/apis/config.istio.io/v1alpha2";
    const ALPHA3: &str = "/apis/networking.istio.io/v1alpha3";
    for (path, expected) in [
        ("/".to_owned(), Target::Paths),
        ("/version".to_owned(), Target::Version),
        ("/version/".to_owned(), Target::Version),
        ("/healthz".to_owned(), Target::Health(Check::Live)),
        ("/healthz/ping".to_owned(), Target::Health(Check::Ping)),
        ("/ready?verbose".to_owned(), Target::Health(Check::Ready)),
        ("/metrics".to_owned(), Target::Metrics),
        (format!("{ALPHA2}/routerules"), place(Kind::RouteRule, None)),
        (
            format!("{ALPHA3}/namespaces/a/virtualservices"),
            place(Kind::VirtualService, Some("a")),
        ),
        (
            format!("{ALPHA3}/namespaces/a/gateways/b%2Ec"),
            Target::Item(Key::new(Kind::Gateway, "a", "b.c")),
        ),
        (
            format!("{ALPHA3}/watch/namespaces/a/gateways/b"),
            Target::Item(Key::new(Kind::Gateway, "a", "b")),
        ),
    ] {
        assert_eq!(call("GET", &path).unwrap().target, expected, "{path}");
    }
}

#[test]
fn paths_to_nowhere_are_not_found() {
    for path in [
        "/apis",
        "/api/v1/pods",
        "/apis/networking.istio.io",
        "/apis/networking.istio.io/v1alpha3",
        "/apis/networking.istio.io/v1alpha2/gateways",
        "/apis/config.istio.io/v1alpha2/gateways",
        "/apis/networking.istio.io/v1alpha3/pods",
        "/apis/networking.istio.io/v1alpha3/gateways/name",
        "/apis/networking.istio.io/v1alpha3/namespaces/a/gateways/b/status",
        "/apis/networking.istio.io/v1alpha3//gateways",
        "/apis/networking.istio.io/v1alpha3/gateways/",
        "/apis/networking.istio.io/v1alpha3/namespaces/a/gateways/",
        "/healthz/nothing",
        "//",
    ] {
        assert_eq!(call("GET", path).unwrap_err().code, 404, "{path}");
    }
    let no_text = call(
        "GET",
        "/apis/networking.istio.io/v1alpha3/namespaces/a/gateways/%ff",
    )
    .unwrap_err();
    assert_eq!(
        (no_text.code, no_text.message.as_str()),
        (400, "the path is not UTF-8 after decoding")
    );
    let bad = call(
        "GET",
        "/apis/networking.istio.io/v1alpha3/namespaces/A_B/gateways",
    )
    .unwrap_err();
    assert_eq!(bad.code, 400, "{}", bad.message);
}

#[test]
fn methods_that_a_target_does_not_know_are_refused() {
    const GATEWAYS: &str = "/apis/networking.istio.io/v1alpha3/namespaces/a/gateways";
    for (method, path) in [
        ("POST", "/version"),
        ("PUT", GATEWAYS),
        ("POST", "/apis/networking.istio.io/v1alpha3/gateways"),
        (
            "PATCH",
            "/apis/networking.istio.io/v1alpha3/namespaces/a/gateways/b",
        ),
        (
            "POST",
            "/apis/networking.istio.io/v1alpha3/namespaces/a/gateways/b",
        ),
    ] {
        let call = call(method, path).unwrap();
        assert_eq!(call.check_method().unwrap_err().code, 405, "{method} {path}");
        assert!(
            call.allowed_methods()
                .is_some_and(|allowed| allowed.starts_with("GET, HEAD")),
            "{method} {path}"
        );
    }
    assert!(call("POST", GATEWAYS).unwrap().check_method().is_ok());
}

#[test]
fn a_watch_is_asked_for_by_parameter_or_by_prefix() {
    const GATEWAYS: &str = "/apis/networking.istio.io/v1alpha3/gateways";
    let watching = |path: &str| call("GET", path).unwrap().watching();

    assert!(watching(GATEWAYS).unwrap().is_none());
    assert!(watching(&format!("{GATEWAYS}?watch=0")).unwrap().is_none());
    let asked = watching(&format!(
        "{GATEWAYS}?watch=1&resourceVersion=7&timeoutSeconds=9&allowWatchBookmarks=true"
    ));
    let asked = asked.unwrap().unwrap();
    assert_eq!(
        (asked.after, asked.seconds, asked.bookmarks),
        (Some(7), Some(9), true)
    );
    let legacy = watching("/apis/networking.istio.io/v1alpha3/watch/gateways?resourceVersion=0")
        .unwrap()
        .unwrap();
    assert_eq!((legacy.after, legacy.bookmarks), (None, false));
}

#[test]
fn a_streaming_list_is_refused_so_that_clients_list_and_watch() {
    let path = "/apis/networking.istio.io/v1alpha3/gateways?watch=1&sendInitialEvents=true\
                &resourceVersionMatch=NotOlderThan";

    let refused = call("GET", path).unwrap().watching().unwrap_err();

    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.message,
        "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for \
         watch unless the WatchList feature gate is enabled"
    );
}
