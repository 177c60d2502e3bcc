//! The agent's own API: register a service, report its health, take it out again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::answer;
use super::client::Client;
use super::error::Error;
use super::settings::{Tls, Token};

/// The agent answers such calls at once; longer is a failure.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A Consul agent to register with.
#[derive(Clone)]
pub struct Agent {
    client: Client,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("address", &self.client.address())
            .finish()
    }
}

/// A service instance to register.
#[derive(Clone, Debug, Default)]
pub struct ServiceRegistration {
    /// Unique on the agent; a second registration with one id replaces the first.
    pub id: String,
    /// Service name; the host becomes `<name>.service.consul`.
    pub name: String,
    /// Address that callers use; empty: the node's.
    pub address: String,
    /// Port that callers use, 1 to 65535.
    pub port: u16,
    /// Tags; `key|value` becomes a label.
    pub tags: Vec<String>,
    /// Metadata; `protocol` is read by the mesh.
    pub meta: BTreeMap<String, String>,
    /// How the agent knows that the instance is well; without one it is taken to be.
    pub check: Option<Check>,
}

/// A health check that the agent runs or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is done.
    pub kind: CheckKind,
    /// Status until the first result. Default critical, which is Consul's.
    pub initial: CheckStatus,
    /// Deregister the instance after it was critical for this long; Consul's minimum is a minute.
    pub deregister_after: Option<Duration>,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// GET this URL; 2xx passes, 429 warns.
    Http {
        /// The URL.
        url: String,
        /// How often.
        interval: Duration,
        /// When to give up.
        timeout: Duration,
    },
    /// Connect to this `host:port`.
    Tcp {
        /// The address.
        address: String,
        /// How often.
        interval: Duration,
        /// When to give up.
        timeout: Duration,
    },
    /// Wait for [`Agent::report`]; critical when none came within this time.
    Ttl(Duration),
}

/// Health as Consul names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckStatus {
    /// Well.
    Passing,
    /// Limping; the mesh keeps it.
    Warning,
    /// Out; the mesh removes it.
    #[default]
    Critical,
}

impl CheckStatus {
    fn as_str(self) -> &'static str {
        match self {
            CheckStatus::Passing => "passing",
            CheckStatus::Warning => "warning",
            CheckStatus::Critical => "critical",
        }
    }
}

impl Agent {
    /// An agent at `address` (`http://127.0.0.1:8500`). Nothing is sent yet.
    ///
    /// # Errors
    /// The address is no URL, or a TLS file cannot be read.
    pub fn new(address: &str, token: Token, tls: &Tls) -> Result<Agent, Error> {
        Ok(Agent {
            client: Client::new(address, token, tls)?,
        })
    }

    /// Registers an instance, replacing one of the same id and its checks.
    ///
    /// # Errors
    /// The registration is incomplete, or the agent refused it or cannot be reached.
    pub async fn register(&self, registration: &ServiceRegistration) -> Result<(), Error> {
        let wrong = if !is_usable_id(&registration.id) {
            Some("the id is empty, or dots only")
        } else if registration.name.is_empty() {
            Some("the name is empty")
        } else if registration.port == 0 {
            Some("port 0, expected 1 to 65535")
        } else {
            None
        };
        let refused = |reason: String| Error::Registration {
            id: registration.id.clone(),
            reason,
        };
        if let Some(reason) = wrong {
            return Err(refused(reason.to_owned()));
        }
        let body = serde_json::to_vec(&wire(registration)).map_err(|error| refused(error.to_string()))?;
        let query = [("replace-existing-checks", "true".to_owned())];
        self.put(&["v1", "agent", "service", "register"], &query, Some(body))
            .await
    }

    /// Takes an instance out. One that is not registered is an error of status 404 (500 before Consul 1.10).
    ///
    /// # Errors
    /// As [`Agent::register`].
    pub async fn deregister(&self, id: &str) -> Result<(), Error> {
        check_id(id)?;
        self.put(&["v1", "agent", "service", "deregister", id], &[], None)
            .await
    }

    /// Reports the health of an instance that has a [`CheckKind::Ttl`] check. `note` is shown to operators.
    ///
    /// # Errors
    /// As [`Agent::register`].
    pub async fn report(&self, id: &str, status: CheckStatus, note: &str) -> Result<(), Error> {
        check_id(id)?;
        let body = serde_json::json!({"Status": status.as_str(), "Output": note}).to_string();
        let check = format!("service:{id}");
        self.put(
            &["v1", "agent", "check", "update", &check],
            &[],
            Some(body.into_bytes()),
        )
        .await
    }

    /// Puts an instance into maintenance (the mesh removes it) or takes it back.
    ///
    /// # Errors
    /// As [`Agent::register`].
    pub async fn maintenance(&self, id: &str, on: bool, reason: &str) -> Result<(), Error> {
        check_id(id)?;
        let query = [("enable", on.to_string()), ("reason", reason.to_owned())];
        self.put(&["v1", "agent", "service", "maintenance", id], &query, None)
            .await
    }

    async fn put(&self, path: &[&str], query: &[(&str, String)], body: Option<Vec<u8>>) -> Result<(), Error> {
        let answer = self.client.put(path, query, body, TIMEOUT).await?;
        answer::check_status(&answer)
    }
}

fn check_id(id: &str) -> Result<(), Error> {
    match is_usable_id(id) {
        true => Ok(()),
        false => Err(Error::Registration {
            id: id.to_owned(),
            reason: "the id is empty, or dots only".to_owned(),
        }),
    }
}

/// An id of dots would be another path.
fn is_usable_id(id: &str) -> bool {
    !id.bytes().all(|byte| byte == b'.')
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireRegistration<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    address: &'a str,
    port: u16,
    tags: &'a [String],
    meta: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<WireCheck<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireCheck<'a> {
    #[serde(rename = "CheckID")]
    id: String,
    name: String,
    status: &'static str,
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    http: Option<&'a str>,
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    tcp: Option<&'a str>,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<String>,
}

fn wire(registration: &ServiceRegistration) -> WireRegistration<'_> {
    WireRegistration {
        id: &registration.id,
        name: &registration.name,
        address: &registration.address,
        port: registration.port,
        tags: &registration.tags,
        meta: &registration.meta,
        check: registration
            .check
            .as_ref()
            .map(|check| wire_check(&registration.id, check)),
    }
}

fn wire_check<'a>(id: &str, check: &'a Check) -> WireCheck<'a> {
    let mut wire = WireCheck {
        id: format!("service:{id}"),
        name: format!("health of {id}"),
        status: check.initial.as_str(),
        http: None,
        tcp: None,
        ttl: None,
        interval: None,
        timeout: None,
        deregister_critical_service_after: check.deregister_after.map(millis),
    };
    match &check.kind {
        CheckKind::Http {
            url,
            interval,
            timeout,
        } => {
            wire.http = Some(url);
            (wire.interval, wire.timeout) = (Some(millis(*interval)), Some(millis(*timeout)));
        }
        CheckKind::Tcp {
            address,
            interval,
            timeout,
        } => {
            wire.tcp = Some(address);
            (wire.interval, wire.timeout) = (Some(millis(*interval)), Some(millis(*timeout)));
        }
        CheckKind::Ttl(ttl) => wire.ttl = Some(millis(*ttl)),
    }
    wire
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn registration(check: Option<Check>) -> ServiceRegistration {
        ServiceRegistration {
            id: "reviews-v1".into(),
            name: "reviews".into(),
            address: "127.0.1.3".into(),
            port: 9080,
            tags: vec!["version|v1".into()],
            meta: BTreeMap::from([("protocol".into(), "http".into())]),
            check,
        }
    }

    #[test]
    fn a_registration_is_written_in_consuls_words() {
        let check = Check {
            kind: CheckKind::Http {
                url: "http://127.0.1.3:9080/health".into(),
                interval: Duration::from_secs(1),
                timeout: Duration::from_millis(500),
            },
            initial: CheckStatus::Passing,
            deregister_after: Some(Duration::from_secs(60)),
        };

        let written = serde_json::to_value(wire(&registration(Some(check)))).unwrap();

        assert_eq!(
            written,
            json!({
                "ID": "reviews-v1", "Name": "reviews", "Address": "127.0.1.3", "Port": 9080,
                "Tags": ["version|v1"], "Meta": {"protocol": "http"},
                "Check": {
                    "CheckID": "service:reviews-v1", "Name": "health of reviews-v1", "Status": "passing",
                    "HTTP": "http://127.0.1.3:9080/health", "Interval": "1000ms", "Timeout": "500ms",
                    "DeregisterCriticalServiceAfter": "60000ms",
                },
            })
        );
    }

    #[tokio::test]
    async fn an_incomplete_registration_is_refused_before_it_is_sent() {
        let agent = Agent::new("http://127.0.0.1:1", Token::None, &Tls::default()).unwrap();
        for (id, name, port, expected) in [
            (
                "",
                "a",
                1,
                "service registration \"\": the id is empty, or dots only",
            ),
            (
                "..",
                "a",
                1,
                "service registration \"..\": the id is empty, or dots only",
            ),
            ("a", "", 1, "service registration \"a\": the name is empty"),
            (
                "a",
                "a",
                0,
                "service registration \"a\": port 0, expected 1 to 65535",
            ),
        ] {
            let registration = ServiceRegistration {
                id: id.into(),
                name: name.into(),
                port,
                ..registration(None)
            };
            assert_eq!(
                agent.register(&registration).await.unwrap_err().to_string(),
                expected
            );
        }
        let unreachable = agent.register(&registration(None)).await.unwrap_err().to_string();
        assert!(
            unreachable.starts_with("consul at http://127.0.0.1:1 cannot be reached: "),
            "{unreachable}"
        );
    }
}
