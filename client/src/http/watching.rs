//! A watch over HTTP: one long answer of JSON lines, turned into events.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use outrigger_api::kind::Kind;
use outrigger_api::resource::Resource;
use reqwest::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::Lines;
use super::{Answer, HttpClient, chain, read};
use crate::error::ClientError;
use crate::source::WatchEvent;
use crate::status::Status;

/// Silence after which a watch counts as dead: the server sends a bookmark about once a minute.
const SILENCE: Duration = Duration::from_secs(150);
/// Time for the server to begin its answer.
const BEGIN: Duration = Duration::from_secs(30);

/// Follows a kind from a version on. The connection is made at the first poll; the stream ends after an error.
pub(super) fn watch(
    client: HttpClient,
    kind: Kind,
    after: u64,
) -> BoxStream<'static, Result<WatchEvent, ClientError>> {
    let first = Step::Connect { client, kind, after };
    stream::unfold(first, |step| async move {
        let mut open = match step {
            Step::Ended => return None,
            Step::Open(open) => open,
            Step::Connect { client, kind, after } => match connect(client, kind, after).await {
                Ok(open) => open,
                Err(error) => return Some((Err(error), Step::Ended)),
            },
        };
        match open.next().await {
            Ok(Some(event)) => Some((Ok(event), Step::Open(open))),
            Ok(None) => None,
            Err(error) => Some((Err(error), Step::Ended)),
        }
    })
    .boxed()
}

enum Step {
    Connect {
        client: HttpClient,
        kind: Kind,
        after: u64,
    },
    Open(Box<Open>),
    Ended,
}

struct Open {
    client: HttpClient,
    response: Response,
    lines: Lines,
    url: String,
    after: u64,
}

async fn connect(client: HttpClient, kind: Kind, after: u64) -> Result<Box<Open>, ClientError> {
    let collection = client.collection(kind, None);
    let url = format!("{collection}?watch=true&allowWatchBookmarks=true&resourceVersion={after}");
    let silent = || ClientError::Unreachable {
        address: client.base.to_string(),
        reason: format!("no answer within {} s", BEGIN.as_secs()),
    };
    let response = tokio::time::timeout(BEGIN, client.http.get(&url).send())
        .await
        .map_err(|_| silent())?
        .map_err(|error| client.unreachable(&error))?;
    let code = response.status();
    if code.is_success() {
        return Ok(Box::new(Open {
            client,
            response,
            lines: Lines::default(),
            url,
            after,
        }));
    }
    let body = tokio::time::timeout(BEGIN, client.body(response))
        .await
        .map_err(|_| silent())??;
    let failure = Answer {
        url,
        body,
        warnings: Vec::new(),
    }
    .failure(code);
    Err(expired_if_gone(failure, after))
}

impl Open {
    /// The next event, `None` at the clean end of the answer.
    async fn next(&mut self) -> Result<Option<WatchEvent>, ClientError> {
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => return self.event(&line).map(Some),
                Ok(None) => {}
                Err(_) => return Err(self.garbled("an event is longer than 4 MiB")),
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk())
                .await
                .map_err(|_| self.lost(format!("silent for {} s", SILENCE.as_secs())))?
                .map_err(|error| self.lost(chain(&error)))?;
            match chunk {
                Some(chunk) => self.lines.push(&chunk),
                None => return Ok(None),
            }
        }
    }

    fn event(&self, line: &[u8]) -> Result<WatchEvent, ClientError> {
        let wire: WireEvent<'_> =
            serde_json::from_slice(line).map_err(|error| self.garbled(&error.to_string()))?;
        let of_object: fn(Arc<Resource>) -> WatchEvent = match wire.kind {
            "ADDED" => WatchEvent::Added,
            "MODIFIED" => WatchEvent::Modified,
            "DELETED" => WatchEvent::Deleted,
            "BOOKMARK" => return self.version(wire.object).map(WatchEvent::Bookmark),
            "ERROR" => {
                let status: Status = serde_json::from_str(wire.object.get())
                    .map_err(|error| self.garbled(&error.to_string()))?;
                return Err(expired_if_gone(status.into(), self.after));
            }
            other => return Err(self.garbled(&format!("unknown event type {other:?}"))),
        };
        match read(wire.object.get().as_bytes()) {
            Ok(object) => Ok(of_object(object)),
            Err(reason) => {
                tracing::warn!(url = %self.url, %reason, "skipped an event whose object cannot be read");
                self.version(wire.object).map(WatchEvent::Bookmark)
            }
        }
    }

    fn version(&self, object: &RawValue) -> Result<u64, ClientError> {
        let object: WireObject =
            serde_json::from_str(object.get()).map_err(|error| self.garbled(&error.to_string()))?;
        object
            .metadata
            .resource_version
            .parse()
            .map_err(|_| self.garbled("metadata.resourceVersion of an event is not a number"))
    }

    fn lost(&self, reason: String) -> ClientError {
        ClientError::Unreachable {
            address: self.client.base.to_string(),
            reason,
        }
    }

    fn garbled(&self, reason: &str) -> ClientError {
        ClientError::Garbled {
            address: self.url.clone(),
            reason: reason.to_owned(),
        }
    }
}

fn expired_if_gone(error: ClientError, after: u64) -> ClientError {
    match error {
        ClientError::Status { code: 410, .. } => ClientError::Expired { after },
        other => other,
    }
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct WireObject {
    metadata: WireMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    resource_version: String,
}
