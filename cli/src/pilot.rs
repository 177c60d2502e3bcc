//! What pilot says, for the verbs that show it.

mod findings;
mod progress;
mod refusal;
mod registry;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;

use crate::connection::Connection;
use crate::failure::{Failure, chain, root};
use findings::PushStatus;
use progress::Entry;
pub(crate) use progress::{Proxy, Sync};
pub(crate) use refusal::{Refusal, Subject};
use registry::Ready;
pub(crate) use registry::Registry;

/// Where pilot's pages are.
#[derive(Args, Clone, Debug)]
pub(crate) struct PilotArgs {
    /// Address of pilot's debug pages
    #[arg(
        long,
        env = "OUTRIGGER_PILOT",
        value_name = "URL",
        default_value = "http://127.0.0.1:15007"
    )]
    pilot: String,
}

/// A pilot that can be asked.
pub(crate) struct Pilot {
    address: String,
    client: reqwest::Client,
    token: Option<String>,
}

impl Pilot {
    /// A client for the pilot that the flags name.
    pub(crate) fn new(args: &PilotArgs, connection: &Connection) -> Result<Pilot, Failure> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| Failure::one(format!("cannot make an HTTP client: {}", chain(&error))))?;
        let token = connection.token()?.map(|token| token.header_value());
        Ok(Pilot {
            address: args.pilot.trim_end_matches('/').to_owned(),
            client,
            token,
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Every connected proxy, by id.
    pub(crate) async fn proxies(&self) -> Result<Vec<Proxy>, Failure> {
        let answer = self
            .ask("/debug/syncz")
            .await?
            .error_for_status()
            .map_err(|error| self.unreachable(&error))?;
        let entries: Vec<Entry> = self.read(answer).await?;
        Ok(entries.into_iter().map(Proxy::from).collect())
    }

    /// The registries that it reads, in declared order.
    pub(crate) async fn registries(&self) -> Result<Vec<Registry>, Failure> {
        // A pilot that is not ready says so by its status, with the same body.
        let ready: Ready = self.read(self.ask("/ready").await?).await?;
        Ok(ready.registries)
    }

    /// What pilot found about each object at its last publication, by key: left out, shadowed, without destination.
    pub(crate) async fn findings(&self) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let answer = self
            .ask("/debug/push_status")
            .await?
            .error_for_status()
            .map_err(|error| self.unreachable(&error))?;
        if answer.content_length() == Some(0) {
            // Nothing has been published yet.
            return Ok(BTreeMap::new());
        }
        let status: PushStatus = self.read(answer).await?;
        Ok(status.by_object())
    }

    async fn ask(&self, page: &str) -> Result<reqwest::Response, Failure> {
        let mut request = self.client.get(format!("{}{page}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    async fn read<T: DeserializeOwned>(&self, answer: reqwest::Response) -> Result<T, Failure> {
        answer.json().await.map_err(|error| {
            Failure::one(format!(
                "the answer of {} is not pilot's: {}",
                self.address,
                chain(&error)
            ))
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::one(format!(
            "cannot reach pilot at {}: {}; is `outrigger serve` running? (--pilot sets the address)",
            self.address,
            root(error)
        ))
    }
}
