//! Who may call, and where the server may listen.

use outrigger_apiserver::{ApiServer, Options, ServeError};
use outrigger_client::token::{Access, MeshToken};
use outrigger_client::{ConfigSource, HttpClient};
use tokio::net::TcpListener;

use crate::harness::{GATEWAYS, Served};

#[tokio::test]
async fn with_a_token_everything_but_health_asks_for_it() {
    let token = MeshToken::new("test", "0123456789abcdef").unwrap();
    let served = Served::with(Options::default(), Access::Token(token.clone())).await;

    for path in [
        GATEWAYS,
        "/version",
        "/metrics",
        "/",
        &format!("{GATEWAYS}?watch=1"),
    ] {
        let answer = served.get(path).await;
        answer.is_failure(401, "Unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{path}");
        let wrong = served
            .send("GET", path, &[("authorization", "Bearer 0123456789abcdeF")], None)
            .await;
        wrong.is_failure(401, "Unauthorized");
    }
    assert_eq!(served.get("/healthz").await.code, 200);
    assert!(
        served
            .get("/ready?verbose")
            .await
            .text
            .contains("access: token\n")
    );
    let client = HttpClient::new(&served.base, Some(&token)).unwrap();
    assert!(client.list(outrigger_api::kind::Kind::Gateway).await.is_ok());
}

#[tokio::test]
async fn a_wide_bind_without_a_token_is_refused_and_anonymous_access_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();

    let refused = server
        .serve(listener, Access::Loopback, std::future::pending())
        .await
        .unwrap_err();

    assert!(matches!(refused, ServeError::Bind(_)), "{refused}");
    let served = Served::with(Options::default(), Access::Anonymous).await;
    assert!(
        served
            .get("/ready?verbose")
            .await
            .text
            .contains("access: anonymous\n")
    );
}
