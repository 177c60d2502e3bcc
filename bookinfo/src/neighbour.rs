//! Calls to the other services: who they are, which headers travel on, and how long an answer may take.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::serve::Settings;

/// Headers that a service must copy from the request it serves to the requests it makes, so that one trace is one
/// trace and a rule about the user still sees the user three calls later.
const FORWARDED: [&str; 10] = [
    "x-request-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "traceparent",
    "end-user",
    "cookie",
];

/// The services around this one.
#[derive(Clone)]
pub struct Neighbours {
    client: reqwest::Client,
    settings: Arc<Settings>,
}

/// Why a neighbour gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing came back in time, or the connection failed.
    #[error("no answer from {url}")]
    Unanswered {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// Something other than 200 came back.
    #[error("{url} answered {status}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status that came back.
        status: u16,
    },
}

impl Neighbours {
    /// Reads `HTTP_PROXY` and `NO_PROXY` as any well-behaved program does.
    pub(crate) fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(1))
            .read_timeout(Duration::from_secs(12))
            .pool_idle_timeout(Duration::from_secs(20))
            .build()?;
        Ok(Neighbours {
            client,
            settings: Arc::new(settings),
        })
    }

    /// Facts about book `id`, within 3 s.
    pub(crate) async fn details<T: DeserializeOwned>(
        &self,
        id: u64,
        headers: &HeaderMap,
    ) -> Result<T, CallError> {
        self.ask(
            format!("{}/details/{id}", self.settings.details),
            Duration::from_secs(3),
            headers,
        )
        .await
    }

    /// Reviews of book `id`: 3 s, and once more on failure, as the documents of the sample say.
    pub(crate) async fn reviews<T: DeserializeOwned>(
        &self,
        id: u64,
        headers: &HeaderMap,
    ) -> Result<T, CallError> {
        let url = format!("{}/reviews/{id}", self.settings.reviews);
        match self.ask(url.clone(), Duration::from_secs(3), headers).await {
            Ok(answer) => Ok(answer),
            Err(_) => self.ask(url, Duration::from_secs(3), headers).await,
        }
    }

    /// Stars for book `id`, within `patience`.
    pub(crate) async fn ratings<T: DeserializeOwned>(
        &self,
        id: u64,
        patience: Duration,
        headers: &HeaderMap,
    ) -> Result<T, CallError> {
        self.ask(
            format!("{}/ratings/{id}", self.settings.ratings),
            patience,
            headers,
        )
        .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        url: String,
        patience: Duration,
        headers: &HeaderMap,
    ) -> Result<T, CallError> {
        let unanswered = |source| CallError::Unanswered {
            url: url.clone(),
            source,
        };
        let answer = self
            .client
            .get(&url)
            .headers(forwarded(headers))
            .timeout(patience)
            .send()
            .await
            .map_err(unanswered)?;
        if !answer.status().is_success() {
            return Err(CallError::Refused {
                url,
                status: answer.status().as_u16(),
            });
        }
        answer.json().await.map_err(unanswered)
    }
}

/// The headers of `incoming` that travel on.
fn forwarded(incoming: &HeaderMap) -> HeaderMap {
    let mut outgoing = HeaderMap::new();
    for name in FORWARDED {
        for value in incoming.get_all(name) {
            outgoing.append(name, value.clone());
        }
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_headers_and_the_user_travel_on_and_nothing_else_does() {
        let mut incoming = HeaderMap::new();
        for name in [
            "x-b3-traceid",
            "x-request-id",
            "cookie",
            "end-user",
            "authorization",
            "content-length",
        ] {
            incoming.insert(name, "1".parse().unwrap());
        }

        let outgoing = forwarded(&incoming);

        let mut names: Vec<_> = outgoing.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["cookie", "end-user", "x-b3-traceid", "x-request-id"]);
    }
}
