//! The demo's dealings with Consul: an agent, one registration a workload, and an instance that leaves under load.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outrigger_bookinfo::{Role, Version};
use outrigger_registry::consul::{Agent, Check, CheckKind, CheckStatus, ServiceRegistration};
use outrigger_registry::consul::{Tls, Token};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::demo::envoy;
use crate::demo::plan::{Choices, Process, Program, SERVICE_PORT, quoted};
use crate::demo::process::{Running, stop_all};
use crate::demo::screen::Screen;
use crate::demo::tour::{Ground, Line};

/// Where an agent is looked for, and started when there is none.
pub(crate) const DEFAULT_AGENT: &str = "http://127.0.0.1:8500";
/// How long readers go on once the instance is stopped.
const STILL_WATCHED: Duration = Duration::from_secs(3);
/// How long the mesh may go on using an instance that left.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// The agent to start: none when one answers already.
pub(crate) async fn agent(choices: &Choices, client: &reqwest::Client) -> Result<Option<Process>> {
    let url = reqwest::Url::parse(&choices.consul).with_context(|| {
        format!(
            "--consul {:?} is not a URL such as {DEFAULT_AGENT}",
            choices.consul
        )
    })?;
    let port = url.port_or_known_default().unwrap_or(8500);
    let host = url.host_str().unwrap_or_default();
    if client.get(url.clone()).send().await.is_ok() {
        return Ok(None);
    }
    let Some(address) = host.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_loopback) else {
        bail!(
            "nothing answers at {}; is a Consul agent running there? (--consul sets it)",
            choices.consul
        );
    };
    let binary = envoy::find_consul().with_context(|| {
        format!(
            "nothing answers at {}, and no agent can be started",
            choices.consul
        )
    })?;
    let mut args: Vec<String> = ["agent", "-dev", "-log-level", "warn"].map(str::to_owned).into();
    args.extend([
        "-bind".to_owned(),
        address.to_string(),
        "-client".to_owned(),
        address.to_string(),
    ]);
    args.extend(["-http-port".to_owned(), port.to_string()]);
    // The other ports move near it, out of the way of an agent that serves the usual ones.
    args.extend(["-dns-port", "-1", "-grpc-port", "-1"].map(str::to_owned));
    for (flag, above) in [
        ("-server-port", 11),
        ("-serf-lan-port", 12),
        ("-serf-wan-port", 13),
    ] {
        args.extend([flag.to_owned(), (port + above).to_string()]);
    }
    Ok(Some(Process {
        name: "consul".into(),
        program: Program::Other(binary),
        args,
        env: Vec::new(),
        ready: format!("{}/v1/health/service/consul?passing=1", choices.consul),
    }))
}

/// What the demo has registered and will take out again.
pub(crate) struct Registrations {
    agent: Agent,
    url: String,
    ids: Vec<String>,
}

impl Registrations {
    /// Nothing is registered yet.
    pub(crate) fn new(url: &str) -> Result<Registrations> {
        let agent = Agent::new(url, Token::None, &Tls::default()).context("cannot talk to Consul")?;
        Ok(Registrations {
            agent,
            url: url.to_owned(),
            ids: Vec::new(),
        })
    }

    /// Registers the sidecar's address under the service's name; the printed command does the same.
    pub(crate) async fn add(&mut self, role: Role, address: Ipv4Addr, screen: &Screen) -> Result<()> {
        let id = id(role);
        let tag = format!("version|{}", role.version());
        let registration = ServiceRegistration {
            id: id.clone(),
            name: role.service().to_owned(),
            address: address.to_string(),
            port: SERVICE_PORT,
            tags: vec![tag.clone()],
            meta: [("protocol".to_owned(), "http".to_owned())].into(),
            check: Some(Check {
                kind: CheckKind::Tcp {
                    address: format!("{address}:{SERVICE_PORT}"),
                    interval: Duration::from_secs(5),
                    timeout: Duration::from_secs(2),
                },
                initial: CheckStatus::Passing,
                deregister_after: None,
            }),
        };
        screen.command(&format!(
            "consul services register -http-addr {} -id {id} -name {} -address {address} -port {SERVICE_PORT} -tag {} \
             -meta protocol=http",
            self.url,
            role.service(),
            quoted(&tag),
        ));
        self.agent
            .register(&registration)
            .await
            .with_context(|| format!("cannot register {role} in Consul"))?;
        self.ids.push(id);
        Ok(())
    }

    /// Takes one instance out.
    async fn remove(&mut self, role: Role, screen: &Screen) -> Result<()> {
        let id = id(role);
        screen.command(&format!(
            "consul services deregister -http-addr {} -id {id}",
            self.url
        ));
        self.agent
            .deregister(&id)
            .await
            .with_context(|| format!("cannot take {role} out of Consul"))?;
        self.ids.retain(|known| *known != id);
        Ok(())
    }

    /// Takes everything out that is still registered.
    pub(crate) async fn remove_all(self) -> Result<()> {
        for id in &self.ids {
            self.agent
                .deregister(id)
                .await
                .with_context(|| format!("cannot take {id} out of Consul"))?;
        }
        Ok(())
    }
}

fn id(role: Role) -> String {
    format!("outrigger-demo-{role}")
}

/// Takes reviews v3 out of Consul while readers ask for reviews, and 2 s later stops it: no request may fail, and none
/// may reach it by then. It stays out, and its processes are gone from `running`.
pub(crate) async fn leave_under_load(
    registered: &mut Registrations,
    running: &mut Vec<Running>,
    choices: &Choices,
    ground: &Ground<'_>,
    screen: &Screen,
) -> Result<Line> {
    let leaving = Role::Reviews(Version::V3);
    let url = format!("http://{}/api/v1/products/0/reviews", choices.addresses.gateway);
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        readers.spawn(read_until(ground.client.clone(), url.clone(), stop.clone()));
    }
    sleep(Duration::from_secs(2)).await;
    registered.remove(leaving, screen).await?;
    let left = Instant::now();
    sleep(GONE_WITHIN).await;
    let name = leaving.to_string();
    let theirs: Vec<Running> = running
        .extract_if(.., |process| belongs_to(process.name(), &name))
        .collect();
    let stopped = theirs.len();
    let ids: Vec<String> = theirs
        .iter()
        .filter_map(|process| Some(process.id()?.to_string()))
        .collect();
    screen.command(&format!("kill {}", ids.join(" ")));
    stop_all(theirs).await?;
    sleep(STILL_WATCHED).await;
    stop.store(true, Ordering::Relaxed);

    let mut answers = Vec::new();
    while let Some(read) = readers.join_next().await {
        answers.extend(read.context("a reader ended early")?);
    }
    if stopped < 2 {
        bail!("of {name} and its sidecar only {stopped} ran");
    }
    Ok(judge(&answers, left, &name))
}

/// Whether a process is the instance called `instance`, or stands beside it.
fn belongs_to(process: &str, instance: &str) -> bool {
    process
        .strip_prefix(instance)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// When a request was sent, and who answered, or what went wrong.
type Answer = (Instant, Result<String, String>);

async fn read_until(client: reqwest::Client, url: String, stop: Arc<AtomicBool>) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        answers.push((sent, read(&client, &url).await));
    }
    answers
}

async fn read(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let failed = |error: reqwest::Error| crate::failure::chain(&error);
    let answer = client
        .get(url)
        .timeout(Duration::from_secs(10))
        .send()
        .await
        .map_err(failed)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!(
            "status {}: {}",
            status.as_u16(),
            answer.text().await.unwrap_or_default()
        ));
    }
    let reviews: outrigger_bookinfo::reviews::Reviews = answer.json().await.map_err(failed)?;
    Ok(reviews.served_by)
}

fn judge(answers: &[Answer], left: Instant, leaving: &str) -> Line {
    let failed: Vec<&String> = answers
        .iter()
        .filter_map(|(_, outcome)| outcome.as_ref().err())
        .collect();
    let to_it = |from: Option<Instant>, until: Option<Instant>| {
        answers
            .iter()
            .filter(|(_, outcome)| outcome.as_ref().is_ok_and(|served_by| served_by == leaving))
            .filter(|(sent, _)| {
                from.is_none_or(|from| *sent >= from) && until.is_none_or(|until| *sent < until)
            })
            .count()
    };
    let gone = left + GONE_WITHIN;
    let (before, meanwhile, after) = (
        to_it(None, Some(left)),
        to_it(Some(left), Some(gone)),
        to_it(Some(gone), None),
    );
    let reason = failed
        .first()
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    Line {
        generation: "consul".into(),
        step: format!("{leaving} leaves under load"),
        expected: "failed 0, none to it after 2 s, stopped then".into(),
        seen: format!(
            "{} requests, failed {}{reason}; to it: {before} before, {meanwhile} in the first 2 s, {after} after",
            answers.len(),
            failed.len(),
        ),
        holds: failed.is_empty() && after == 0 && before > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_answer_or_one_failure_is_too_many() {
        let left = Instant::now() + Duration::from_secs(60);
        let ok = |after_ms: u64| {
            (
                left + Duration::from_millis(after_ms),
                Ok("reviews-v3".to_owned()),
            )
        };
        let before = (left - Duration::from_millis(5), Ok("reviews-v3".to_owned()));

        assert!(judge(&[before.clone(), ok(1900)], left, "reviews-v3").holds);
        assert!(!judge(&[before.clone(), ok(2100)], left, "reviews-v3").holds);
        assert!(
            !judge(
                &[before, (left, Err("status 503".to_owned()))],
                left,
                "reviews-v3"
            )
            .holds
        );
    }

    #[test]
    fn an_instance_is_stopped_with_its_sidecar_and_nothing_else() {
        for process in ["reviews-v3", "reviews-v3-sidecar", "reviews-v3-envoy"] {
            assert!(belongs_to(process, "reviews-v3"));
        }
        for process in ["reviews-v2", "reviews-v31", "gateway", "control-plane"] {
            assert!(!belongs_to(process, "reviews-v3"));
        }
    }

    #[test]
    fn an_instance_that_was_never_used_proves_nothing() {
        assert!(!judge(&[], Instant::now(), "reviews-v3").holds);
    }
}
