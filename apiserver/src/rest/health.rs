//! Health, readiness, version, the list of paths, and metrics: what is not about objects.

use std::fmt::Write;

use outrigger_api::kind::Kind;
use outrigger_client::token::Access;
use serde_json::json;

use super::call::Check;
use super::query::Query;
use super::render::Reply;
use crate::server::Inner;

/// The Kubernetes version whose surface this is; clients want a semantic version here.
const GIT_VERSION: &str = concat!("v1.20.0+outrigger.", env!("CARGO_PKG_VERSION"));

/// Answers a health check. The process counts as live as long as it answers; it is ready while its journal takes
/// writes and nobody asked it to stop.
pub(super) fn answer(inner: &Inner, access: &Access, stopping: bool, check: Check, query: &Query) -> Reply {
    let writer = (!inner.can_write()).then(|| "its thread has ended; restart the server".to_owned());
    let journal = writer.or_else(|| inner.measures.journal_trouble());
    let checks: &[(&str, Option<String>)] = match check {
        Check::Ping => &[("ping", None)],
        Check::Live => &[("ping", None), ("journal", journal)],
        Check::Ready => {
            let shutdown = stopping.then(|| "the server is stopping".to_owned());
            &[("ping", None), ("journal", journal), ("shutdown", shutdown)]
        }
    };
    let failing = checks.iter().any(|(_, trouble)| trouble.is_some());
    if !failing && !query.has("verbose") {
        return Reply::text(200, "ok".into());
    }
    let mut text = String::new();
    for (name, trouble) in checks {
        let _ = match trouble {
            None => writeln!(text, "[+]{name} ok"),
            Some(reason) => writeln!(text, "[-]{name} failed: {reason}"),
        };
    }
    let _ = writeln!(text, "access: {access}");
    let _ = writeln!(text, "version: {}", inner.view.version());
    for (key, value) in inner.view.quarantine() {
        let _ = writeln!(text, "quarantined: {key}: {}", value.reason);
    }
    let name = match check {
        Check::Ready => "readyz",
        Check::Live | Check::Ping => "healthz",
    };
    let _ = writeln!(text, "{name} check {}", if failing { "failed" } else { "passed" });
    let code = match (failing, check, stopping) {
        (false, _, _) => 200,
        (true, Check::Ready, true) => 503,
        (true, _, _) => 500,
    };
    Reply::text(code, text)
}

pub(super) fn version() -> Reply {
    let version = json!({
        "major": "1",
        "minor": "20",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    });
    Reply::document(200, version.to_string().into())
}

pub(super) fn paths() -> Reply {
    let mut paths: Vec<String> = [
        "/healthz",
        "/healthz/ping",
        "/livez",
        "/metrics",
        "/ready",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .into();
    paths.extend(Kind::ALL.map(|kind| format!("/apis/{}/{}", kind.api_version(), kind.plural())));
    paths.sort();
    Reply::document(200, json!({ "paths": paths }).to_string().into())
}

pub(super) fn metrics(inner: &Inner) -> Reply {
    Reply::metrics(inner.measures.text(&inner.view))
}
