//! Everything that is wrong with a request is told by a Status object with the right code.

use outrigger_api::document::MAX_BYTES;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{GATEWAYS, Served, gateway};

#[tokio::test]
async fn each_wrong_request_gets_its_code_and_reason() {
    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
    let good = gateway("a").to_string();
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut object = gateway("a");
        change(&mut object);
        Some(object.to_string())
    };
    let item = format!("{GATEWAYS}/a");
    let served = Served::start().await;
    for (method, path, headers, body, code, reason) in [
        ("GET", "/nothing", JSON, None, 404, "NotFound"),
        (
            "GET",
            "/apis/networking.istio.io/v1alpha3",
            JSON,
            None,
            404,
            "NotFound",
        ),
        ("GET", &item, JSON, None, 404, "NotFound"),
        ("GET", &format!("{GATEWAYS}/%00"), JSON, None, 404, "NotFound"),
        ("GET", &format!("{GATEWAYS}/%ff"), JSON, None, 400, "BadRequest"),
        (
            "POST",
            GATEWAYS,
            &[("content-encoding", "gzip")],
            Some(good.clone()),
            415,
            "UnsupportedMediaType",
        ),
        (
            "GET",
            &GATEWAYS.replace("default", "A_"),
            JSON,
            None,
            400,
            "BadRequest",
        ),
        ("PATCH", &item, JSON, Some("{}".into()), 405, "MethodNotAllowed"),
        ("PUT", GATEWAYS, JSON, Some(good.clone()), 405, "MethodNotAllowed"),
        (
            "GET",
            GATEWAYS,
            &[("accept", "text/html")],
            None,
            406,
            "NotAcceptable",
        ),
        (
            "GET",
            &format!("{GATEWAYS}?pretty=perhaps"),
            JSON,
            None,
            400,
            "BadRequest",
        ),
        (
            "POST",
            GATEWAYS,
            &[("content-type", "application/vnd.kubernetes.protobuf")],
            Some(good.clone()),
            415,
            "UnsupportedMediaType",
        ),
        (
            "POST",
            GATEWAYS,
            &[("content-type", "application/x-www-form-urlencoded")],
            Some(good.clone()),
            415,
            "UnsupportedMediaType",
        ),
        ("POST", GATEWAYS, JSON, Some(String::new()), 400, "BadRequest"),
        (
            "POST",
            GATEWAYS,
            JSON,
            Some("{\"apiVersion\":".into()),
            400,
            "BadRequest",
        ),
        ("POST", GATEWAYS, JSON, Some("[]".into()), 400, "BadRequest"),
        (
            "POST",
            GATEWAYS,
            JSON,
            Some(format!("{good}\n{good}")),
            400,
            "BadRequest",
        ),
        (
            "POST",
            GATEWAYS,
            JSON,
            with(&|object| object["kind"] = json!("Pod")),
            400,
            "BadRequest",
        ),
        (
            "POST",
            GATEWAYS,
            JSON,
            with(&|object| object["spec"]["servers"] = json!([])),
            422,
            "Invalid",
        ),
        (
            "POST",
            GATEWAYS,
            JSON,
            with(&|object| object["metadata"]["name"] = json!("A B")),
            422,
            "Invalid",
        ),
        (
            "POST",
            GATEWAYS,
            JSON,
            with(&|object| object["metadata"]["labels"] = json!({"a": "b c"})),
            422,
            "Invalid",
        ),
        (
            "POST",
            GATEWAYS,
            JSON,
            with(&|object| object["metadata"]["namespace"] = json!("other")),
            400,
            "BadRequest",
        ),
        (
            "POST",
            GATEWAYS,
            JSON,
            with(&|object| object["metadata"]["resourceVersion"] = json!("1")),
            400,
            "BadRequest",
        ),
        (
            "POST",
            &GATEWAYS.replace("gateways", "virtualservices"),
            JSON,
            Some(good.clone()),
            400,
            "BadRequest",
        ),
        (
            "POST",
            &format!("{GATEWAYS}?dryRun=Some"),
            JSON,
            Some(good.clone()),
            422,
            "Invalid",
        ),
        (
            "POST",
            &format!("{GATEWAYS}?fieldValidation=Lax"),
            JSON,
            Some(good.clone()),
            422,
            "Invalid",
        ),
        (
            "PUT",
            &format!("{GATEWAYS}/b"),
            JSON,
            with(&|object| object["metadata"]["resourceVersion"] = json!("1")),
            400,
            "BadRequest",
        ),
        (
            "PUT",
            &item,
            JSON,
            with(&|object| object["metadata"]["resourceVersion"] = json!("1")),
            404,
            "NotFound",
        ),
        (
            "DELETE",
            &item,
            JSON,
            Some("{\"preconditions\": 7}".into()),
            400,
            "BadRequest",
        ),
        (
            "DELETE",
            &item,
            JSON,
            Some("{\"dryRun\": [\"Some\"]}".into()),
            422,
            "Invalid",
        ),
        ("DELETE", &item, JSON, None, 404, "NotFound"),
    ] {
        let answer = served.send(method, path, headers, body.clone()).await;
        println!("{method} {path} {body:?}");
        let message = answer.is_failure(code, reason);
        assert!(!message.is_empty(), "{answer:?}");
        assert_eq!(code == 405, !answer.header("allow").is_empty(), "{answer:?}");
    }
    assert_eq!(served.server.version(), 0, "nothing was stored");
}

#[tokio::test]
async fn bodies_and_objects_that_are_too_large_are_refused_and_the_server_goes_on() {
    let served = Served::start().await;
    let padded = |bytes: usize| {
        let mut object = gateway("a");
        object["spec"]["servers"][0]["hosts"] = json!(["x".repeat(bytes)]);
        object.to_string()
    };

    let object = served.send("POST", GATEWAYS, &[], Some(padded(2 << 20))).await;
    let body = served.send("POST", GATEWAYS, &[], Some(padded(4 << 20))).await;
    // Fits as it is sent, and not any more with what the server adds.
    let mut full = gateway("a");
    let room = MAX_BYTES - 60 - full.to_string().len();
    let hosts: Vec<String> = (0..room / 234)
        .map(|n| format!("h{n:05}.{}com", "abcdefghi.".repeat(22)))
        .collect();
    full["spec"]["servers"][0]["hosts"] = json!(hosts);
    let left = MAX_BYTES - 60 - full.to_string().len();
    full["metadata"]["annotations"] = json!({"n": "x".repeat(left - 30)});
    let full = served.call("POST", GATEWAYS, Some(full)).await;

    assert!(
        object
            .is_failure(413, "RequestEntityTooLarge")
            .contains("1.5 MiB"),
        "{object:?}"
    );
    assert!(
        full.is_failure(413, "RequestEntityTooLarge")
            .contains("bytes long in canonical form"),
        "{:.300}",
        full.text
    );
    body.is_failure(413, "RequestEntityTooLarge");
    served.create("a", &[]).await;
}

#[tokio::test]
async fn a_refused_object_is_named_and_its_causes_name_each_field_once() {
    let served = Served::start().await;
    let mut empty = gateway("edge");
    empty["spec"]["servers"] = json!([]);
    served.create("a", &[]).await;

    let unnamed_on_url = served.call("POST", GATEWAYS, Some(empty)).await;
    let without_version = served
        .call("PUT", &format!("{GATEWAYS}/a"), Some(gateway("a")))
        .await;

    let message = unnamed_on_url.is_failure(422, "Invalid");
    assert!(
        message.starts_with("Gateway.networking.istio.io \"edge\" is invalid: "),
        "{message}"
    );
    assert_eq!(unnamed_on_url.json()["details"]["name"], "edge");
    without_version.is_failure(422, "Invalid");
    let cause = &without_version.json()["details"]["causes"][0];
    assert_eq!(cause["field"], "metadata.resourceVersion");
    assert_eq!(
        cause["message"],
        "Invalid value: 0x0: must be specified for an update"
    );
}

#[tokio::test]
async fn a_chunked_body_without_end_is_cut_at_the_limit() {
    let served = Served::start().await;
    let mut stream = TcpStream::connect(served.base.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!("POST {GATEWAYS} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));

    let mut sent = 0;
    while sent < 100 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // the server may have reset the connection after its answer

    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer}"
    );
    served.create("a", &[]).await;
}

#[tokio::test]
async fn web_pages_may_read_and_not_write() {
    let served = Served::start().await;
    let origin = [
        ("origin", "http://evil.example"),
        ("content-type", "application/json"),
    ];

    let read = served.send("GET", GATEWAYS, &origin, None).await;
    let write = served
        .send("POST", GATEWAYS, &origin, Some(gateway("a").to_string()))
        .await;

    assert_eq!(read.code, 200);
    write.is_failure(403, "Forbidden");
}
