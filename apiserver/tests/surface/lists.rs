//! Lists: what they hold, what selects, and in which form they come.

use serde_json::{Value, json};

use crate::harness::{GATEWAYS, Served, gateway, names};

const EVERYWHERE: &str = "/apis/networking.istio.io/v1alpha3/gateways";

async fn served() -> Served {
    let served = Served::start().await;
    served.create("b", &[("app", "db")]).await;
    served.create("a", &[("app", "web"), ("tier", "front")]).await;
    let elsewhere = GATEWAYS.replace("default", "other");
    served.call("POST", &elsewhere, Some(gateway("c"))).await;
    served
}

#[tokio::test]
async fn a_list_is_sorted_whole_and_true_at_its_version() {
    let served = served().await;

    let here = served.get(GATEWAYS).await.json();
    let everywhere = served
        .get(&format!(
            "{EVERYWHERE}?limit=1&includeUninitialized=true&timeout=30s"
        ))
        .await
        .json();

    assert_eq!(names(&here), ["a", "b"]);
    assert_eq!(names(&everywhere), ["a", "b", "c"]);
    assert_eq!(
        (&everywhere["kind"], &everywhere["metadata"]),
        (&json!("GatewayList"), &json!({"resourceVersion": "3"}))
    );
    assert_eq!(everywhere["items"][0]["kind"], "Gateway");
    assert_eq!(everywhere["items"][2]["metadata"]["namespace"], "other");
    let none = served
        .get("/apis/config.istio.io/v1alpha2/routerules")
        .await
        .json();
    assert_eq!(
        (&none["kind"], &none["items"]),
        (&json!("RouteRuleList"), &json!([]))
    );
}

#[tokio::test]
async fn selectors_narrow_a_list() {
    let served = served().await;
    for (selector, expected) in [
        ("labelSelector=app%3Dweb", vec!["a"]),
        ("labelSelector=app%20in%20(web,db)", vec!["a", "b"]),
        ("labelSelector=!app", vec!["c"]),
        ("labelSelector=app,tier!%3Dfront", vec!["b"]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("fieldSelector=metadata.namespace!%3Ddefault", vec!["c"]),
        ("fieldSelector=metadata.name%3Da&labelSelector=app%3Ddb", vec![]),
    ] {
        let list = served.get(&format!("{EVERYWHERE}?{selector}")).await.json();
        assert_eq!(names(&list), expected, "{selector}");
    }
}

#[tokio::test]
async fn questions_about_versions_are_answered_or_refused_with_the_reason() {
    let served = served().await;
    for (query, code, reason) in [
        ("resourceVersion=0", 200, ""),
        ("resourceVersion=3&resourceVersionMatch=Exact", 200, ""),
        ("resourceVersion=2&resourceVersionMatch=NotOlderThan", 200, ""),
        ("resourceVersion=2&resourceVersionMatch=Exact", 410, "Expired"),
        ("resourceVersion=99", 504, "Timeout"),
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersion=1&resourceVersionMatch=Nearly", 422, "Invalid"),
        ("resourceVersion=x", 400, "BadRequest"),
        ("continue=abc", 400, "BadRequest"),
        ("labelSelector=a%3D%3D%3Db", 400, "BadRequest"),
        ("fieldSelector=spec.a%3Db", 400, "BadRequest"),
    ] {
        let answer = served.get(&format!("{EVERYWHERE}?{query}")).await;
        if code == 200 {
            assert_eq!(answer.code, 200, "{query}: {answer:?}");
        } else {
            answer.is_failure(code, reason);
        }
    }
    let future = served.get(&format!("{EVERYWHERE}?resourceVersion=99")).await;
    assert_eq!(
        future.json()["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    assert_eq!(future.header("retry-after"), "1");
}

#[tokio::test]
async fn a_list_comes_as_yaml_or_indented_when_that_is_wanted() {
    let served = served().await;
    let plain = served.get(EVERYWHERE).await.json();

    let yaml = served
        .send("GET", EVERYWHERE, &[("accept", "application/yaml")], None)
        .await;
    let curl = served
        .send("GET", EVERYWHERE, &[("user-agent", "curl/8.0")], None)
        .await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = served.send("GET", EVERYWHERE, &[("accept", table)], None).await;

    assert_eq!(serde_saphyr::from_str::<Value>(&yaml.text).unwrap(), plain);
    assert!(
        curl.text.starts_with("{\n  \"kind\": \"GatewayList\","),
        "{}",
        curl.text
    );
    assert_eq!(curl.json(), plain);
    assert_eq!(
        (table.header("content-type"), table.json()),
        ("application/json", plain)
    );
}

#[tokio::test]
async fn the_pages_beside_the_objects_answer() {
    let served = served().await;

    let version = served.get("/version").await.json();
    let paths = served.get("/").await.json();
    let metrics = served.get("/metrics").await.text;

    assert!(
        version["gitVersion"].as_str().unwrap().starts_with("v1.20.0"),
        "{version}"
    );
    assert!(
        version.as_object().unwrap().values().all(Value::is_string),
        "{version}"
    );
    assert!(
        paths["paths"].as_array().unwrap().contains(&json!(EVERYWHERE)),
        "{paths}"
    );
    assert!(
        metrics.contains("outrigger_apiserver_requests_total{verb=\"create\",code=\"201\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("outrigger_apiserver_objects{kind=\"Gateway\"} 3"),
        "{metrics}"
    );
    for path in ["/healthz", "/livez", "/readyz", "/ready", "/healthz/ping"] {
        let answer = served.get(path).await;
        assert_eq!((answer.code, answer.text.as_str()), (200, "ok"), "{path}");
    }
    let verbose = served.get("/readyz?verbose").await.text;
    assert!(
        verbose.contains("[+]journal ok\n") && verbose.ends_with("readyz check passed\n"),
        "{verbose}"
    );
}
