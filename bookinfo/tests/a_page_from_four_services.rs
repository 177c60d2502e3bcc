//! The four services on real sockets, without a mesh between them.

#![allow(clippy::unwrap_used, reason = "a failed set-up step is a failed test")]

use std::net::SocketAddr;

use outrigger_bookinfo::{Role, Settings, Version, serve};
use tokio::net::TcpListener;

async fn start(role: Role, settings: Settings) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(role, listener, settings, std::future::pending()));
    address
}

/// Starts everything; `ratings` replaces the address of the ratings service.
async fn shop(version: Version, ratings: Option<&str>) -> String {
    // The first test to arrive installs the provider; for the others it is there already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let nowhere = "http://127.0.0.1:1".to_owned();
    let mut settings = Settings {
        details: nowhere.clone(),
        reviews: nowhere.clone(),
        ratings: nowhere,
    };
    settings.ratings = match ratings {
        Some(elsewhere) => elsewhere.to_owned(),
        None => format!("http://{}", start(Role::Ratings, settings.clone()).await),
    };
    settings.details = format!("http://{}", start(Role::Details, settings.clone()).await);
    settings.reviews = format!("http://{}", start(Role::Reviews(version), settings.clone()).await);
    format!("http://{}", start(Role::Productpage, settings).await)
}

async fn page(base: &str) -> String {
    reqwest::get(format!("{base}/productpage"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_third_version_shows_red_stars_on_the_page() {
    let page = page(&shop(Version::V3, None).await).await;

    assert!(
        page.contains("data-color=\"red\"") && page.contains("William Shakespeare"),
        "{page}"
    );
}

#[tokio::test]
async fn without_ratings_the_page_still_shows_the_words() {
    let page = page(&shop(Version::V2, Some("http://127.0.0.1:1")).await).await;

    assert!(
        page.contains("Ratings service is currently unavailable") && page.contains("Reviewer1"),
        "{page}"
    );
}

#[tokio::test]
async fn signing_in_sets_the_cookie_that_rules_match_on() {
    let base = shop(Version::V1, None).await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();

    let answer = client
        .post(format!("{base}/login"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("username=jason")
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 303);
    assert!(
        answer.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .starts_with("user=jason;")
    );
}
