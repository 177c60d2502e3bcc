//! The pages: one function a path, each from a view to text.

mod config_dump;
mod state;

use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri, header};
use http_body_util::Full;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{Door, View};
use crate::control::State;
use crate::stats;

type Page = Response<Full<Bytes>>;

/// Path, method and purpose of every page of the admin port.
const PAGES: [(&str, &str, &str); 9] = [
    (
        "/clusters",
        "GET",
        "clusters in force and their endpoints (?format=json)",
    ),
    (
        "/config_dump",
        "GET",
        "resources as delivered, and what was refused (?resource=clusters|endpoints|listeners|routes, ?name=REGEX)",
    ),
    ("/help", "GET", "this page"),
    ("/listeners", "GET", "listeners in force (?format=json)"),
    ("/quitquitquit", "POST", "drain and end the process"),
    (
        "/ready",
        "GET",
        "200 LIVE while serving a whole configuration, else 503 and why",
    ),
    ("/server_info", "GET", "version, state, uptime and node"),
    (
        "/stats",
        "GET",
        "statistics (?filter=REGEX, ?usedonly, ?format=json|prometheus)",
    ),
    ("/stats/prometheus", "GET", "statistics for Prometheus"),
];

/// The answer to a request.
pub(super) fn answer(door: Door, method: &Method, uri: &Uri, view: &View) -> Page {
    let path = uri.path();
    let get = matches!(*method, Method::GET | Method::HEAD);
    match (door, path) {
        (_, "/ready" | "/healthz/ready") if get => ready(view),
        (Door::Stranger, _) => error(
            StatusCode::FORBIDDEN,
            "the admin pages answer only the workload's own host; /ready is open, metrics are on the metrics port (15020)",
        ),
        (_, "/stats/prometheus") | (Door::Metrics, "/metrics") if get => prometheus(view),
        (Door::Metrics, _) => error(
            StatusCode::NOT_FOUND,
            "this port has /metrics, /stats/prometheus and /ready",
        ),
        (Door::Admin, "/stats") if get => statistics(view, uri),
        (Door::Admin, "/clusters") if get => state::clusters(view, wants_json(uri)),
        (Door::Admin, "/listeners") if get => state::listeners(view, wants_json(uri)),
        (Door::Admin, "/config_dump") if get => config_dump::config_dump(view, uri),
        (Door::Admin, "/server_info") if get => json(&state::server_info(view)),
        (Door::Admin, "/" | "/help") if get => help(),
        (Door::Admin, "/quitquitquit") if *method == Method::POST => {
            view.life.quit();
            plain(StatusCode::OK, "OK\n")
        }
        (Door::Admin, path) => match PAGES.iter().find(|(known, ..)| *known == path) {
            Some((_, wanted, _)) => error(StatusCode::METHOD_NOT_ALLOWED, &format!("{path} wants {wanted}")),
            None => error(
                StatusCode::NOT_FOUND,
                &format!("there is no page {path}; /help lists them"),
            ),
        },
    }
}

fn ready(view: &View) -> Page {
    match view.life.state() {
        State::Live => plain(StatusCode::OK, "LIVE\n"),
        State::Starting(reason) => error(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("INITIALIZING: {reason}"),
        ),
        State::Draining => error(StatusCode::SERVICE_UNAVAILABLE, "DRAINING"),
    }
}

fn help() -> Page {
    let lines = PAGES.map(|(path, method, purpose)| format!("{method:4} {path:18} {purpose}\n"));
    plain(StatusCode::OK, lines.concat())
}

fn statistics(view: &View, uri: &Uri) -> Page {
    let filter = match parameter(uri, "filter")
        .map(|source| pattern(&source))
        .transpose()
    {
        Ok(filter) => filter,
        Err(reason) => return error(StatusCode::BAD_REQUEST, &reason),
    };
    let unused = parameter(uri, "usedonly").is_none();
    match parameter(uri, "format").as_deref() {
        None | Some("text") => plain(StatusCode::OK, stats::text(&view.scrape(unused), filter.as_ref())),
        Some("json") => json(&stats::json(&view.scrape(unused), filter.as_ref())),
        Some("prometheus") => prometheus(view),
        Some(other) => error(
            StatusCode::BAD_REQUEST,
            &format!("format is text, json or prometheus, found {other:?}"),
        ),
    }
}

fn prometheus(view: &View) -> Page {
    page(
        StatusCode::OK,
        "text/plain; version=0.0.4",
        stats::prometheus(&view.scrape(false)),
    )
}

/// A pattern from the query, within limits.
fn pattern(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| format!("filter {source:?} is not a pattern: {error}"))
}

fn wants_json(uri: &Uri) -> bool {
    parameter(uri, "format").is_some_and(|format| format == "json")
}

/// The decoded value of a query parameter; blank when it stands there without one.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri
        .query()?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(found, _)| *found == name)?;
    let spaced = value.replace('+', " ");
    Some(
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned(),
    )
}

fn plain(status: StatusCode, text: impl Into<String>) -> Page {
    page(status, "text/plain; charset=utf-8", text.into())
}

fn error(status: StatusCode, message: &str) -> Page {
    plain(status, format!("{message}\n"))
}

fn json(value: &Value) -> Page {
    page(StatusCode::OK, "application/json", format!("{value:#}\n"))
}

fn page(status: StatusCode, kind: &'static str, body: String) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(body)));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(
        header::CACHE_CONTROL,
        http::HeaderValue::from_static("no-cache, max-age=0"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        http::HeaderValue::from_static("nosniff"),
    );
    page
}
