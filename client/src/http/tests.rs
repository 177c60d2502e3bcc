//! The client against scripted answers; the whole surface is tried against the real server in that crate.

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::status::{Cause, Details};

/// A server that gives one answer to one request and then closes. Returns its address and what it was asked.
async fn answering(answer: String) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut chunk = [0; 4096];
            let length = connection.read(&mut chunk).await.unwrap();
            asked.extend_from_slice(&chunk[..length]);
        }
        connection.write_all(answer.as_bytes()).await.unwrap();
        connection.shutdown().await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}

fn answer(code: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {code}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn gateway(version: u64) -> String {
    format!(
        r#"{{"apiVersion":"networking.istio.io/v1alpha3","kind":"Gateway","metadata":{{"name":"g","namespace":"default",
            "resourceVersion":"{version}"}},"spec":{{"selector":{{"a":"b"}},"servers":[{{"hosts":["*"],
            "port":{{"number":80,"name":"http","protocol":"HTTP"}}}}]}}}}"#
    )
    .replace('\n', " ")
}

#[test]
fn an_address_that_is_no_http_url_is_refused_with_an_example() {
    for address in ["localhost:8080", "", "ftp://a", "http://", "http://a/?b=c"] {
        let refused = HttpClient::new(address, None).unwrap_err().to_string();

        assert!(
            refused.starts_with(&format!("api server address {address:?} cannot be used: ")),
            "{refused}"
        );
        assert!(
            refused.ends_with("write it like http://127.0.0.1:8080"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_the_message_says_what_to_look_at() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let client = HttpClient::new(&format!("http://127.0.0.1:{port}"), None).unwrap();

    let error = client.list(Kind::Gateway).await.unwrap_err();

    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&port.to_string()) && text.contains("outrigger serve"),
        "{text}"
    );
}

#[tokio::test]
async fn a_status_object_becomes_a_status_error_with_its_causes() {
    let cause = Cause {
        reason: "FieldValueInvalid".into(),
        message: "bad".into(),
        field: "spec.a".into(),
    };
    let details = Details {
        causes: vec![cause.clone()],
        ..Details::default()
    };
    let status = Status::failure(422, "Invalid", "Gateway \"g\" is invalid").about(details);
    let body = serde_json::to_string(&status).unwrap();
    let (address, _) = answering(answer("422 Unprocessable Entity", &body)).await;
    let client = HttpClient::new(&address, None).unwrap();

    let error = client
        .get(&Key::new(Kind::Gateway, "default", "g"))
        .await
        .unwrap_err();

    let expected = ClientError::Status {
        code: 422,
        reason: "Invalid".into(),
        message: "Gateway \"g\" is invalid".into(),
        causes: vec![cause],
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn an_answer_that_is_not_the_config_apis_is_garbled() {
    for body in ["<html>hello</html>", "{}", "[1", ""] {
        for code in ["200 OK", "502 Bad Gateway"] {
            let (address, _) = answering(answer(code, body)).await;
            let client = HttpClient::new(&address, None).unwrap();

            let error = client.list(Kind::Gateway).await.unwrap_err();

            assert!(
                matches!(error, ClientError::Garbled { .. }),
                "{code} {body}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_token_and_a_watchable_path_are_sent() {
    let (address, asked) = answering(answer("200 OK", "")).await;
    let token = MeshToken::new("test", "0123456789abcdef").unwrap();
    let client = HttpClient::new(&format!("{address}/"), Some(&token)).unwrap();

    let end = client.watch(Kind::RouteRule, 17).next().await;

    assert!(end.is_none(), "{end:?}");
    let asked = asked.await.unwrap();
    let expected = "GET /apis/config.istio.io/v1alpha2/routerules?watch=true&allowWatchBookmarks=true&resourceVersion=17 ";
    assert!(asked.starts_with(expected), "{asked}");
    assert!(
        asked.contains("authorization: Bearer 0123456789abcdef\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_watch_gives_events_bookmarks_and_expiry_in_their_order() {
    let lines = [
        format!(r#"{{"type":"ADDED","object":{}}}"#, gateway(5)),
        format!(r#"{{"type":"MODIFIED","object":{}}}"#, gateway(6)),
        r#"{"type":"BOOKMARK","object":{"kind":"Gateway","metadata":{"resourceVersion":"9"}}}"#.to_owned(),
        r#"{"type":"MODIFIED","object":{"kind":"Broken","metadata":{"resourceVersion":"10"}}}"#.to_owned(),
        format!(r#"{{"type":"DELETED","object":{}}}"#, gateway(11)),
        r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#
            .to_owned(),
    ];
    let (address, _) = answering(answer("200 OK", &(lines.join("\n") + "\n"))).await;
    let client = HttpClient::new(&address, None).unwrap();

    let events: Vec<_> = client.watch(Kind::Gateway, 4).collect().await;

    let seen: Vec<String> = events
        .iter()
        .map(|event| match event {
            Ok(WatchEvent::Added(_)) => format!("added {:?}", event.as_ref().unwrap().version()),
            Ok(WatchEvent::Modified(_)) => format!("modified {:?}", event.as_ref().unwrap().version()),
            Ok(WatchEvent::Deleted(_)) => format!("deleted {:?}", event.as_ref().unwrap().version()),
            Ok(WatchEvent::Bookmark(version)) => format!("bookmark {version}"),
            Err(error) => format!("{error:?}"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            "added Some(5)",
            "modified Some(6)",
            "bookmark 9",
            "bookmark 10",
            "deleted Some(11)",
            "Expired { after: 4 }"
        ]
    );
}
