//! The lines of the access log.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Style;
use crate::h1::Known;
use crate::request::Request;

/// A request that is over.
#[derive(Debug)]
pub(crate) struct Entry<'e> {
    pub(crate) request: &'e Request,
    pub(crate) peer: SocketAddr,
    pub(crate) took: Duration,
    pub(crate) waited: Option<Duration>,
    /// 0 when there was no answer.
    pub(crate) status: u16,
    pub(crate) flag: &'e str,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) cluster: &'e str,
    pub(crate) route: &'e str,
}

/// What is over and had no request that could be read: a TCP connection, or a head that was refused.
#[derive(Debug)]
pub(crate) struct Headless<'e> {
    pub(crate) peer: SocketAddr,
    pub(crate) took: Duration,
    /// Of the head; nothing for TCP.
    pub(crate) version: Option<Version>,
    /// 0 when there was no answer.
    pub(crate) status: u16,
    pub(crate) flag: &'e str,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) cluster: &'e str,
}

/// The time of day as text, made anew once a second.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    /// `2024-05-01T10:00:00.123Z` of `took` ago.
    fn start(&mut self, took: Duration) -> (&str, u32) {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(took);
        if since.as_secs() != self.second || self.text.is_empty() {
            self.second = since.as_secs();
            let moment = i64::try_from(self.second)
                .ok()
                .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
            self.text = moment
                .and_then(|moment| moment.format(&Rfc3339).ok())
                .unwrap_or_default();
            self.text.truncate(self.text.len().saturating_sub(1));
        }
        (&self.text, since.subsec_millis())
    }
}

#[derive(Serialize)]
struct Json<'e> {
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'e str>,
    protocol: &'e str,
    response_code: u16,
    response_flags: &'e str,
    bytes_received: u64,
    bytes_sent: u64,
    duration: u128,
    upstream_service_time: Option<u128>,
    downstream_remote_address: String,
    x_forwarded_for: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    authority: Option<&'e str>,
    upstream_host: Option<String>,
    upstream_cluster: &'e str,
    route_name: &'e str,
}

impl Entry<'_> {
    /// Appends the line.
    pub(super) fn append(&self, out: &mut Vec<u8>, clock: &mut Clock, style: Style) {
        let (second, millis) = clock.start(self.took);
        // Writing to a vector cannot fail.
        let _ = match style {
            Style::Text => self.text(out, second, millis),
            Style::Json => write_json(out, &self.json(second, millis)),
        };
        out.push(b'\n');
    }

    fn text(&self, out: &mut Vec<u8>, second: &str, millis: u32) -> std::io::Result<()> {
        let request = self.request;
        write!(out, "[{second}.{millis:03}Z] \"{} ", request.method())?;
        escaped(out, request.target().as_bytes());
        write!(
            out,
            " {:?}\" {} {} {} {} {} ",
            request.version(),
            self.status,
            self.flag,
            self.received,
            self.sent,
            self.took.as_millis()
        )?;
        match self.waited {
            Some(waited) => write!(out, "{} ", waited.as_millis())?,
            None => out.extend_from_slice(b"- "),
        }
        quoted(out, request.known(Known::XForwardedFor, "x-forwarded-for"));
        quoted(out, request.known(Known::UserAgent, "user-agent"));
        quoted(out, request.id());
        quoted(out, Some(request.authority().as_bytes()));
        match self.upstream {
            Some(upstream) => write!(out, "\"{upstream}\" ")?,
            None => out.extend_from_slice(b"\"-\" "),
        }
        for (name, end) in [(self.cluster, " "), (self.route, "")] {
            escaped(out, if name.is_empty() { b"-" } else { name.as_bytes() });
            out.extend_from_slice(end.as_bytes());
        }
        Ok(())
    }

    fn json(&self, second: &str, millis: u32) -> Json<'_> {
        let request = self.request;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Json {
            start_time: format!("{second}.{millis:03}Z"),
            method: Some(request.method().as_str()),
            path: Some(request.target()),
            protocol: protocol(request.version()),
            response_code: self.status,
            response_flags: self.flag,
            bytes_received: self.received,
            bytes_sent: self.sent,
            duration: self.took.as_millis(),
            upstream_service_time: self.waited.map(|waited| waited.as_millis()),
            downstream_remote_address: self.peer.to_string(),
            x_forwarded_for: request.known(Known::XForwardedFor, "x-forwarded-for").map(text),
            user_agent: request.known(Known::UserAgent, "user-agent").map(text),
            request_id: request.id().map(text),
            authority: Some(request.authority()),
            upstream_host: self.upstream.map(|upstream| upstream.to_string()),
            upstream_cluster: self.cluster,
            route_name: self.route,
        }
    }
}

impl Headless<'_> {
    /// Appends the line.
    pub(super) fn append(&self, out: &mut Vec<u8>, clock: &mut Clock, style: Style) {
        let (second, millis) = clock.start(self.took);
        let upstream = self.upstream.map(|upstream| upstream.to_string());
        // Writing to a vector cannot fail.
        let _ = match style {
            Style::Text => write!(
                out,
                "[{second}.{millis:03}Z] \"- - {}\" {} {} {} {} {} - \"-\" \"-\" \"-\" \"-\" \"{}\" {} -",
                self.version.map_or("-", protocol),
                self.status,
                self.flag,
                self.received,
                self.sent,
                self.took.as_millis(),
                upstream.as_deref().unwrap_or("-"),
                if self.cluster.is_empty() {
                    "-"
                } else {
                    self.cluster
                },
            ),
            Style::Json => write_json(
                out,
                &Json {
                    start_time: format!("{second}.{millis:03}Z"),
                    method: None,
                    path: None,
                    protocol: self.version.map_or("TCP", protocol),
                    response_code: self.status,
                    response_flags: self.flag,
                    bytes_received: self.received,
                    bytes_sent: self.sent,
                    duration: self.took.as_millis(),
                    upstream_service_time: None,
                    downstream_remote_address: self.peer.to_string(),
                    x_forwarded_for: None,
                    user_agent: None,
                    request_id: None,
                    authority: None,
                    upstream_host: upstream,
                    upstream_cluster: self.cluster,
                    route_name: "",
                },
            ),
        };
        out.push(b'\n');
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn write_json(out: &mut Vec<u8>, line: &Json<'_>) -> std::io::Result<()> {
    serde_json::to_writer(out, line).map_err(std::io::Error::from)
}

/// Appends a value in quotes and a space; `-` when there is none.
fn quoted(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(b'"');
    escaped(out, value.filter(|value| !value.is_empty()).unwrap_or(b"-"));
    out.extend_from_slice(b"\" ");
}

/// Appends `value` so that it cannot end a field or a line: quotes, backslashes and everything that is not visible
/// ASCII become `\xNN`.
fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
            plain => out.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped() {
        let mut out = Vec::new();
        quoted(&mut out, Some(b"a\"b\r\n[x] \\ \xc3\xa9"));
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#""a\x22b\x0d\x0a[x] \x5c \xc3\xa9" "#
        );
        out.clear();
        quoted(&mut out, None);
        assert_eq!(out, b"\"-\" ");
    }

    #[test]
    fn a_connections_line_has_as_many_fields_as_a_requests() {
        let mut out = Vec::new();
        let line = Headless {
            peer: SocketAddr::from(([127, 0, 0, 1], 5)),
            took: Duration::from_millis(12),
            version: None,
            status: 0,
            flag: "-",
            received: 3,
            sent: 4,
            upstream: Some(SocketAddr::from(([127, 0, 0, 1], 6))),
            cluster: "outbound|3306||db",
        };
        line.append(&mut out, &mut Clock::default(), Style::Text);
        let text = String::from_utf8(out).expect("text");
        let (time, rest) = text.split_once("] ").expect("a time");
        assert_eq!(time.len(), "[2024-05-01T10:00:00.123Z".len());
        assert_eq!(
            rest,
            "\"- - -\" 0 - 3 4 12 - \"-\" \"-\" \"-\" \"-\" \"127.0.0.1:6\" outbound|3306||db -\n"
        );
    }
}
